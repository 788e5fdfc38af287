#include "app/cli/commands.h"

#include <cstdio>

#include "app/cli/arguments.h"
#include "app/definitions.h"
#include "app/settings.h"
#include "base/bytes.h"
#include "base/json.h"

namespace fyr::app {
namespace {

const char* status_word(std::int64_t status) {
  switch (status) {
    case 1:
      return "alive";
    case 2:
      return "leaving";
    case 3:
      return "left";
    case 4:
      return "failed";
    default:
      return "none";
  }
}

std::string text_of(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

void print_member(const boost::json::object& member) {
  static const boost::json::object none;
  const auto* tags_value = member.if_contains("Tags");
  const auto& tags = tags_value && tags_value->is_object() ? tags_value->get_object() : none;
  const auto* port = member.if_contains("Port");
  const auto* status = member.if_contains("Status");
  const std::string address = text_of(member, "Addr") + ":" +
                              std::to_string(port && port->is_int64() ? port->get_int64() : 0);
  const std::string build = text_of(tags, "build");
  std::printf("%-24s  %-21s  %-7s  %-6s  %-9s  %s\n", text_of(member, "Name").c_str(),
              address.c_str(), status_word(status && status->is_int64() ? status->get_int64() : 0),
              text_of(tags, "role") == "consul" ? "server" : "client",
              build.substr(0, build.find(':')).c_str(), text_of(tags, "dc").c_str());
}

}  // namespace

int run_version_command(const std::vector<std::string>&) {
  std::printf("fyr v%s\nanswers as Consul v%s\n", kVersion, kConsulVersion);
  return 0;
}

int run_validate_command(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::fputs("Usage: fyr validate FILE_OR_DIRECTORY ...\n", stderr);
    return 1;
  }
  const LoadedAll loaded = load_all(load_setting_files(arguments));
  for (const auto& error : loaded.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!loaded.errors.empty()) return 1;
  std::puts("Configuration is valid!");
  return 0;
}

int run_members_command(const std::vector<std::string>& arguments) {
  const auto known = parse_arguments(arguments);
  auto body = known ? ask_agent(*known, "GET", "/v1/agent/members?segment=_all")
                    : Result<std::string>(known.error());
  if (!body) {
    std::fprintf(stderr, "fyr members: %s\n", body.error().message.c_str());
    return 1;
  }
  auto parsed = parse_json(*body);
  if (!parsed || !parsed->is_array()) {
    std::fputs("fyr members: the answer is not a list of members\n", stderr);
    return 1;
  }
  std::printf("%-24s  %-21s  %-7s  %-6s  %-9s  %s\n", "Node", "Address", "Status", "Type", "Build",
              "DC");
  for (const auto& member : parsed->get_array())
    if (member.is_object()) print_member(member.get_object());
  return parsed->get_array().empty() ? 2 : 0;
}

}  // namespace fyr::app
