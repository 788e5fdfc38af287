// `fyr operator raft ...` and `fyr operator autopilot ...`: verbs, flags and output as Consul's.
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "app/cli/arguments.h"
#include "app/cli/commands.h"
#include "base/json.h"

namespace fyr::app {
namespace {

namespace json = boost::json;

constexpr char kUsage[] =
    "Usage: fyr operator <subcommand> [options]\n\n"
    "    raft list-peers                        Lists the servers of the cluster\n"
    "    raft remove-peer -id=ID|-address=ADDR  Removes a server\n"
    "    raft transfer-leader [-id=ID]          Makes another server lead\n"
    "    recover -data-dir DIR [-yes]           Makes a stopped server the only member\n"
    "    autopilot get-config                   Shows how dead servers are treated\n"
    "    autopilot set-config [options]         Changes it\n"
    "    autopilot state [-format=pretty|json]  Shows the health of the servers\n";

int failed(const std::string& what, const Error& error) {
  std::fprintf(stderr, "Error %s: %s\n", what.c_str(), error.message.c_str());
  return 1;
}

std::string text_of(const json::value& object, std::string_view key) {
  const auto* value = object.is_object() ? object.get_object().if_contains(key) : nullptr;
  if (!value) return {};
  if (value->is_string()) return std::string(value->get_string());
  return json::serialize(*value);
}

// Rows of cells, each column as wide as its widest cell.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

Result<json::value> get_json(const Arguments& arguments, const std::string& path) {
  auto body = ask_agent(arguments, "GET", arguments.has("stale") ? path + "?stale" : path);
  if (!body) return body.error();
  return parse_json(*body);
}

int list_peers(const Arguments& arguments) {
  auto answer = get_json(arguments, "/v1/operator/raft/configuration");
  if (!answer) return failed("getting peers", answer.error());
  std::vector<std::vector<std::string>> rows = {
      {"Node", "ID", "Address", "State", "Voter", "RaftProtocol"}};
  const auto* servers = answer->is_object() ? answer->get_object().if_contains("Servers") : nullptr;
  if (servers && servers->is_array()) {
    for (const auto& server : servers->get_array()) {
      rows.push_back({text_of(server, "Node"), text_of(server, "ID"), text_of(server, "Address"),
                      text_of(server, "Leader") == "true" ? "leader" : "follower",
                      text_of(server, "Voter"), text_of(server, "ProtocolVersion")});
    }
  }
  print_table(rows);
  return 0;
}

int remove_peer(const Arguments& arguments) {
  const std::string id = arguments.get("id"), address = arguments.get("address");
  if (id.empty() == address.empty()) {
    return failed("removing peer",
                  fail(ErrorCode::InvalidArgument, "exactly one of -id and -address is needed"));
  }
  const std::string query = id.empty() ? "address=" + address : "id=" + id;
  auto done = ask_agent(arguments, "DELETE", "/v1/operator/raft/peer?" + query);
  if (!done) return failed("removing peer", done.error());
  std::printf("Removed peer with %s \"%s\"\n", id.empty() ? "address" : "id",
              (id.empty() ? address : id).c_str());
  return 0;
}

int transfer_leader(const Arguments& arguments) {
  const std::string id = arguments.get("id");
  auto done = ask_agent(arguments, "POST",
                        "/v1/operator/raft/transfer-leader" + (id.empty() ? "" : "?id=" + id));
  if (!done) return failed("transferring leadership", done.error());
  std::puts("Success");
  return 0;
}

constexpr std::string_view kConfigKeys[] = {"CleanupDeadServers",      "LastContactThreshold",
                                            "MaxTrailingLogs",         "MinQuorum",
                                            "ServerStabilizationTime", "RedundancyZoneTag",
                                            "DisableUpgradeMigration", "UpgradeVersionTag"};

int get_config(const Arguments& arguments) {
  auto answer = get_json(arguments, "/v1/operator/autopilot/configuration");
  if (!answer) return failed("querying Autopilot configuration", answer.error());
  for (const auto key : kConfigKeys) {
    const bool quoted = key.ends_with("Tag");
    const char* quote = quoted ? "\"" : "";
    std::printf("%s = %s%s%s\n", std::string(key).c_str(), quote, text_of(*answer, key).c_str(),
                quote);
  }
  return 0;
}

struct ConfigFlag {
  const char* flag;
  const char* key;
  bool text;  // a string in JSON, else a number or a truth value
};
constexpr ConfigFlag kConfigFlags[] = {
    {"cleanup-dead-servers", "CleanupDeadServers", false},
    {"last-contact-threshold", "LastContactThreshold", true},
    {"max-trailing-logs", "MaxTrailingLogs", false},
    {"min-quorum", "MinQuorum", false},
    {"server-stabilization-time", "ServerStabilizationTime", true},
    {"redundancy-zone-tag", "RedundancyZoneTag", true},
    {"disable-upgrade-migration", "DisableUpgradeMigration", false},
    {"upgrade-version-tag", "UpgradeVersionTag", true},
};

// Reads, changes what was given, and writes only if nobody else wrote meanwhile.
int set_config(const Arguments& arguments) {
  const std::string path = "/v1/operator/autopilot/configuration";
  auto answer = get_json(arguments, path);
  if (!answer) return failed("querying Autopilot configuration", answer.error());
  if (!answer->is_object()) return failed("reading it", fail(ErrorCode::Internal, "no object"));
  auto& config = answer->get_object();
  const std::string index = text_of(*answer, "ModifyIndex");
  for (const auto& known : kConfigFlags) {
    if (!arguments.has(known.flag)) continue;
    const std::string given = arguments.get(known.flag);
    auto value = known.text ? Result<json::value>(json::value(given)) : parse_json(given);
    if (!value) {
      return failed("setting Autopilot configuration",
                    fail(ErrorCode::InvalidArgument,
                         "-" + std::string(known.flag) + ": \"" + given + "\" is no value"));
    }
    config[known.key] = std::move(*value);
  }
  auto done = ask_agent(arguments, "PUT", path + "?cas=" + index, json::serialize(config));
  if (!done) return failed("setting Autopilot configuration", done.error());
  if (!done->starts_with("true")) {
    std::fputs("Configuration could not be atomically updated, please try again\n", stderr);
    return 1;
  }
  std::puts("Configuration updated!");
  return 0;
}

int show_state(const Arguments& arguments) {
  auto answer = get_json(arguments, "/v1/operator/autopilot/state");
  if (!answer) return failed("getting state", answer.error());
  if (arguments.get("format", "pretty") == "json") {
    std::printf("%s\n", indent_json(json::serialize(*answer)).c_str());
    return 0;
  }
  std::printf("Healthy:                      %s\n", text_of(*answer, "Healthy").c_str());
  std::printf("Failure Tolerance:            %s\n", text_of(*answer, "FailureTolerance").c_str());
  std::printf("Optimistic Failure Tolerance: %s\n",
              text_of(*answer, "OptimisticFailureTolerance").c_str());
  std::printf("Leader:                       %s\n", text_of(*answer, "Leader").c_str());
  const auto* servers = answer->is_object() ? answer->get_object().if_contains("Servers") : nullptr;
  if (!servers || !servers->is_object()) return 0;
  std::puts("Servers:");
  for (const auto& [id, server] : servers->get_object()) {
    std::printf("    %s\n", std::string(id).c_str());
    for (const char* key : {"Name", "Address", "Version", "Status", "NodeStatus", "Healthy",
                            "LastContact", "LastTerm", "LastIndex"}) {
      std::printf("        %-14s %s\n", (std::string(key) + ":").c_str(),
                  text_of(server, key).c_str());
    }
  }
  return 0;
}

struct Verb {
  const char* group;
  const char* name;
  int (*run)(const Arguments& arguments);
};
constexpr Verb kVerbs[] = {
    {"raft", "list-peers", list_peers},           {"raft", "remove-peer", remove_peer},
    {"raft", "transfer-leader", transfer_leader}, {"autopilot", "get-config", get_config},
    {"autopilot", "set-config", set_config},      {"autopilot", "state", show_state},
};

}  // namespace

int run_operator_command(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments[0] == "recover")
    return run_recover_command({arguments.begin() + 1, arguments.end()});
  const auto found = std::ranges::find_if(kVerbs, [&](const Verb& verb) {
    return arguments.size() >= 2 && arguments[0] == verb.group && arguments[1] == verb.name;
  });
  if (found == std::end(kVerbs)) {
    std::fputs(kUsage, stderr);
    return 1;
  }
  std::set<std::string> valued = {"id", "address", "format"};
  for (const auto& known : kConfigFlags) valued.insert(known.flag);
  auto parsed = parse_arguments({arguments.begin() + 2, arguments.end()}, std::move(valued));
  if (parsed && !parsed->words.empty()) {
    parsed = fail(ErrorCode::InvalidArgument, "unknown argument: " + parsed->words.front());
  }
  if (!parsed) return failed("in the arguments", parsed.error());
  return found->run(*parsed);
}

}  // namespace fyr::app
