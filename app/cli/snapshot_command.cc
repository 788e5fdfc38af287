// `fyr snapshot save|inspect|restore FILE`: verbs, flags and output as Consul's. `list` shows what
// servers make by themselves.
#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "app/cli/arguments.h"
#include "app/cli/commands.h"
#include "app/cli/snapshot_progress.h"
#include "base/io/file.h"
#include "base/json.h"
#include "server/api/snapshot_archive.h"
#include "server/state/saved_rows.h"

namespace fyr::app {
namespace {

constexpr std::size_t kMaxArchive = std::size_t{1} << 30;
constexpr char kUsage[] =
    "Usage: fyr snapshot <subcommand> [options] FILE\n\n"
    "    save [-stale] FILE   Saves the state of the cluster into a file\n"
    "    inspect FILE         Checks such a file and shows what it holds\n"
    "    restore FILE         Puts the state of a file in place of the cluster's\n"
    "    list                 Shows what the server asked has made on its schedule\n";

int failed(const std::string& what, const Error& error) {
  std::fprintf(stderr, "Error %s: %s\n", what.c_str(), error.message.c_str());
  return 1;
}

// By number of the table.
constexpr std::array kTableNames = {"",       "Nodes",    "Services",      "Checks",
                                    "KVs",    "Sessions", "Indexes",       "Operator",
                                    "Staged", "Queries",  "ConfigEntries", "Coordinates"};

struct Content {
  std::array<std::uint64_t, kTableNames.size()> count{}, bytes{};
};

// Reads every row, as a restore would.
Result<Content> content_of(const server::SnapshotArchive& archive) {
  if (auto state = server::restored_state(archive.state, archive.index); !state)
    return state.error();
  Content out;
  auto done = server::decode_rows(
      archive.state,
      [&](server::Table table, std::string_view key, std::string_view value) -> Result<void> {
        const auto at = static_cast<std::size_t>(table);
        if (at >= kTableNames.size()) return {};  // nothing we could show by name
        ++out.count[at];
        out.bytes[at] += key.size() + value.size();
        return {};
      });
  if (!done) return done.error();
  return out;
}

int save(const Arguments& arguments, const std::string& file) {
  auto bytes = [&] {
    const SnapshotProgress progress(arguments, "Saving");
    return ask_agent_at_length(arguments, "GET",
                               arguments.has("stale") ? "/v1/snapshot?stale" : "/v1/snapshot");
  }();
  if (!bytes) return failed("saving snapshot", bytes.error());
  auto archive = server::read_archive(*bytes);
  if (!archive) return failed("verifying snapshot", archive.error());
  if (auto content = content_of(*archive); !content)
    return failed("verifying snapshot", content.error());
  if (auto done = io::write_file_atomically(file, *bytes); !done)
    return failed("saving snapshot", done.error());
  std::printf("Saved and verified snapshot to index %llu\n",
              static_cast<unsigned long long>(archive->index));
  return 0;
}

int inspect(const Arguments&, const std::string& file) {
  auto bytes = io::read_file(file, kMaxArchive);
  if (!bytes) return failed("opening snapshot file", bytes.error());
  auto archive = server::read_archive(*bytes);
  if (!archive) return failed("reading snapshot", archive.error());
  auto content = content_of(*archive);
  if (!content) return failed("reading snapshot", content.error());
  std::printf(
      " ID           %s\n Size         %zu\n Index        %llu\n Term         %llu\n"
      " Version      1\n\n",
      archive->id.c_str(), archive->state.size(), static_cast<unsigned long long>(archive->index),
      static_cast<unsigned long long>(archive->term));
  std::printf(" %-24s %10s %12s\n %-24s %10s %12s\n", "Type", "Count", "Size", "----", "----",
              "----");
  std::uint64_t total = 0;
  for (std::size_t i = 1; i < kTableNames.size(); ++i) {
    if (content->count[i] == 0) continue;
    total += content->bytes[i];
    std::printf(" %-24s %10llu %12llu\n", kTableNames[i],
                static_cast<unsigned long long>(content->count[i]),
                static_cast<unsigned long long>(content->bytes[i]));
  }
  std::printf(" %-24s %10s %12s\n %-24s %10s %12llu\n", "----", "", "----", "Total", "",
              static_cast<unsigned long long>(total));
  return 0;
}

int restore(const Arguments& arguments, const std::string& file) {
  auto bytes = io::read_file(file, kMaxArchive);
  if (!bytes) return failed("opening snapshot file", bytes.error());
  // The server checks it as well; this saves the way there.
  if (auto archive = server::read_archive(*bytes); !archive)
    return failed("reading snapshot", archive.error());
  auto done = [&] {
    const SnapshotProgress progress(arguments, "Restoring");
    return ask_agent_at_length(arguments, "PUT", "/v1/snapshot", std::move(*bytes));
  }();
  if (!done) return failed("restoring snapshot", done.error());
  std::puts("Restored snapshot");
  return 0;
}

std::string text_of(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value && value->is_string()) return std::string(value->get_string());
  return value && !value->is_null() ? boost::json::serialize(*value) : std::string();
}

int list(const Arguments& arguments) {
  auto body = ask_agent(arguments, "GET", "/v1/snapshot/schedule");
  if (!body) return failed("listing snapshots", body.error());
  const auto parsed = parse_json(*body);
  if (!parsed || !parsed->is_object())
    return failed("listing snapshots", fail(ErrorCode::Corrupt, "the answer is no JSON object"));
  const auto& all = parsed->get_object();
  const std::string interval = text_of(all, "Interval");
  if (interval == "0s") {
    std::printf("%s makes no snapshots by itself (snapshot_schedule.interval is 0s)\n",
                text_of(all, "Node").c_str());
    return 0;
  }
  std::printf("Node %s, every %s, the newest %s stay in %s\n", text_of(all, "Node").c_str(),
              interval.c_str(), text_of(all, "Retain").c_str(), text_of(all, "Path").c_str());
  if (text_of(all, "FailuresInARow") != "0")
    std::printf("Last failure %s: %s\n", text_of(all, "LastFailure").c_str(),
                text_of(all, "LastError").c_str());
  std::printf("%-44s %12s %12s  %s\n", "File", "Index", "Size", "Time");
  const auto* files = all.if_contains("Snapshots");
  if (!files || !files->is_array()) return 0;
  for (const auto& file : files->get_array()) {
    if (!file.is_object()) continue;
    const auto& row = file.get_object();
    std::printf("%-44s %12s %12s  %s\n", text_of(row, "File").c_str(),
                text_of(row, "Index").c_str(), text_of(row, "Size").c_str(),
                text_of(row, "Time").c_str());
  }
  return 0;
}

struct Verb {
  const char* name;
  int (*run)(const Arguments& arguments, const std::string& file);
};
constexpr Verb kVerbs[] = {{"save", save}, {"inspect", inspect}, {"restore", restore}};

}  // namespace

int run_snapshot_command(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments[0] == "list") {
    auto parsed = parse_arguments({arguments.begin() + 1, arguments.end()});
    return parsed ? list(*parsed) : failed("in the arguments", parsed.error());
  }
  const auto found = std::ranges::find_if(
      kVerbs, [&](const Verb& verb) { return !arguments.empty() && arguments[0] == verb.name; });
  if (found == std::end(kVerbs)) {
    std::fputs(kUsage, stderr);
    return 1;
  }
  auto parsed = parse_arguments({arguments.begin() + 1, arguments.end()});
  if (!parsed) return failed("in the arguments", parsed.error());
  if (parsed->words.size() != 1) {
    std::fprintf(stderr, "%s: one FILE is needed\n\n%s", found->name, kUsage);
    return 1;
  }
  return found->run(*parsed, parsed->words.front());
}

}  // namespace fyr::app
