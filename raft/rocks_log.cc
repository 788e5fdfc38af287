#include "raft/rocks_log.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <mutex>

#include "base/bytes.h"
#include "base/check.h"
#include "base/io/file.h"
#include "raft/sized_wal.h"

namespace fyr::raft {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kHeaderBytes = 1 + 8 + 1 + 4;
constexpr char kBaseKey[] = "base";
constexpr char kLastKey[] = "last";
constexpr char kInstallKey[] = "install_marker";

std::string key_of(Index index) {
  std::string out;
  append_be64(out, index.value);
  return out;
}

std::string crc_of(const Entry& entry, std::string_view data) {
  std::string head;
  append_be64(head, entry.index.value);
  append_be64(head, entry.term.value);
  head.push_back(static_cast<char>(entry.type));
  std::string out;
  append_be32(out, crc32c(data, crc32c(head)));
  return out;
}

void encode_header(const Entry& entry, std::string_view data, std::string& out) {
  out.assign(1, kVersion);
  append_be64(out, entry.term.value);
  out.push_back(static_cast<char>(entry.type));
  out += crc_of(entry, data);
}

std::string with_crc(std::string bytes) {
  append_be32(bytes, crc32c(bytes));
  return bytes;
}

// What with_crc() covered; nullopt when it does not match.
std::optional<std::string_view> without_crc(std::string_view bytes) {
  if (bytes.size() < 4) return std::nullopt;
  const std::string_view covered = bytes.substr(0, bytes.size() - 4);
  std::string crc;
  append_be32(crc, crc32c(covered));
  if (bytes.substr(covered.size()) != crc) return std::nullopt;
  return covered;
}

std::string encode_base(const LogBase& base) {
  std::string out(1, kVersion);
  append_be64(out, base.index.value);
  append_be64(out, base.term.value);
  out += encode_configuration(base.configuration);
  return with_crc(std::move(out));
}

std::optional<LogBase> decode_base(std::string_view value) {
  const auto bytes = without_crc(value);
  if (!bytes || bytes->size() < 17 || bytes->front() != kVersion) return std::nullopt;
  auto configuration = decode_configuration(bytes->substr(17));
  if (!configuration) return std::nullopt;
  return LogBase{Index(read_be64(bytes->substr(1))), Term(read_be64(bytes->substr(9))),
                 std::move(*configuration)};
}

std::string encode_last(Index index, Term term) {
  std::string out;
  append_be64(out, index.value);
  append_be64(out, term.value);
  return with_crc(std::move(out));
}

rocksdb::ColumnFamilyOptions family_options() {
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.block_cache = rocksdb::NewLRUCache(512 << 10, 0);
  table.block_size = 32 << 10;
  rocksdb::ColumnFamilyOptions out;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  out.compression = rocksdb::kNoCompression;
  out.write_buffer_size = 16 << 20;
  out.max_write_buffer_number = 3;
  out.paranoid_file_checks = true;
  return out;
}

rocksdb::DBOptions db_options(rocksdb::Env* env) {
  rocksdb::DBOptions out;
  out.env = env;
  out.create_if_missing = true;
  out.create_missing_column_families = true;
  out.paranoid_checks = true;
  // By default RocksDB resumes by itself after a failed sync of its log.
  out.max_bgerror_resume_count = 0;
  out.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  out.track_and_verify_wals_in_manifest = true;
  // What was recovered is written and synced anew before the node says anything.
  out.avoid_flush_during_recovery = false;
  out.atomic_flush = true;
  out.max_background_jobs = 2;
  out.max_total_wal_size = 64 << 20;
  out.allow_concurrent_memtable_write = false;  // there is one writer
  out.enable_write_thread_adaptive_yield = false;
  out.stats_dump_period_sec = 0;
  out.stats_persist_period_sec = 0;
  out.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  out.max_log_file_size = 1 << 20;
  out.keep_log_file_num = 2;
  return out;
}

}  // namespace

struct RocksLog::Impl {
  std::filesystem::path directory;
  std::shared_ptr<rocksdb::Env> env;
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::ColumnFamilyHandle* entries = nullptr;
  rocksdb::ColumnFamilyHandle* meta = nullptr;
  LogBase base;
  Index last{};
  Term last_term{};
  std::optional<Install> install;
  mutable std::mutex configurations_mutex;
  // In force from that index on, the base's first; guarded by configurations_mutex.
  std::vector<std::pair<Index, Configuration>> configurations;
  rocksdb::WriteBatch batch;  // reused for its buffer
  std::string header;

  ~Impl() {
    if (!db) return;
    db->DestroyColumnFamilyHandle(entries);
    db->DestroyColumnFamilyHandle(meta);
    db->Close();
  }

  Error damaged(const std::string& what) const {
    return fail(ErrorCode::Corrupt, directory.string() + ": " + what);
  }
  Error failed(const rocksdb::Status& status) const {
    // A file that is not there was there once.
    const bool corrupt = status.IsCorruption() || status.IsPathNotFound();
    return fail(corrupt ? ErrorCode::Corrupt : ErrorCode::Internal,
                directory.string() + ": " + status.ToString());
  }
  Result<void> read_meta();
  Result<Entry> decode(Index index, std::string_view value) const;
  Result<void> commit();
  Result<void> commit_entries();
  void put(const Entry& entry);
  // What is known of configurations, after the entries >= from went away, or those <= base.
  void forget_configurations_from(Index from);
  void rebase_configurations();
};

RocksLog::RocksLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksLog::~RocksLog() = default;
Index RocksLog::last() const {
  return impl_->last;
}
Term RocksLog::last_term() const {
  return impl_->last_term;
}

const LogBase& RocksLog::base() const {
  return impl_->base;
}
const std::optional<RocksLog::Install>& RocksLog::pending_install() const {
  return impl_->install;
}
Configuration RocksLog::newest_configuration() const {
  std::lock_guard lock(impl_->configurations_mutex);
  return impl_->configurations.back().second;
}
Configuration RocksLog::configuration_at(Index index) const {
  std::lock_guard lock(impl_->configurations_mutex);
  const auto& all = impl_->configurations;
  auto after = std::ranges::upper_bound(all, index, {}, [](const auto& c) { return c.first; });
  return after == all.begin() ? Configuration{} : std::prev(after)->second;
}

Result<std::unique_ptr<RocksLog>> RocksLog::open(const std::filesystem::path& directory,
                                                 rocksdb::Env* env, bool upto_first_fault) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, family_options()}, {"meta", family_options()}};
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  impl->env = with_sized_wal(env);
  rocksdb::DBOptions options = db_options(impl->env.get());
  if (upto_first_fault) options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  const auto status = rocksdb::DB::Open(options, directory.string(), families, &handles, &db);
  if (!status.ok()) return impl->failed(status);
  impl->db.reset(db);
  impl->entries = handles[0];
  impl->meta = handles[1];
  if (auto done = impl->read_meta(); !done) return done.error();
  return std::unique_ptr<RocksLog>(new RocksLog(std::move(impl)));
}

// ---- recovery ---------------------------------------------------------------------------------

Result<void> RocksLog::Impl::read_meta() {
  std::string value;
  auto status = db->Get({}, meta, kBaseKey, &value);
  if (status.ok()) {
    auto found = decode_base(value);
    if (!found) return damaged("the description of the log's start is damaged");
    base = std::move(*found);
  } else if (!status.IsNotFound()) {
    return failed(status);
  }
  last = base.index;
  last_term = base.term;
  status = db->Get({}, meta, kLastKey, &value);
  if (status.ok()) {
    const auto bytes = without_crc(value);
    if (!bytes || bytes->size() != 16) return damaged("the log's last index is damaged");
    last = Index(read_be64(*bytes));
    last_term = Term(read_be64(bytes->substr(8)));
  } else if (!status.IsNotFound()) {
    return failed(status);
  }
  if (last < base.index) return damaged("the log ends before it starts");
  configurations.assign(1, {base.index, base.configuration});
  status = db->Get({}, meta, kInstallKey, &value);
  if (status.IsNotFound()) return {};
  if (!status.ok()) return failed(status);
  auto marked = value.size() < 8 ? std::nullopt : decode_base(std::string_view(value).substr(8));
  if (!marked) return damaged("the mark of an install is damaged");
  install = Install{read_be64(value), std::move(*marked)};
  return {};
}

void RocksLog::Impl::forget_configurations_from(Index from) {
  std::lock_guard lock(configurations_mutex);
  while (configurations.size() > 1 && configurations.back().first >= from)
    configurations.pop_back();
}

void RocksLog::Impl::rebase_configurations() {
  std::lock_guard lock(configurations_mutex);
  std::erase_if(configurations, [&](const auto& c) { return c.first <= base.index; });
  configurations.insert(configurations.begin(), {base.index, base.configuration});
}

Result<Entry> RocksLog::Impl::decode(Index index, std::string_view value) const {
  const std::string name = "entry " + std::to_string(index.value);
  if (value.size() < kHeaderBytes) return damaged(name + " is damaged: too short");
  if (value[0] != kVersion) {
    return fail(ErrorCode::Unsupported, directory.string() + ": " + name + " has version " +
                                            std::to_string(static_cast<int>(value[0])));
  }
  Entry out;
  out.index = index;
  out.term = Term(read_be64(value.substr(1)));
  const auto type = static_cast<std::uint8_t>(value[9]);
  out.type = static_cast<EntryType>(type);
  const std::string_view data = value.substr(kHeaderBytes);
  if (value.substr(10, 4) != crc_of(out, data)) return damaged(name + " fails its checksum");
  if (type > static_cast<std::uint8_t>(EntryType::Check)) {
    return fail(ErrorCode::Unsupported,
                directory.string() + ": " + name + " has unknown type " + std::to_string(type));
  }
  out.data = std::make_shared<const std::string>(data);
  return out;
}

Result<RecoveredState> RocksLog::recover() {
  RecoveredState out;
  out.base = impl_->base;
  out.last = impl_->last;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.verify_checksums = true;
  impl_->rebase_configurations();
  impl_->forget_configurations_from(impl_->base.index.next());
  const std::unique_ptr<rocksdb::Iterator> it(impl_->db->NewIterator(options, impl_->entries));
  Index expected = impl_->base.index.next();
  Term term = impl_->base.term;
  for (it->Seek(key_of(expected)); it->Valid(); it->Next(), expected = expected.next()) {
    const std::string_view key(it->key().data(), it->key().size());
    if (key != key_of(expected) || expected > impl_->last) {
      return impl_->damaged("entry " + std::to_string(expected.value) + " is missing");
    }
    auto entry = impl_->decode(expected, {it->value().data(), it->value().size()});
    if (!entry) return entry.error();
    if (entry->term < term)
      return impl_->damaged("terms fall at entry " + std::to_string(expected.value));
    if (out.runs.empty() || entry->term > term) out.runs.push_back({expected, entry->term});
    term = entry->term;
    if (entry->type == EntryType::Config) {
      auto configuration = decode_configuration(*entry->data);
      if (!configuration) return impl_->damaged(configuration.error().message);
      {
        std::lock_guard lock(impl_->configurations_mutex);
        impl_->configurations.emplace_back(expected, *configuration);
      }
      out.configurations.emplace_back(expected, std::move(*configuration));
    }
    out.entry_bytes.push_back(entry_cost(*entry));
  }
  if (!it->status().ok()) return impl_->failed(it->status());
  if (expected != impl_->last.next() || term != impl_->last_term) {
    return impl_->damaged("entry " + std::to_string(expected.value) +
                          " is missing; the log should reach " + std::to_string(impl_->last.value));
  }
  return out;
}

// ---- writing ----------------------------------------------------------------------------------

void RocksLog::Impl::put(const Entry& entry) {
  CHECK(entry.index == last.next());
  const std::string_view data = entry.data ? std::string_view(*entry.data) : std::string_view();
  encode_header(entry, data, header);
  const std::string key_bytes = key_of(entry.index);
  const rocksdb::Slice key(key_bytes);
  const rocksdb::Slice parts[] = {rocksdb::Slice(header), rocksdb::Slice(data.data(), data.size())};
  const auto status =
      batch.Put(entries, rocksdb::SliceParts(&key, 1), rocksdb::SliceParts(parts, 2));
  CHECK(status.ok());
  last = entry.index;
  last_term = entry.term;
  if (entry.type != EntryType::Config) return;
  auto configuration = decode_configuration(data);
  CHECK_MSG(configuration, "a configuration entry that is none");
  std::lock_guard lock(configurations_mutex);
  configurations.emplace_back(entry.index, std::move(*configuration));
}

Result<void> RocksLog::Impl::commit() {
  constexpr std::size_t kKeptBuffer = 8 << 20;
  rocksdb::WriteOptions options;
  options.sync = true;
  const auto status = db->Write(options, &batch);
  if (batch.GetDataSize() > kKeptBuffer) {
    batch = rocksdb::WriteBatch();
  } else {
    batch.Clear();
  }
  if (!status.ok()) return failed(status);
  return {};
}

Result<void> RocksLog::Impl::commit_entries() {
  const auto status = batch.Put(meta, kLastKey, encode_last(last, last_term));
  CHECK(status.ok());
  return commit();
}

Result<void> RocksLog::write(std::span<const PersistBatch> batches) {
  Impl& impl = *impl_;
  bool changed = false;
  for (const PersistBatch& one : batches) {
    if (one.truncate_from != Index{} && one.truncate_from <= impl.last) {
      // What earlier batches of the group put must be readable for the term before the cut. The
      // cut and what follows it in its own batch stay one atomic write.
      if (changed) {
        if (auto done = impl.commit_entries(); !done) return done;
      }
      const Index kept = one.truncate_from.previous();
      auto term = term_of(kept);
      if (!term) return term.error();
      const auto status =
          impl.batch.DeleteRange(impl.entries, key_of(one.truncate_from), key_of(impl.last.next()));
      CHECK(status.ok());
      impl.last = kept;
      impl.last_term = *term;
      impl.forget_configurations_from(one.truncate_from);
      changed = true;
    }
    for (const Entry& entry : one.entries) impl.put(entry);
    changed = changed || !one.entries.empty();
  }
  if (!changed) return {};
  return impl.commit_entries();
}

Result<void> RocksLog::compact(const LogBase& base) {
  Impl& impl = *impl_;
  CHECK(base.index > impl.base.index && base.index <= impl.last);
  const std::string begin = key_of(Index{});
  const std::string end = key_of(base.index.next());
  CHECK(impl.batch.DeleteRange(impl.entries, begin, end).ok());
  CHECK(impl.batch.Put(impl.meta, kBaseKey, encode_base(base)).ok());
  // Synced before any file goes: an older base must not come back without its entries.
  if (auto done = impl.commit(); !done) return done;
  impl.base = base;
  impl.rebase_configurations();
  const rocksdb::Slice first(begin);
  const rocksdb::Slice last(end);
  const auto status =
      rocksdb::DeleteFilesInRange(impl.db.get(), impl.entries, &first, &last, false);
  if (!status.ok()) return impl.failed(status);
  return {};
}

// ---- snapshots and repair ---------------------------------------------------------------------

Result<void> RocksLog::begin_install(const Install& install) {
  std::string value;
  append_be64(value, install.generation);
  value += encode_base(install.base);
  CHECK(impl_->batch.Put(impl_->meta, kInstallKey, value).ok());
  if (auto done = impl_->commit(); !done) return done;
  impl_->install = install;
  return {};
}

Result<void> RocksLog::cancel_install() {
  CHECK(impl_->batch.Delete(impl_->meta, kInstallKey).ok());
  if (auto done = impl_->commit(); !done) return done;
  impl_->install.reset();
  return {};
}

bool RocksLog::holds(LogPosition position) const {
  if (position.index < impl_->base.index || position.index > impl_->last) return false;
  const auto term = term_of(position.index);
  return term && *term == position.term;
}

Result<void> RocksLog::finish_install(const LogBase& base) {
  Impl& impl = *impl_;
  const bool keeps = holds({base.index, base.term});
  const Index upto = keeps ? base.index : std::max(impl.last, base.index);
  const std::string end = key_of(upto.next());
  CHECK(impl.batch.DeleteRange(impl.entries, key_of(Index{}), end).ok());
  CHECK(impl.batch.Put(impl.meta, kBaseKey, encode_base(base)).ok());
  CHECK(impl.batch.Delete(impl.meta, kInstallKey).ok());
  if (!keeps) {
    impl.last = base.index;
    impl.last_term = base.term;
    impl.forget_configurations_from(Index{});
  }
  impl.base = base;
  if (auto done = impl.commit_entries(); !done) return done;
  impl.install.reset();
  impl.rebase_configurations();
  return {};
}

Result<void> RocksLog::start_at(const LogBase& base) {
  CHECK(impl_->last == Index{});
  return finish_install(base);
}

Result<void> RocksLog::salvage(
    const std::function<Result<void>(std::span<const Entry>)>& take) const {
  constexpr std::size_t kAtOnce = 4 << 20;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> it(impl_->db->NewIterator(options, impl_->entries));
  std::vector<Entry> good;
  std::size_t bytes = 0;
  Index expected = impl_->base.index.next();
  Term term = impl_->base.term;
  for (it->Seek(key_of(expected)); it->Valid(); it->Next(), expected = expected.next()) {
    if (std::string_view(it->key().data(), it->key().size()) != key_of(expected)) break;
    auto entry = impl_->decode(expected, {it->value().data(), it->value().size()});
    if (!entry || entry->term < term || expected > impl_->last) break;
    if (entry->type == EntryType::Config && !decode_configuration(*entry->data)) break;
    term = entry->term;
    bytes += entry_cost(*entry);
    good.push_back(std::move(*entry));
    if (bytes < kAtOnce) continue;
    if (auto done = take(good); !done) return done;
    good.clear();
    bytes = 0;
  }
  if (good.empty()) return {};
  return take(good);
}

// ---- reading ----------------------------------------------------------------------------------

Result<std::vector<Entry>> RocksLog::read(IndexRange range, std::size_t max_bytes) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::string end = key_of(range.last.next());
  const rocksdb::Slice upper(end);
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> it(impl_->db->NewIterator(options, impl_->entries));
  std::vector<Entry> out;
  std::size_t bytes = 0;
  Index expected = range.first;
  for (it->Seek(key_of(expected)); it->Valid() && (out.empty() || bytes < max_bytes); it->Next()) {
    if (std::string_view(it->key().data(), it->key().size()) != key_of(expected)) break;
    auto entry = impl_->decode(expected, {it->value().data(), it->value().size()});
    if (!entry) return entry.error();
    bytes += entry_cost(*entry);
    out.push_back(std::move(*entry));
    expected = expected.next();
  }
  if (!it->status().ok()) return impl_->failed(it->status());
  const bool complete = expected == range.last.next() || (!out.empty() && bytes >= max_bytes);
  if (!complete) return impl_->damaged("entry " + std::to_string(expected.value) + " is missing");
  return out;
}

Result<Term> RocksLog::term_of(Index index) const {
  if (index == impl_->base.index) return impl_->base.term;
  auto entries = read({index, index}, 1);
  if (!entries) return entries.error();
  return entries->front().term;
}

}  // namespace fyr::raft
