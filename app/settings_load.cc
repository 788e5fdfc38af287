// Reading flags and files into Settings by the table; see settings.h.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "app/settings.h"
#include "app/settings_table.h"
#include "app/settings_validate.h"
#include "base/bytes.h"
#include "base/io/file.h"
#include "base/json.h"

namespace fyr::app {
namespace {

namespace json = boost::json;

std::string quote(std::string_view text) {
  return '"' + std::string(text) + '"';
}

std::string with_suggestion(std::string message, const std::string& nearest) {
  if (!nearest.empty()) message += " (did you mean " + nearest + "?)";
  return message;
}

// Collects values and errors; the setters run in order, so later files and then flags win.
class Loader {
 public:
  LoadedSettings take() { return std::move(loaded_); }
  Settings& settings() { return loaded_.settings; }
  const SettingSources& sources() const { return sources_; }

  void error(std::string message) { loaded_.errors.push_back(std::move(message)); }

  void load_path(const std::string& path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
      load_folder(path);
    } else {
      load_file(path);
    }
  }

  void load_folder(const std::string& path) {
    auto names = io::list_files(path);
    if (!names) return error(names.error().message);
    for (const auto& name : *names)
      if (name.ends_with(".json") || name.ends_with(".hcl")) load_file(path + "/" + name);
  }

  void load_file(const std::string& path) {
    if (path.ends_with(".hcl"))
      return error("failed to parse " + path +
                   ": HCL is not read by this version; write it as JSON");
    auto content = io::read_file(path, 16 << 20);
    if (!content) return error(content.error().message);
    if (trim_all(*content).empty()) return;
    auto parsed = parse_json(*content);
    if (!parsed) return error("failed to parse " + path + ": " + parsed.error().message);
    const auto* object = parsed->if_object();
    if (!object) return error("failed to parse " + path + ": not a JSON object");
    load_object(*object, "", path);
  }

  void set_flag(const Setting& setting, const std::string& value) {
    SettingValue out;
    out.where = "-" + std::string(setting.flag);
    if (setting.type == SettingType::NoEffect) {
      if (setting.flag == "hcl" && !value.empty())
        return error("-hcl: HCL is not read by this version; write it as JSON");
      loaded_.settings.warnings.push_back(out.where + " has no effect in fyr");
      return;
    }
    sources_[std::string(setting.key)] = out.where;
    std::string problem;
    switch (setting.type) {
      case SettingType::Bool:
        problem = read_bool(value, out.boolean);
        break;
      case SettingType::Int:
        problem = read_int(value, setting, out.number);
        break;
      case SettingType::Duration:
        problem = read_duration(value, out.duration);
        break;
      case SettingType::String:
        out.text = value;
        break;
      case SettingType::List:
        out.list = {value};
        break;
      case SettingType::Map:
        problem = read_pair(value, out.map);
        break;
      default:
        break;
    }
    if (!problem.empty()) return error(out.where + ": " + problem);
    if (setting.set) setting.set(loaded_.settings, out);
  }

 private:
  static std::string_view trim_all(std::string_view text) {
    while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
    return text;
  }

  void load_object(const json::object& object, const std::string& prefix, const std::string& file) {
    for (const auto& [name, value] : object) {
      const std::string key = prefix + std::string(name);
      if (const Setting* setting = find_setting_by_key(key)) {
        if (!value.is_null()) set_from_json(*setting, value, file);
      } else if (is_setting_section(key)) {
        if (value.is_null()) continue;
        if (const auto* inner = value.if_object()) {
          load_object(*inner, key + ".", file);
        } else {
          error("failed to parse " + file + ": " + key + ": must be an object");
        }
      } else {
        error(with_suggestion("failed to parse " + file + ": invalid config key " + key,
                              nearest_key(key)));
      }
    }
  }

  void set_from_json(const Setting& setting, const json::value& value, const std::string& file) {
    SettingValue out;
    out.where = file + ": " + std::string(setting.key);
    if (setting.type == SettingType::Silent) return;
    if (setting.type == SettingType::NoEffect) {
      loaded_.settings.warnings.push_back(out.where + " has no effect in fyr");
      return;
    }
    sources_[std::string(setting.key)] = file;
    const std::string problem = read_json(setting, value, out);
    if (!problem.empty())
      return error("failed to parse " + file + ": " + std::string(setting.key) + ": " + problem);
    if (setting.set) setting.set(loaded_.settings, out);
  }

  static std::string read_json(const Setting& setting, const json::value& value,
                               SettingValue& out) {
    switch (setting.type) {
      case SettingType::Bool:
        if (const auto* text = value.if_string()) return read_bool(*text, out.boolean);
        if (!value.is_bool()) return "must be true or false";
        out.boolean = value.get_bool();
        return {};
      case SettingType::Int:
        if (const auto* text = value.if_string()) return read_int(*text, setting, out.number);
        return read_number(value, setting, out.number);
      case SettingType::Duration:
        if (const auto* text = value.if_string()) return read_duration(*text, out.duration);
        return "must be a duration such as \"10s\"";
      case SettingType::String:
        if (!value.is_string()) return "must be a string";
        out.text = std::string(value.get_string());
        return {};
      case SettingType::List:
        return read_list(value, out.list);
      case SettingType::Map:
        return read_map(value, out.map);
      case SettingType::DurationMap:
        return read_durations(value, out);
      case SettingType::Json:
        if (!value.is_object() && !value.is_array())
          return "must be an object or a list of objects";
        out.json = value;
        return {};
      default:
        return {};
    }
  }

  static std::string read_bool(std::string_view text, bool& out) {
    if (text == "true" || text == "1" || text.empty()) return out = true, std::string();
    if (text == "false" || text == "0") return out = false, std::string();
    return "must be true or false, not " + quote(text);
  }

  static std::string out_of_bounds(const Setting& setting, std::int64_t number) {
    if (setting.high <= setting.low || (number >= setting.low && number <= setting.high)) return {};
    return "must be between " + std::to_string(setting.low) + " and " +
           std::to_string(setting.high) + ", not " + std::to_string(number);
  }

  static std::string read_int(std::string_view text, const Setting& setting, std::int64_t& out) {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (failure != std::errc() || end != text.data() + text.size() || text.empty())
      return "must be a whole number, not " + quote(text);
    return out_of_bounds(setting, out);
  }

  static std::string read_number(const json::value& value, const Setting& setting,
                                 std::int64_t& out) {
    if (value.is_int64()) {
      out = value.get_int64();
    } else if (value.is_double() && std::abs(value.get_double()) < 1e15 &&
               value.get_double() == std::trunc(value.get_double())) {
      out = static_cast<std::int64_t>(value.get_double());
    } else {
      return "must be a whole number";
    }
    return out_of_bounds(setting, out);
  }

  static std::string read_duration(std::string_view text, Duration& out) {
    auto parsed = parse_duration(text);
    if (!parsed) return parsed.error().message;
    if (*parsed < Duration::zero()) return "must not be negative";
    out = *parsed;
    return {};
  }

  static std::string read_list(const json::value& value, std::vector<std::string>& out) {
    if (const auto* text = value.if_string()) return out.emplace_back(*text), std::string();
    const auto* array = value.if_array();
    if (!array) return "must be a list of strings";
    for (const auto& item : *array) {
      if (!item.is_string()) return "must be a list of strings";
      out.emplace_back(item.get_string());
    }
    return {};
  }

  static std::string read_map(const json::value& value, std::map<std::string, std::string>& out) {
    const auto* object = value.if_object();
    if (!object) return "must be an object of strings";
    for (const auto& [name, item] : *object) {
      if (!item.is_string()) return std::string(name) + ": must be a string";
      out[std::string(name)] = std::string(item.get_string());
    }
    return {};
  }

  static std::string read_durations(const json::value& value, SettingValue& out) {
    if (auto problem = read_map(value, out.map); !problem.empty()) return problem;
    for (const auto& [name, text] : out.map)
      if (auto problem = read_duration(text, out.durations[name]); !problem.empty())
        return name + ": " + problem;
    return {};
  }

  static std::string read_pair(const std::string& text, std::map<std::string, std::string>& out) {
    const auto colon = text.find(':');
    const std::string key = text.substr(0, colon);
    if (key.empty()) return "must be KEY:VALUE, not " + quote(text);
    out[key] = colon == std::string::npos ? "" : text.substr(colon + 1);
    return {};
  }

  LoadedSettings loaded_;
  SettingSources sources_;
};

struct Flag {
  const Setting* setting = nullptr;  // null: a file or folder
  bool folder = false;
  std::string value;
};

// Splits "-name value", "-name=value", "--name ..." and booleans without a value.
std::vector<Flag> read_flags(const std::vector<std::string>& arguments, Loader& loader) {
  std::vector<Flag> flags;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!word.starts_with("-") || word.size() < 2) {
      loader.error("unexpected argument " + quote(word));
      continue;
    }
    std::string name = word.substr(word.starts_with("--") ? 2 : 1);
    const auto equals = name.find('=');
    const bool has_value = equals != std::string::npos;
    std::string value = has_value ? name.substr(equals + 1) : "";
    name = name.substr(0, equals);
    const bool file = name == "config-file";
    const bool folder = name == "config-dir";
    const Setting* setting = find_setting_by_flag(name);
    if (!setting && !file && !folder) {
      loader.error(with_suggestion("flag provided but not defined: -" + name, nearest_flag(name)));
      continue;
    }
    static constexpr std::string_view kSwitches[] = {"syslog", "rejoin", "disable-host-node-id",
                                                     "disable-keyring-file"};
    const bool is_switch = setting && (setting->type == SettingType::Bool ||
                                       std::ranges::find(kSwitches, name) != std::end(kSwitches));
    if (!has_value && !is_switch) {
      if (i + 1 >= arguments.size()) {
        loader.error("flag needs an argument: -" + name);
        continue;
      }
      value = arguments[++i];
    }
    flags.push_back({setting, folder, value});
  }
  return flags;
}

// -dev: everything on loopback, nothing kept; files and flags may still say otherwise.
void apply_dev_defaults(Settings& settings) {
  settings.dev = true;
  settings.server = true;
  settings.bootstrap = true;
  settings.bind_address = "127.0.0.1";
  settings.log_level = "DEBUG";
  settings.enable_debug = true;
  settings.ui_enabled = true;
}

}  // namespace

LoadedSettings load_settings(const std::vector<std::string>& arguments) {
  Loader loader;
  const auto flags = read_flags(arguments, loader);
  for (const auto& flag : flags)
    if (flag.setting && flag.setting->flag == "dev" && flag.value != "false")
      apply_dev_defaults(loader.settings());
  for (const auto& flag : flags)
    if (!flag.setting) flag.folder ? loader.load_folder(flag.value) : loader.load_path(flag.value);
  for (const auto& flag : flags)
    if (flag.setting) loader.set_flag(*flag.setting, flag.value);
  LoadedSettings loaded = loader.take();
  finish_settings(loaded.settings, loader.sources(), private_addresses(), loaded.errors);
  return loaded;
}

LoadedSettings load_setting_files(const std::vector<std::string>& paths) {
  Loader loader;
  for (const auto& path : paths) loader.load_path(path);
  LoadedSettings loaded = loader.take();
  finish_settings(loaded.settings, loader.sources(), private_addresses(), loaded.errors);
  return loaded;
}

std::string settings_help() {
  std::string out =
      "Usage: fyr agent [options]\n\nOptions:\n\n  -config-file PATH\n      a JSON file; repeat "
      "for more\n"
      "  -config-dir PATH\n      a folder of JSON files, read in name order\n";
  for (const auto& setting : setting_table()) {
    if (setting.flag.empty() || setting.type == SettingType::NoEffect ||
        setting.type == SettingType::Silent)
      continue;
    out += "  -" + std::string(setting.flag) + "\n      " + std::string(setting.doc);
    if (!setting.initial.empty()) out += " (default: " + std::string(setting.initial) + ")";
    out += '\n';
  }
  return out;
}

}  // namespace fyr::app
