#include "raft/rocks_storage.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

constexpr char kIdentity[] = "identity";
constexpr char kLock[] = "lock";
constexpr char kHardState[] = "hardstate";
constexpr char kWatermark[] = "watermark";
constexpr char kLog[] = "log";

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
    if (name == kLock || name == "state" || name.starts_with(kIdentity)) continue;
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
    log::warn("raft", "{}: the first start did not get to its end; making the folder again",
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

std::string in_words(Index index, Term term) {
  return std::to_string(index.value) + " (term " + std::to_string(term.value) + ")";
}

}  // namespace

Result<std::unique_ptr<RocksStorage>> RocksStorage::open(const RocksStorageOptions& options) {
  const fs::path& directory = options.directory;
  if (auto done = io::make_directories(directory); !done)
    return as_unusable(directory, done.error());
  // Before anything is written into it.
  if (auto done = refuse_foreign(directory); !done) return done.error();
  auto lock = io::FileLock::acquire(directory / kLock);
  if (!lock) return as_unusable(directory, lock.error());
  auto identity = open_identity(directory, options.bootstrap ? kBootstrapState : HardState{});
  if (!identity) return as_unusable(directory, identity.error());
  auto hard_state = HardStateFile::open(directory / kHardState);
  if (!hard_state) return hard_state.error();
  auto watermark = WatermarkFile::open(directory / kWatermark);
  if (!watermark) return watermark.error();
  std::error_code error;
  if (identity->ready && !fs::exists(directory / kLog / "CURRENT", error)) {
    return fail(ErrorCode::Corrupt, (directory / kLog).string() + ": the log is missing");
  }
  auto log = RocksLog::open(directory / kLog);
  if (!log) return log.error();

  std::unique_ptr<RocksStorage> out(new RocksStorage(std::move(*lock), std::move(*identity),
                                                     std::move(*hard_state), std::move(*watermark),
                                                     std::move(*log)));
  if (options.bootstrap) {
    if (auto done = out->bootstrap(options); !done) return done.error();
  }
  if (auto done = out->begin_life(directory); !done) return done.error();
  auto recovered = out->log_->recover();
  if (!recovered) return recovered.error();
  out->recovered_ = std::move(*recovered);
  out->recovered_.hard = out->hard_state_.state();
  if (auto done = out->check_consistency(directory); !done) return done.error();
  return out;
}

// Messages of an earlier life can be told from ours by the incarnation; the first one is 1.
Result<void> RocksStorage::begin_life(const std::filesystem::path& directory) {
  if (identity_.ready) return hard_state_.raise_incarnation();
  identity_.ready = true;
  return write_identity(directory / kIdentity, identity_);  // syncs the folder, too
}

// The first entry of a new cluster is its configuration, with us as the sole voter. Only on a node
// that never heard of a term: an empty disk under an old name must not found a second cluster.
Result<void> RocksStorage::bootstrap(const RocksStorageOptions& options) {
  const HardState hard = hard_state_.state();
  if (log_->last() != Index{} || hard.term > Term(1) || hard.voted_for != NodeId{}) return {};
  if (watermark_.value().index != Index{}) return {};
  if (identity_.cluster.empty()) {
    identity_.cluster = to_hex(random_bytes<16>());
    // A folder that is not ready yet gets it with the final identity.
    if (identity_.ready) {
      auto done = write_identity(options.directory / kIdentity, identity_);
      if (!done) return done;
    }
  }
  Member self{.id = identity_.node, .name = options.name, .address = options.address, .site = {}};
  PersistBatch batch;
  batch.hard = kBootstrapState;
  batch.entries.push_back(
      {Term(1), Index(1), EntryType::Config,
       std::make_shared<const std::string>(encode_configuration(single_voter(std::move(self))))});
  return write({&batch, 1});
}

Result<void> RocksStorage::check_consistency(const std::filesystem::path& directory) const {
  const Watermark mark = watermark_.value();
  if (recovered_.last < mark.index) {
    return fail(ErrorCode::Corrupt, (directory / kLog).string() +
                                        ": acknowledged entries are lost: the log ends at " +
                                        in_words(recovered_.last, log_->last_term()) +
                                        ", it had reached " + in_words(mark.index, mark.term));
  }
  if (log_->last_term() > recovered_.hard.term) {
    return fail(ErrorCode::Corrupt, (directory / kHardState).string() + ": term " +
                                        std::to_string(recovered_.hard.term.value) +
                                        " is older than the log's " +
                                        std::to_string(log_->last_term().value));
  }
  if (mark.index <= recovered_.base.index) return {};
  const auto after = std::ranges::upper_bound(recovered_.runs, mark.index, {}, &TermRun::first);
  const Term found = std::prev(after)->term;
  if (found != mark.term) {
    return fail(ErrorCode::Corrupt, (directory / kLog).string() + ": entry " +
                                        in_words(mark.index, found) + " should be " +
                                        in_words(mark.index, mark.term));
  }
  return {};
}

Result<void> RocksStorage::write(std::span<const PersistBatch> batches) {
  HardState hard = hard_state_.state();
  Index cut{};
  for (const PersistBatch& batch : batches) {
    if (batch.hard) hard = *batch.hard;
    if (batch.truncate_from != Index{} && batch.truncate_from <= watermark_.value().index) {
      cut = cut == Index{} ? batch.truncate_from : std::min(cut, batch.truncate_from);
    }
  }
  if (hard != hard_state_.state()) {
    if (auto done = hard_state_.write(hard); !done) return done;
  }
  if (cut != Index{}) {
    auto term = log_->term_of(cut.previous());
    if (!term) return term.error();
    if (auto done = watermark_.lower({cut.previous(), *term}); !done) return done;
  }
  if (auto done = log_->write(batches); !done) return done;
  const Watermark reached{log_->last(), log_->last_term()};
  if (reached == watermark_.value()) return {};
  return watermark_.raise(reached);  // before anybody is told
}

Result<void> RocksStorage::compact(const LogBase& base) {
  return log_->compact(base);
}

Result<std::vector<Entry>> RocksStorage::read(IndexRange range, std::size_t max_bytes) const {
  return log_->read(range, max_bytes);
}

}  // namespace fyr::raft
