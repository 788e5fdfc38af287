#include "raft/rocks_storage.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"
#include "raft/log_recovery.h"
#include "raft/members_file.h"
#include "raft/state_generations.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

constexpr char kIdentity[] = "identity";
constexpr char kLock[] = "lock";
constexpr char kHardState[] = "hardstate";
constexpr char kWatermark[] = "watermark";
constexpr char kLog[] = "log";
constexpr char kMembers[] = "members";
constexpr char kQuarantine[] = "quarantine";

// The first entry of a cluster has term 1.
constexpr HardState kBootstrapState{Term(1), NodeId{}};

template <std::size_t N>
std::string random_bytes() {
  std::array<std::uint8_t, N> bytes{};
  fill_secure_random(bytes);
  return std::string(bytes.begin(), bytes.end());
}

NodeId random_node_id() {
  NodeId id;
  while (id == NodeId{}) id = NodeId(read_be64(random_bytes<8>()));
  return id;
}

// A folder without an identity may hold nothing but what we make before it, and the state
// databases of our own process beside it.
Result<void> refuse_foreign(const fs::path& directory) {
  std::error_code error;
  if (fs::exists(directory / kIdentity, error)) return {};
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name == kLock || name == "state" || name == "snapshots" || name.starts_with(kIdentity)) {
      continue;
    }
    return fail(
        ErrorCode::InvalidArgument,
        directory.string() + ": not empty and not a Raft folder of ours (found \"" + name + "\")");
  }
  if (error) {
    return fail(ErrorCode::InvalidArgument,
                directory.string() + ": cannot be read: " + error.message());
  }
  return {};
}

// Everything of a first start but the identity; nothing of it was acknowledged before.
Result<void> prepare(const fs::path& directory, const Identity& identity, HardState initial) {
  if (auto done = write_identity(directory / kIdentity, identity); !done) return done;
  std::error_code error;
  fs::remove_all(directory / kLog, error);
  if (error) {
    return fail(ErrorCode::Internal,
                (directory / kLog).string() + ": cannot be removed: " + error.message());
  }
  auto hard_state = HardStateFile::create(directory / kHardState, initial);
  if (!hard_state) return hard_state.error();
  auto watermark = WatermarkFile::create(directory / kWatermark, Watermark{});
  if (!watermark) return watermark.error();
  return {};
}

Result<Identity> open_identity(const fs::path& directory, HardState initial) {
  std::error_code error;
  if (!fs::exists(directory / kIdentity, error)) {
    Identity fresh{.node = random_node_id(), .cluster = {}, .ready = false};
    if (auto done = prepare(directory, fresh, initial); !done) return done.error();
    return fresh;
  }
  auto identity = read_identity(directory / kIdentity);
  if (!identity) return identity.error();
  if (!identity->ready) {
    log::debug("raft", "{}: no start got to its end yet; making the folder again",
               directory.string());
    identity->cluster.clear();
    if (auto done = prepare(directory, *identity, initial); !done) return done.error();
  }
  return *identity;
}

// What the system says about the folder or a file in it, as an error about the folder.
Error as_unusable(const fs::path& directory, const Error& error) {
  switch (error.code) {
    case ErrorCode::Conflict:
    case ErrorCode::Corrupt:
    case ErrorCode::Unsupported:
      return error;
    default:
      return fail(ErrorCode::InvalidArgument,
                  directory.string() + ": cannot be used: " + error.message);
  }
}

Result<io::FileLock> lock_folder(const fs::path& directory) {
  if (auto done = io::make_directories(directory); !done)
    return as_unusable(directory, done.error());
  // Before anything is written into it.
  if (auto done = refuse_foreign(directory); !done) return done.error();
  auto lock = io::FileLock::acquire(directory / kLock);
  if (!lock) return as_unusable(directory, lock.error());
  return lock;
}

bool is_special(const PersistBatch& batch) {
  return batch.install || batch.end_quarantine;
}

}  // namespace

RocksStorage::RocksStorage(const RocksStorageOptions& options, std::shared_ptr<FolderClaim> claim,
                           Identity identity, HardStateFile hard_state, WatermarkFile watermark,
                           std::unique_ptr<RocksLog> log)
    : directory_(options.directory),
      on_install_(options.on_install),
      claim_(std::move(claim)),
      identity_(std::move(identity)),
      hard_state_(std::move(hard_state)),
      watermark_(std::move(watermark)),
      log_(std::move(log)) {}

RocksStorage::~RocksStorage() = default;

Result<Identity> RocksStorage::identify(const fs::path& directory) {
  auto lock = lock_folder(directory);
  if (!lock) return lock.error();
  auto identity = open_identity(directory, HardState{});
  if (!identity) return as_unusable(directory, identity.error());
  return identity;
}

Result<std::shared_ptr<FolderClaim>> RocksStorage::claim(const fs::path& directory) {
  auto lock = lock_folder(directory);
  if (!lock) return lock.error();
  return std::make_shared<FolderClaim>(FolderClaim{std::move(*lock), now()});
}

Result<std::unique_ptr<RocksStorage>> RocksStorage::open(const RocksStorageOptions& options) {
  const fs::path& directory = options.directory;
  std::shared_ptr<FolderClaim> claim = options.claim;
  if (!claim) {
    auto made = RocksStorage::claim(directory);
    if (!made) return made.error();
    claim = std::move(*made);
  }
  auto identity = open_identity(directory, options.bootstrap ? kBootstrapState : HardState{});
  if (!identity) return as_unusable(directory, identity.error());
  auto hard_state = HardStateFile::open(directory / kHardState);
  if (!hard_state) return hard_state.error();
  auto watermark = WatermarkFile::open(directory / kWatermark);
  auto recovery = recover_log({.directory = directory,
                               .self = identity->node,
                               .hard = hard_state->state(),
                               .incarnation = hard_state->incarnation(),
                               .first_start = !identity->ready,
                               .watermark = &watermark,
                               .state = options.state,
                               .env = options.env});
  if (!recovery) return recovery.error();

  std::unique_ptr<RocksStorage> out(
      new RocksStorage(options, std::move(claim), std::move(*identity), std::move(*hard_state),
                       std::move(*watermark), std::move(recovery->log)));
  out->recovered_ = std::move(recovery->state);
  if (auto done = out->check_term(); !done) return done.error();
  if (options.bootstrap) {
    auto founded = out->bootstrap(options);
    if (!founded) return founded.error();
    if (*founded) {
      auto again = out->log_->recover();
      if (!again) return again.error();
      out->recovered_ = std::move(*again);
    }
  }
  if (auto done = out->begin_life(); !done) return done.error();
  out->empty_ = out->log_->last() == Index{};
  if (auto done = out->note_members(); !done) return done.error();
  const HardState hard = out->hard_state_.state();
  out->recovered_.hard = hard;
  out->recovered_.alone_since = out->claim_->since;
  // Before the first election nobody was promised anything.
  out->recovered_.ever_voted =
      hard.voted_for != NodeId{} || hard.term > Term(1) || out->recovered_.last > Index(1);
  return out;
}

Identity RocksStorage::identity() const {
  std::lock_guard lock(identity_mutex_);
  return identity_;
}

// The first entry comes before the cluster's name: nobody else has heard of either yet.
// Messages of an earlier life can be told from ours by the incarnation; the first one is 1.
Result<void> RocksStorage::begin_life() {
  const bool founded = identity_.cluster.empty() && log_->last() != Index{};
  if (founded) identity_.cluster = to_hex(random_bytes<16>());
  if (identity_.ready) {
    if (founded) {
      if (auto done = write_identity(directory_ / kIdentity, identity_); !done) return done;
    }
    return hard_state_.raise_incarnation();
  }
  identity_.ready = true;
  return write_identity(directory_ / kIdentity, identity_);  // syncs the folder, too
}

// The first entry of a new cluster is its configuration. Only on a node that never heard of a term:
// an empty disk under an old name must not found a second cluster. False: it stays as it is.
Result<bool> RocksStorage::bootstrap(const RocksStorageOptions& options) {
  const HardState hard = hard_state_.state();
  if (log_->last() != Index{} || hard.term > Term(1) || hard.voted_for != NodeId{}) return false;
  if (watermark_.value().index != Index{} || recovered_.quarantine) return false;
  if (!identity_.cluster.empty()) return false;  // adopted: a member of that one
  Configuration first;
  first.members = options.members;
  if (first.members.empty()) {
    first.members.push_back({.id = identity_.node,
                             .name = options.name,
                             .address = options.address,
                             .site = options.site,
                             .priority = options.priority});
  }
  for (const Member& member : first.members) {
    if (member.kind == MemberKind::ReadServer) {
      first.learners.push_back(member.id);
    } else {
      first.voters.push_back(member.id);
    }
  }
  if (!first.is_voter(identity_.node)) {
    return fail(ErrorCode::InvalidArgument, "members: this node is not a voter among them");
  }
  PersistBatch batch;
  batch.hard = kBootstrapState;
  batch.entries.push_back({Term(1), Index(1), EntryType::Config,
                           std::make_shared<const std::string>(encode_configuration(first))});
  if (auto done = write({&batch, 1}); !done) return done.error();
  return true;
}

Result<void> RocksStorage::adopt(const std::string& cluster, std::uint32_t recovery_epoch) {
  std::lock_guard lock(identity_mutex_);
  if (identity_.cluster == cluster && identity_.recovery_epoch == recovery_epoch) return {};
  if (!identity_.cluster.empty()) {
    return fail(ErrorCode::Conflict,
                "cluster: this node belongs to " + identity_.cluster + ", not to " + cluster);
  }
  if (cluster.empty()) return fail(ErrorCode::InvalidArgument, "cluster: empty");
  if (!empty_) return fail(ErrorCode::Conflict, "cluster: the log of this node is not empty");
  Identity next = identity_;
  next.cluster = cluster;
  next.recovery_epoch = recovery_epoch;
  if (auto done = write_identity(directory_ / kIdentity, next); !done) return done;
  identity_ = std::move(next);
  return {};
}

Result<void> RocksStorage::raise_recovery_epoch() {
  std::lock_guard lock(identity_mutex_);
  Identity next = identity_;
  ++next.recovery_epoch;
  if (auto done = write_identity(directory_ / kIdentity, next); !done) return done;
  identity_ = std::move(next);
  return {};
}

// A vote may be lost where the log has terms that the hard state never heard of.
Result<void> RocksStorage::check_term() const {
  const Term term = hard_state_.state().term;
  if (log_->last_term() <= term) return {};
  return fail(ErrorCode::Corrupt, (directory_ / kHardState).string() + ": term " +
                                      std::to_string(term.value) + " is older than the log's " +
                                      std::to_string(log_->last_term().value));
}

// ---- writing ----------------------------------------------------------------------------------

Result<void> RocksStorage::write(std::span<const PersistBatch> batches) {
  while (!batches.empty()) {
    const PersistBatch& head = batches.front();
    if (is_special(head)) {
      if (head.hard) {
        if (auto done = write_hard(*head.hard); !done) return done;
      }
      if (head.install) {
        if (auto done = install(*head.install); !done) return done;
      }
      if (head.end_quarantine) {
        if (auto done = end_quarantine(); !done) return done;
      }
    }
    const auto next = std::find_if(batches.begin() + 1, batches.end(), is_special);
    const auto count = static_cast<std::size_t>(next - batches.begin());
    if (auto done = write_run(batches.first(count)); !done) return done;
    batches = batches.subspan(count);
  }
  return {};
}

Result<void> RocksStorage::write_hard(HardState hard) {
  if (hard == hard_state_.state()) return {};
  return hard_state_.write(hard);
}

Result<void> RocksStorage::write_run(std::span<const PersistBatch> batches) {
  HardState hard = hard_state_.state();
  Index cut{};
  bool members_change = false;
  for (const PersistBatch& batch : batches) {
    if (batch.hard) hard = *batch.hard;
    if (batch.truncate_from != Index{}) {
      members_change = true;
      if (batch.truncate_from <= watermark_.value().index) {
        cut = cut == Index{} ? batch.truncate_from : std::min(cut, batch.truncate_from);
      }
    }
    for (const Entry& entry : batch.entries) {
      members_change = members_change || entry.type == EntryType::Config;
    }
  }
  if (auto done = write_hard(hard); !done) return done;
  if (cut != Index{}) {
    auto term = log_->term_of(cut.previous());
    if (!term) return term.error();
    if (auto done = watermark_.lower({cut.previous(), *term}); !done) return done;
  }
  if (auto done = log_->write(batches); !done) return done;
  if (members_change) {
    if (auto done = note_members(); !done) return done;
  }
  const Watermark reached{log_->last(), log_->last_term()};
  if (reached == watermark_.value()) return {};
  empty_ = false;
  return watermark_.raise(reached);  // before anybody is told
}

// Stopped anywhere, the next start finds the mark and knows by the state's generation whether to
// take it back or to carry on.
Result<void> RocksStorage::install(const LogBase& base) {
  const auto stop_at = [this](InstallStep step) {
    return on_install_ ? on_install_(step) : Result<void>();
  };
  const StateGenerations generations(directory_);
  auto current = generations.current();
  if (!current) return current.error();
  const std::uint64_t next = *current + 1;
  if (auto done = log_->begin_install({next, base}); !done) return done;
  if (auto done = stop_at(InstallStep::Marked); !done) return done;
  if (auto done = generations.set_current(next); !done) return done;
  if (auto done = stop_at(InstallStep::Exchanged); !done) return done;
  if (auto done = continue_after(*log_, watermark_, base); !done) return done;
  empty_ = false;
  if (auto done = note_members(); !done) return done;
  return stop_at(InstallStep::Done);
}

Result<void> RocksStorage::end_quarantine() {
  if (auto done = io::remove_file(directory_ / kQuarantine); !done) return done;
  return io::sync_directory(directory_);
}

Result<void> RocksStorage::note_members() {
  Configuration newest = log_->newest_configuration();
  if (members_ == newest || (!members_ && newest == Configuration{})) return {};
  if (auto done = write_members(directory_ / kMembers, newest); !done) return done;
  members_ = std::move(newest);
  return {};
}

Result<void> RocksStorage::compact(const LogBase& base) {
  return log_->compact(base);
}

Result<std::vector<Entry>> RocksStorage::read(IndexRange range, std::size_t max_bytes) const {
  return log_->read(range, max_bytes);
}

}  // namespace fyr::raft
