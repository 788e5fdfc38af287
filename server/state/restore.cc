// Saving all rows and putting others in their place.
//
// Every restored row counts as changed at the index of the restore: indexes in the archive are of
// another time or another cluster, and a client that waits or compares must never see one again
// that it knows with other content. What was left empty has that index, too (Tables::restored).
#include <algorithm>
#include <map>
#include <set>

#include "base/bytes.h"
#include "server/state/saved_rows.h"
#include "server/state/tables.h"

namespace fyr::server {
namespace {

std::uint32_t read_be32(std::string_view bytes) {
  std::uint32_t out = 0;
  for (const char c : bytes.substr(0, 4)) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

constexpr std::string_view kMagic = "fyr-rows";
constexpr char kVersion = 1;
constexpr std::size_t kRowHead = 9;
constexpr std::uint32_t kMaxParts = 4096;
constexpr char kAutopilotKey[] = "autopilot";

template <class T>
Result<std::string> renumbered(std::string_view value, StateIndex index) {
  T row;
  if (!row.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return fail(ErrorCode::Corrupt, "state: a row cannot be read");
  row.set_create_index(std::min<StateIndex>(row.create_index(), index));
  row.set_modify_index(index);
  return row.SerializeAsString();
}

Result<std::string> renumbered(Table table, std::string_view value, StateIndex index) {
  switch (table) {
    case Table::Nodes:
      return renumbered<pb::Node>(value, index);
    case Table::Services:
      return renumbered<pb::ServiceInstance>(value, index);
    case Table::Checks:
      return renumbered<pb::HealthCheck>(value, index);
    case Table::Kv:
      return renumbered<pb::KvPair>(value, index);
    case Table::Sessions:
      return renumbered<pb::Session>(value, index);
    case Table::Queries:
      return renumbered<pb::PreparedQuery>(value, index);
    case Table::ConfigEntries:
      return renumbered<pb::ConfigEntry>(value, index);
    case Table::Coordinates:
      return renumbered<pb::Coordinate>(value, index);
    case Table::Operator:
      return renumbered<pb::AutopilotConfig>(value, index);
    default:
      return std::string(value);
  }
}

// Indexes kept for what is gone say nothing after a restore.
bool is_kept_index(Table table, std::string_view key) {
  return table == Table::Meta && !key.empty() && (key[0] == 't' || key[0] == 'f' || key[0] == 'r');
}

}  // namespace

std::string encode_rows(const std::vector<StoredRow>& rows) {
  std::string out(kMagic);
  out.push_back(kVersion);
  std::uint64_t count = 0;
  for (const StoredRow& row : rows) {
    if (row.table == Table::Staged) continue;
    const std::string value = row.value();
    out.push_back(static_cast<char>(row.table));
    append_be32(out, static_cast<std::uint32_t>(row.key.size()));
    append_be32(out, static_cast<std::uint32_t>(value.size()));
    out += row.key;
    out += value;
    ++count;
  }
  out.push_back(0);
  append_be64(out, count);
  return out;
}

Result<void> decode_rows(std::string_view bytes, const TakeRow& take) {
  const auto cut = [] { return fail(ErrorCode::Corrupt, "state: the rows are cut short"); };
  if (!bytes.starts_with(kMagic)) return fail(ErrorCode::Corrupt, "state: these are no rows");
  if (bytes.size() <= kMagic.size()) return cut();
  if (bytes[kMagic.size()] != kVersion)
    return fail(ErrorCode::Unsupported, "state: rows of an unknown version");
  bytes.remove_prefix(kMagic.size() + 1);
  for (std::uint64_t count = 0;; ++count) {
    if (bytes.size() < kRowHead) return cut();
    if (bytes[0] == 0) {
      if (bytes.size() != kRowHead || read_be64(bytes.substr(1)) != count)
        return fail(ErrorCode::Corrupt, "state: the number of rows is wrong");
      return {};
    }
    const auto table = static_cast<Table>(static_cast<unsigned char>(bytes[0]));
    const std::size_t key = read_be32(bytes.substr(1)), value = read_be32(bytes.substr(5));
    bytes.remove_prefix(kRowHead);
    if (bytes.size() < key || bytes.size() - key < value) return cut();
    if (auto taken = take(table, bytes.substr(0, key), bytes.substr(key, value)); !taken)
      return taken;
    bytes.remove_prefix(key + value);
  }
}

Result<StateStore> restored_state(std::string_view bytes, StateIndex index) {
  StateStore fresh;
  auto read = decode_rows(
      bytes, [&](Table table, std::string_view key, std::string_view value) -> Result<void> {
        if (table == Table::Staged) return fail(ErrorCode::Corrupt, "state: a staged row");
        if (is_kept_index(table, key)) return {};
        auto row = renumbered(table, value, index);
        if (!row) return row.error();
        return fresh.load_row(table, key, *row);
      });
  if (!read) return read.error();
  if (auto r = fresh.load_row(Table::Meta, meta_restored_key(), encode_index(index)); !r)
    return r.error();
  if (auto r = fresh.finish_load(index); !r) return r.error();
  return fresh;
}

namespace {

// Of each table that a restore brings back whole: how many rows, and the sum of their hashes.
struct TableSum {
  std::uint64_t count = 0, sum = 0;
  bool operator==(const TableSum&) const = default;
};
using TableSums = std::map<Table, TableSum>;

Result<TableSums> sums_of(const std::vector<StoredRow>& rows, StateIndex index) {
  TableSums out;
  for (const StoredRow& row : rows) {
    if (row.table == Table::Staged || row.table == Table::Meta) continue;
    const auto value = renumbered(row.table, row.value(), index);
    if (!value) return value.error();
    TableSum& sum = out[row.table];
    ++sum.count;
    sum.sum += row_hash(row.table, row.key, *value);
  }
  return out;
}

}  // namespace

Result<void> test_restore(const std::vector<StoredRow>& saved, std::string_view bytes,
                          StateIndex index) {
  const auto restored = restored_state(bytes, index);
  if (!restored) return restored.error();
  auto want = sums_of(saved, index), got = sums_of(restored->all_rows(), index);
  if (!want) return want.error();
  if (!got) return got.error();
  if (*want == *got) return {};
  std::string text = "state: what was restored is not what was saved:";
  for (const auto& [table, sum] : *want) {
    if (sum == (*got)[table]) continue;
    text += " table " + std::to_string(static_cast<int>(table)) + " has " +
            std::to_string((*got)[table].count) + " rows of " + std::to_string(sum.count) + ";";
  }
  return fail(ErrorCode::Corrupt, text);
}

std::vector<StoredRow> StateStore::all_rows() const {
  const Tables& all = *tables_;
  std::vector<StoredRow> out;
  out.reserve(all.kv.size() + all.nodes.size() + all.service_count + all.check_count +
              all.sessions.size() + all.kept.size());
  const auto meta = [&out](std::string key, std::uint64_t value) {
    out.push_back({Table::Meta, std::move(key), nullptr, encode_index(value)});
  };
  for (const auto& [name, node] : all.nodes) {
    out.push_back({Table::Nodes, node_row_key(node.row->name()), node.row, {}});
    for (const auto& [id, instance] : node.services)
      out.push_back(
          {Table::Services, item_row_key(node.row->name(), instance.row->id()), instance.row, {}});
    for (const CheckRow& row : node.checks)
      out.push_back({Table::Checks, item_row_key(node.row->name(), row->check_id()), row, {}});
  }
  for (const KvRow& row : all.kv) out.push_back({Table::Kv, row->key(), row, {}});
  for (const SessionRow& row : all.sessions) out.push_back({Table::Sessions, row->id(), row, {}});
  for (const auto& [id, row] : all.queries) out.push_back({Table::Queries, id, row, {}});
  for (const auto& [key, row] : all.configs) out.push_back({Table::ConfigEntries, key, row, {}});
  for (const auto& [key, row] : all.coordinates) out.push_back({Table::Coordinates, key, row, {}});
  for (const auto& [topic, index] : all.kept) meta(meta_topic_key(topic.kind, topic.key), index);
  for (const auto& [kind, index] : all.floors) meta(meta_floor_key(kind), index);
  for (const auto& [key, end] : all.lock_delays)
    meta(meta_delay_key(key), static_cast<std::uint64_t>(end));
  if (all.restored > 1) meta(meta_restored_key(), all.restored);
  if (all.autopilot) out.push_back({Table::Operator, kAutopilotKey, all.autopilot, {}});
  for (const auto& [key, part] : all.staged) out.push_back({Table::Staged, key, nullptr, *part});
  return out;
}

// ---- commands ---------------------------------------------------------------------------------

ApplyResult apply_restore_stage(Change& change, const pb::RestoreStage& request) {
  auto& staged = change.tables.staged;
  if (request.id().empty() || request.part() == 0) {
    while (!staged.empty()) change.write_staged(std::string(staged.begin()->first), nullptr);
    if (request.id().empty()) return {};
  } else if (!staged.contains(staged_row_key(request.id(), request.part() - 1))) {
    return refuse(ErrorCode::Conflict, "snapshot: another restore has begun");
  }
  if (request.part() >= kMaxParts)
    return refuse(ErrorCode::InvalidArgument, "snapshot: too large to be restored");
  change.write_staged(staged_row_key(request.id(), request.part()),
                      std::make_shared<const std::string>(request.data()));
  return {};
}

ApplyResult StateStore::restore(Change& change, const pb::RestoreCommit& request) {
  Tables& old = *tables_;
  std::string bytes;
  for (std::uint32_t part = 0; part < std::min(request.parts(), kMaxParts); ++part) {
    auto it = old.staged.find(staged_row_key(request.id(), part));
    if (it == old.staged.end())
      return refuse(ErrorCode::Conflict, "snapshot: another restore has begun");
    bytes += *it->second;
  }
  if (sha256(bytes) != request.sha256())
    return refuse(ErrorCode::Corrupt, "snapshot: the state fails its checksum");
  auto fresh = restored_state(bytes, change.index);
  if (!fresh) return refuse(fresh.error().code, fresh.error().message);
  std::set<std::pair<Table, std::string>> stays;
  std::vector<RowChange> put;
  std::uint64_t digest = 0;
  for (StoredRow& row : fresh->all_rows()) {
    auto value = std::make_shared<const std::string>(row.value());
    digest += row_hash(row.table, row.key, *value);
    stays.emplace(row.table, row.key);
    put.push_back({row.table, std::move(row.key), std::move(value)});
  }
  // Rows given twice or under keys that are not theirs.
  if (digest != fresh->digest())
    return refuse(ErrorCode::Corrupt, "snapshot: rows contradict each other");
  auto& rows = change.list().rows;
  for (StoredRow& row : all_rows()) {
    if (!stays.contains({row.table, row.key}))
      rows.push_back({row.table, std::move(row.key), nullptr});
  }
  rows.insert(rows.end(), std::make_move_iterator(put.begin()), std::make_move_iterator(put.end()));
  change.list().everything = true;
  *this = std::move(*fresh);
  return {};
}

}  // namespace fyr::server
