// Reads one JSON object of the proxy's configuration field by field, so that every error is found
// and not only the first. Internal to the decoder (config.cc, config_choice.cc).
//
// Pure. Keys nobody asked for are errors when the reader ends.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "proxy/config.h"

namespace fyr::proxy {

using Errors = std::vector<std::string>;

class Reader {
 public:
  Reader(const boost::json::value& value, std::string path, Errors& errors)
      : value_(value), path_(std::move(path)), errors_(errors) {
    if (!value.is_object()) errors_.push_back(path_ + ": must be an object");
  }
  ~Reader() {
    if (!value_.is_object()) return;
    for (const auto& [key, unused] : value_.get_object()) {
      const std::string_view name(key.data(), key.size());
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
        errors_.push_back(at(name) + ": unknown key");
      }
    }
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  std::string at(std::string_view name) const { return path_ + "." + std::string(name); }
  void error(std::string_view name, std::string_view text) {
    errors_.push_back(at(name) + ": " + std::string(text));
  }

  const boost::json::value* find(std::string_view name) {
    known_.emplace_back(name);
    if (!value_.is_object()) return nullptr;
    const auto* found = value_.get_object().if_contains(name);
    return found == nullptr || found->is_null() ? nullptr : found;
  }

  // False if the field is absent or wrong (then the error is noted).
  template <class T>
  bool read(std::string_view name, T& out) {
    if (find(name) == nullptr) return false;
    T value = out;
    ObjectDecoder decoder(value_, path_, UnknownFields::Ignore);
    decoder.field(name, value);
    if (auto result = decoder.finish(); !result) {
      std::string text = result.error().message;
      if (!text.starts_with(path_)) text = at(name) + ": " + text;
      errors_.push_back(std::move(text));
      return false;
    }
    out = value;
    return true;
  }

  void duration(std::string_view name, Duration& out, bool zero_allowed = false) {
    Duration value{};
    if (!read(name, value)) return;
    if (value < Duration::zero() || (value == Duration::zero() && !zero_allowed)) {
      error(name, "must be positive");
    } else if (value > std::chrono::hours(24 * 365)) {
      error(name, "must be at most 8760h");
    } else {
      out = value;
    }
  }

  template <class T>
  void number(std::string_view name, T& out, std::int64_t low, std::int64_t high) {
    std::int64_t value = 0;
    if (!read(name, value)) return;
    if (value < low || value > high) {
      error(name, "must be between " + std::to_string(low) + " and " + std::to_string(high));
    } else {
      out = static_cast<T>(value);
    }
  }

  // One of a few words.
  template <class T>
  void choice(std::string_view name, T& out,
              std::initializer_list<std::pair<std::string_view, T>> words) {
    std::string text;
    if (!read(name, text)) return;
    std::string list;
    for (const auto& [word, value] : words) {
      if (text == word) {
        out = value;
        return;
      }
      list += (list.empty() ? "" : ", ") + std::string(word);
    }
    error(name, "\"" + text + "\" is not one of " + list);
  }

  template <class F>
  void object(std::string_view name, F&& f) {
    if (const auto* value = find(name)) {
      Reader reader(*value, at(name), errors_);
      if (value->is_object()) f(reader);
    }
  }

 private:
  const boost::json::value& value_;
  std::string path_;
  Errors& errors_;
  std::vector<std::string> known_;
};

// balance, hash_on, prefer_tags, subset, allowed_sites, locality, slow_start, drain
// (config_choice.cc).
void read_choice(Reader& reader, ListenerConfig& out);
void validate_choice(const ListenerConfig& listener, const std::string& path, Errors& errors);

}  // namespace fyr::proxy
