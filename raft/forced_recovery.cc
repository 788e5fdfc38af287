#include "raft/forced_recovery.h"

#include <memory>
#include <system_error>

#include "raft/members_file.h"
#include "raft/rocks_storage.h"

namespace fyr::raft {
namespace {

// Higher than any term the others may have reached without this node.
constexpr std::uint64_t kTermStep = 1'000;

struct OpenFolder {
  std::unique_ptr<RocksStorage> storage;
  FolderReport report;
};

Result<OpenFolder> open_folder(const std::filesystem::path& directory) {
  std::error_code error;
  if (!std::filesystem::exists(directory / "identity", error))
    return fail(ErrorCode::NotFound, directory.string() + ": no Raft folder of a server");
  RocksStorageOptions options;
  options.directory = directory;
  auto opened = RocksStorage::open(options);
  if (!opened) return opened.error();
  OpenFolder out{std::move(*opened), {}};
  const RecoveredState state = out.storage->take_recovered();
  out.report.identity = out.storage->identity();
  out.report.hard = state.hard;
  out.report.first = state.base.index.next();
  const Term term = state.runs.empty() ? state.base.term : state.runs.back().term;
  out.report.last = {state.last, term};
  out.report.members = out.storage->configuration_at(state.last);
  if (state.quarantine) {
    const auto why = read_quarantine(directory / "quarantine");
    out.report.quarantine = why ? why->reason : why.error().message;
  }
  return out;
}

}  // namespace

Result<FolderReport> inspect_folder(const std::filesystem::path& directory) {
  auto folder = open_folder(directory);
  if (!folder) return folder.error();
  return std::move(folder->report);
}

Result<FolderReport> force_recovery(const std::filesystem::path& directory) {
  {
    auto folder = open_folder(directory);
    if (!folder) return folder.error();
    const FolderReport& was = folder->report;
    if (was.identity.cluster.empty() || was.last.index == Index{}) {
      return fail(ErrorCode::InvalidArgument,
                  directory.string() + ": this server never belonged to a cluster");
    }
    Member self;
    if (const Member* known = was.members.find(was.identity.node)) self = *known;
    self.id = was.identity.node;
    self.kind = MemberKind::Data;
    // First: once this node may lead alone, no old member may reach it.
    if (auto done = folder->storage->raise_recovery_epoch(); !done) return done.error();
    const Term term(was.hard.term.value + kTermStep);
    PersistBatch batch;
    batch.hard = HardState{term, NodeId{}};
    batch.entries.push_back(
        {term, was.last.index.next(), EntryType::Config,
         std::make_shared<const std::string>(encode_configuration(single_voter(self)))});
    if (auto done = folder->storage->write({&batch, 1}); !done) return done.error();
    PersistBatch healed;
    healed.end_quarantine = true;
    if (auto done = folder->storage->write({&healed, 1}); !done) return done.error();
    if (auto done = folder->storage->sync_watermark(); !done) return done.error();
  }
  return inspect_folder(directory);
}

}  // namespace fyr::raft
