#include "server/state_database.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <system_error>
#include <vector>

#include "base/bytes.h"
#include "base/io/file.h"

namespace fyr::server {

namespace {

constexpr std::uint64_t kLayout = 1;  // of the keys and of the applied record
constexpr std::size_t kRecordSize = 5 * 8;
constexpr char kAppliedKey[] = "applied";
// Small: what is not in files yet is applied again from the log at the next start.
constexpr std::size_t kMemtableBytes = 2 << 20;  // of one family
constexpr std::size_t kAllMemtableBytes = 4 << 20;

struct Family {
  Table table;
  const char* name;
};
// Families and their names are on disk: add, never rename.
constexpr std::array<Family, 11> kFamilies{{{Table::Nodes, "nodes"},
                                            {Table::Services, "services"},
                                            {Table::Checks, "checks"},
                                            {Table::Kv, "kv"},
                                            {Table::Sessions, "sessions"},
                                            {Table::Meta, "meta"},
                                            {Table::Operator, "operator"},
                                            {Table::Staged, "staged"},
                                            {Table::Queries, "queries"},
                                            {Table::ConfigEntries, "config_entries"},
                                            {Table::Coordinates, "coordinates"}}};

rocksdb::ColumnFamilyOptions family_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = kMemtableBytes;
  options.max_write_buffer_number = 3;
  options.arena_block_size = 256 << 10;
  options.compression = rocksdb::kNoCompression;
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::DBOptions database_options() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.atomic_flush = true;
  options.paranoid_checks = true;
  options.db_write_buffer_size = kAllMemtableBytes;
  options.max_background_jobs = 2;
  options.max_open_files = 64;
  options.max_file_opening_threads = 1;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_bgerror_resume_count = 0;
  options.skip_stats_update_on_db_open = true;
  return options;
}

std::string encode_record(const AppliedRecord& record) {
  std::string out;
  append_be64(out, kLayout);
  append_be64(out, record.index);
  append_be64(out, record.term);
  append_be64(out, static_cast<std::uint64_t>(record.stamp_ns));
  append_be64(out, record.digest);
  return out;
}

Result<AppliedRecord> decode_record(std::string_view bytes) {
  if (bytes.size() < 8) return fail(ErrorCode::Corrupt, "the applied record is cut short");
  if (read_be64(bytes) != kLayout)
    return fail(ErrorCode::Unsupported,
                "written by another version (layout " + std::to_string(read_be64(bytes)) + ")");
  if (bytes.size() != kRecordSize)
    return fail(ErrorCode::Corrupt, "the applied record has a wrong size");
  AppliedRecord record;
  record.index = read_be64(bytes.substr(8));
  record.term = read_be64(bytes.substr(16));
  record.stamp_ns = static_cast<std::int64_t>(read_be64(bytes.substr(24)));
  record.digest = read_be64(bytes.substr(32));
  return record;
}

}  // namespace

struct StateDatabase::Impl {
  std::filesystem::path directory;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;  // default, then kFamilies
  rocksdb::WriteBatch batch;

  ~Impl() {
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
    if (db) db->Close();
  }

  rocksdb::ColumnFamilyHandle* handle_of(Table table) const {
    return handles[static_cast<std::size_t>(table)];  // tables count from 1
  }

  Error error(ErrorCode code, std::string_view what) const {
    return fail(code, directory.string() + ": " + std::string(what));
  }
  Error error(const rocksdb::Status& status) const {
    const ErrorCode code = status.IsCorruption() ? ErrorCode::Corrupt : ErrorCode::Unavailable;
    return error(code, status.ToString());
  }
};

StateDatabase::StateDatabase() : impl_(std::make_unique<Impl>()) {}
StateDatabase::~StateDatabase() = default;

Result<std::unique_ptr<StateDatabase>> StateDatabase::open(const std::filesystem::path& directory) {
  if (auto made = io::make_directories(directory); !made) return made.error();
  std::unique_ptr<StateDatabase> self(new StateDatabase);
  Impl& impl = *self->impl_;
  impl.directory = directory;
  const auto cache = rocksdb::NewLRUCache(2 << 20);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.emplace_back(rocksdb::kDefaultColumnFamilyName, family_options(cache));
  for (const Family& family : kFamilies) families.emplace_back(family.name, family_options(cache));
  rocksdb::DB* db = nullptr;
  const auto status =
      rocksdb::DB::Open(database_options(), directory.string(), families, &impl.handles, &db);
  impl.db.reset(db);
  if (!status.ok()) return impl.error(status);
  return self;
}

Result<AppliedRecord> StateDatabase::load(StateStore& store) {
  Impl& impl = *impl_;
  std::string bytes;
  const auto found = impl.db->Get(rocksdb::ReadOptions(), kAppliedKey, &bytes);
  if (found.IsNotFound()) return AppliedRecord{};
  if (!found.ok()) return impl.error(found);
  const auto record = decode_record(bytes);
  if (!record) return impl.error(record.error().code, record.error().message);
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = 1 << 20;
  for (const Family& family : kFamilies) {
    std::unique_ptr<rocksdb::Iterator> it(
        impl.db->NewIterator(options, impl.handle_of(family.table)));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      const auto loaded =
          store.load_row(family.table, it->key().ToStringView(), it->value().ToStringView());
      if (!loaded) return impl.error(loaded.error().code, loaded.error().message);
    }
    if (!it->status().ok()) return impl.error(it->status());
  }
  if (auto done = store.finish_load(record->index); !done)
    return impl.error(done.error().code, done.error().message);
  if (store.digest() != record->digest)
    return impl.error(ErrorCode::Corrupt, "the rows do not have the recorded digest");
  return *record;
}

void StateDatabase::add(const ChangeList& changes) {
  for (const RowChange& row : changes.rows) {
    auto* handle = impl_->handle_of(row.table);
    if (row.value)
      impl_->batch.Put(handle, row.key, *row.value);
    else
      impl_->batch.Delete(handle, row.key);
  }
}

Result<void> StateDatabase::commit(const AppliedRecord& record) {
  impl_->batch.Put(kAppliedKey, encode_record(record));
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  const auto status = impl_->db->Write(options, &impl_->batch);
  impl_->batch.Clear();
  if (!status.ok()) return impl_->error(status);
  return {};
}

StateIndex StateDatabase::durable_applied() const {
  // What is in files only: without a write-ahead log that is what survives.
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kPersistedTier;
  std::string bytes;
  if (!impl_->db->Get(options, kAppliedKey, &bytes).ok()) return 0;
  const auto record = decode_record(bytes);
  return record ? record->index : 0;
}

Result<void> StateDatabase::flush() {
  const auto status = impl_->db->Flush(rocksdb::FlushOptions(), impl_->handles);
  if (!status.ok()) return impl_->error(status);
  return {};
}

namespace {

// RocksDB's own log files say where the copy was made; they belong to no snapshot.
void remove_notes(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> notes;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename().string().starts_with("LOG")) notes.push_back(it->path());
  }
  for (const auto& note : notes) std::filesystem::remove(note, error);
}

}  // namespace

Result<AppliedRecord> StateDatabase::checkpoint(const std::filesystem::path& copy) {
  Impl& impl = *impl_;
  // Without a write-ahead log only what is in files is copied.
  if (auto flushed = flush(); !flushed) return flushed.error();
  rocksdb::Checkpoint* made = nullptr;
  auto status = rocksdb::Checkpoint::Create(impl.db.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint(copy.string(), 0);
  if (!status.ok()) return impl.error(status);
  rocksdb::DB* opened = nullptr;
  rocksdb::Options options;
  options.info_log_level = rocksdb::FATAL_LEVEL;
  status = rocksdb::DB::OpenForReadOnly(options, copy.string(), &opened);
  const std::unique_ptr<rocksdb::DB> db(opened);
  if (!status.ok()) return impl.error(status);
  std::string bytes;
  status = db->Get(rocksdb::ReadOptions(), kAppliedKey, &bytes);
  remove_notes(copy);
  if (status.IsNotFound()) return AppliedRecord{};
  if (!status.ok()) return impl.error(status);
  const auto record = decode_record(bytes);
  if (!record) return impl.error(record.error().code, record.error().message);
  return *record;
}

}  // namespace fyr::server
