// The table of settings: see settings.h. Internal to app/settings*.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "app/settings.h"

namespace fyr::app {

enum class SettingType {
  Bool,
  Int,
  String,
  Duration,
  List,  // strings; several values add up
  Map,   // string to string
  DurationMap,
  Json,      // handed on as it is
  NoEffect,  // Consul knows it, fyr accepts it without effect, with a warning
  Silent,    // accepted without effect and without a word: it asks for what fyr does anyway
};

struct SettingValue {
  bool boolean = false;
  std::int64_t number = 0;
  Duration duration{};
  std::string text;
  std::vector<std::string> list;
  std::map<std::string, std::string> map;
  std::map<std::string, Duration> durations;
  boost::json::value json;
  std::string where;
};

struct Setting {
  std::string_view key;   // path in JSON, "ports.http"; empty: flag only
  std::string_view flag;  // without dashes; empty: file only
  SettingType type;
  std::string_view initial;        // default, for --help
  std::int64_t low = 0, high = 0;  // bounds of Int when high > low
  bool reloadable = false;
  std::string_view doc;
  std::function<void(Settings&, const SettingValue&)> set;  // null: no effect
};

std::span<const Setting> setting_table();
const Setting* find_setting_by_key(std::string_view key);
const Setting* find_setting_by_flag(std::string_view flag);
// True if some setting lives below "key.".
bool is_setting_section(std::string_view key);
// The known key (or flag) closest to a mistyped one; empty if none is near.
std::string nearest_key(std::string_view key);
std::string nearest_flag(std::string_view flag);

}  // namespace fyr::app
