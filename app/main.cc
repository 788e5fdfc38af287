// fyr: one binary. `fyr agent` runs a server or an agent; the other words talk to one.
#include <csignal>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "app/cli/commands.h"

namespace {

constexpr char kUsage[] =
    "Usage: fyr [--version] [--help] <command> [<args>]\n\n"
    "Available commands are:\n"
    "    agent       Runs a server (-server) or an agent\n"
    "    members     Lists the members of the cluster\n"
    "    operator    Looks after the servers of the cluster\n"
    "    snapshot    Saves, shows and restores the state of the cluster\n"
    "    validate    Checks configuration files\n"
    "    version     Prints the version\n";

}  // namespace

int main(int argc, char** argv) {
  using namespace fyr::app;  // NOLINT(*-using-namespace): commands only
  std::signal(SIGPIPE, SIG_IGN);
  static const std::map<std::string, int (*)(const std::vector<std::string>&)> commands = {
      {"agent", run_agent_command},       {"members", run_members_command},
      {"operator", run_operator_command}, {"snapshot", run_snapshot_command},
      {"validate", run_validate_command}, {"version", run_version_command},
      {"--version", run_version_command}, {"-version", run_version_command},
      {"-v", run_version_command},
  };
  if (argc < 2) {
    std::fputs(kUsage, stderr);
    return 127;
  }
  const std::string word = argv[1];
  if (word == "--help" || word == "-help" || word == "-h" || word == "help") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const auto command = commands.find(word);
  if (command == commands.end()) {
    std::fprintf(stderr, "fyr: unknown command \"%s\"\n\n%s", word.c_str(), kUsage);
    return 127;
  }
  return command->second(std::vector<std::string>(argv + 2, argv + argc));
}
