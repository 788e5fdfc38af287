// `fyr operator recover -data-dir DIR [-yes]`: what the folder of a stopped server holds, and with
// -yes makes it the only member of its cluster. For when most servers are lost for good.
#include <cstdio>

#include "app/cli/arguments.h"
#include "app/cli/commands.h"
#include "raft/forced_recovery.h"
#include "raft/state_generations.h"
#include "server/state_database.h"

namespace fyr::app {
namespace {

namespace fs = std::filesystem;

int failed(const Error& error) {
  std::fprintf(stderr, "Error recovering: %s\n", error.message.c_str());
  return 1;
}

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

// Not a reason to stop: the log brings back what the state lacks.
std::string applied_in(const fs::path& directory) {
  const raft::StateGenerations generations(directory);
  const auto current = generations.current();
  if (!current) return current.error().message;
  std::error_code error;
  if (!fs::exists(generations.path_of(*current), error)) return "none";
  const auto database = server::StateDatabase::open(generations.path_of(*current));
  return database ? number((*database)->durable_applied()) : database.error().message;
}

void print(const char* name, const std::string& value) {
  std::printf("%-16s %s\n", name, value.c_str());
}

void show(const fs::path& directory, const raft::FolderReport& report) {
  print("Node ID", raft::to_text(report.identity.node));
  print("Cluster", report.identity.cluster.empty() ? "none" : report.identity.cluster);
  print("Recovery epoch", number(report.identity.recovery_epoch));
  print("Term", number(report.hard.term.value));
  print("First index", number(report.first.value));
  print("Last index",
        number(report.last.index.value) + " (term " + number(report.last.term.value) + ")");
  print("Applied index", applied_in(directory));
  print("Quarantine", report.quarantine.empty() ? "no" : "yes: " + report.quarantine);
  std::puts("Members");
  for (const raft::Member& member : report.members.members) {
    const bool self = member.id == report.identity.node;
    std::printf("    %s  %s  %s%s%s\n", raft::to_text(member.id).c_str(), member.name.c_str(),
                member.address.c_str(), report.members.is_voter(member.id) ? "" : "  no vote",
                self ? "  this server" : "");
  }
}

constexpr char kWarning[] =
    "\nNothing was changed. With -yes this server becomes the only member of its cluster:\n"
    "  - Writes that the others acknowledged after index %llu are lost.%s\n"
    "  - Writes in this log that were never acknowledged may take effect.\n"
    "  - The other members above are refused for ever. Delete their data folders and let them\n"
    "    join as new servers.\n"
    "Compare the survivors with this command first and take the one with the highest last term,\n"
    "then the highest last index. Never recover two of them: they would be two clusters.\n";

}  // namespace

int run_recover_command(const std::vector<std::string>& arguments) {
  auto parsed = parse_arguments(arguments, {"data-dir"}, {"yes"});
  if (parsed && (!parsed->words.empty() || !parsed->has("data-dir"))) {
    std::fputs("Usage: fyr operator recover -data-dir DIR [-yes]\n", stderr);
    return 1;
  }
  if (!parsed) return failed(parsed.error());
  const fs::path directory = fs::path(parsed->get("data-dir")) / "raft";
  const bool yes = parsed->get("yes", "false") == "true";
  const auto report = yes ? raft::force_recovery(directory) : raft::inspect_folder(directory);
  if (!report) return failed(report.error());
  show(directory, *report);
  if (yes) {
    std::puts("\nThis server is the only member now. Start it, then let others join.");
    return 0;
  }
  std::printf(kWarning, static_cast<unsigned long long>(report->last.index.value),
              report->quarantine.empty() ? "" : " So are those that put it in quarantine.");
  return 0;
}

}  // namespace fyr::app
