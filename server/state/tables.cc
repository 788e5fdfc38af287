#include "server/state/tables.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/state/digest.h"

namespace fyr::server {

namespace {

unsigned char lower(char c) {
  return static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

constexpr char kTopicRow = 't', kFloorRow = 'f', kDelayRow = 'd', kRestoredRow = 'r';

// Kinds whose kept indexes belong to a thing that may be gone for good; the others are few.
bool is_reapable(TopicKind kind) {
  switch (kind) {
    case TopicKind::Nodes:
    case TopicKind::ServiceNames:
    case TopicKind::Sessions:
    case TopicKind::CheckState:
    case TopicKind::Instances:
    case TopicKind::Queries:
    case TopicKind::ConfigEntries:
    case TopicKind::Coordinates:
      return false;
    default:
      return true;
  }
}

// Keys and trees of keys share a floor: either may have covered a key that is missing now.
TopicKind floor_kind(TopicKind kind) {
  return kind == TopicKind::KvPrefix ? TopicKind::KvKey : kind;
}

}  // namespace

int compare_ignoring_case(std::string_view a, std::string_view b) {
  const std::size_t n = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < n; ++i) {
    if (a[i] == b[i]) continue;
    const int x = lower(a[i]), y = lower(b[i]);
    if (x != y) return x - y;
  }
  return a.size() < b.size() ? -1 : a.size() > b.size();
}

std::string node_row_key(std::string_view node) {
  return to_lower(node);
}

std::string item_row_key(std::string_view node, std::string_view id) {
  std::string key;
  key.reserve(2 + node.size() + id.size());
  // The length keeps (a, bc) and (ab, c) apart, whatever bytes the names hold.
  append_be16(key, static_cast<std::uint16_t>(node.size()));
  key += to_lower(node);
  key += to_lower(id);
  return key;
}

// Kinds hold no slash.
std::string config_key(std::string_view kind, std::string_view name) {
  return std::string(kind).append("/").append(name);
}

std::string meta_topic_key(TopicKind kind, std::string_view key) {
  std::string out{kTopicRow, static_cast<char>(kind)};
  return out.append(key);
}
std::string meta_floor_key(TopicKind kind) {
  return {kFloorRow, static_cast<char>(kind)};
}
std::string meta_delay_key(std::string_view key) {
  return std::string{kDelayRow}.append(key);
}

std::string meta_restored_key() {
  return std::string{kRestoredRow};
}
std::string staged_row_key(std::string_view id, std::uint32_t part) {
  std::string out(id);
  append_be32(out, part);
  return out;
}

std::string encode_index(std::uint64_t value) {
  std::string out;
  append_be64(out, value);
  return out;
}

std::uint64_t row_hash(Table table, std::string_view key, std::string_view value) {
  return hash_bytes(value, hash_bytes(key, static_cast<std::uint64_t>(table)));
}

NodeEntry* Tables::find_node(std::string_view name) {
  auto it = nodes.find(to_lower(name));
  return it == nodes.end() ? nullptr : &it->second;
}
const NodeEntry* Tables::find_node(std::string_view name) const {
  return const_cast<Tables*>(this)->find_node(name);
}
const ServiceEntry* Tables::find_service(std::string_view name) const {
  auto it = services.find(to_lower(name));
  return it == services.end() ? nullptr : &it->second;
}

StateIndex Tables::missing_index(TopicRef topic) const {
  auto floor = floors.find(floor_kind(topic.kind));
  const StateIndex least = std::max(restored, floor == floors.end() ? 1 : floor->second);
  auto it = kept.find(topic);
  return it == kept.end() ? least : std::max(least, it->second);
}

bool Tables::is_live(const Topic& topic) const {
  switch (topic.kind) {
    case TopicKind::Service:
    case TopicKind::ServiceInstances:
    case TopicKind::ServiceChecks:
      return services.contains(topic.key);
    case TopicKind::Node:
    case TopicKind::NodeServices:
    case TopicKind::NodeChecks:
    case TopicKind::NodeSessions:
      return nodes.contains(topic.key);
    case TopicKind::Session:
      return sessions.find(topic.key) != nullptr;
    case TopicKind::Query:
      return queries.contains(topic.key);
    case TopicKind::ConfigEntry:
      return configs.contains(topic.key);
    default:
      return false;
  }
}

void Change::write_bytes(Table table, std::string key, std::string_view old, bool had_old,
                         std::shared_ptr<const std::string> now) {
  if (had_old) tables.digest -= row_hash(table, key, old);
  if (now) tables.digest += row_hash(table, key, *now);
  out_.rows.push_back(RowChange{table, std::move(key), std::move(now)});
}

void Change::write_staged(const std::string& key, std::shared_ptr<const std::string> now) {
  auto it = tables.staged.find(key);
  const bool had = it != tables.staged.end();
  const auto old = had ? it->second : nullptr;
  if (now) tables.staged.insert_or_assign(key, now);
  if (!now && had) tables.staged.erase(it);
  write_bytes(Table::Staged, key, old ? std::string_view(*old) : std::string_view(), had,
              std::move(now));
}

void Change::write_meta(std::string key, std::optional<std::uint64_t> old,
                        std::optional<std::uint64_t> now) {
  std::shared_ptr<const std::string> value;
  if (now) value = std::make_shared<const std::string>(encode_index(*now));
  write_bytes(Table::Meta, std::move(key), old ? encode_index(*old) : std::string(),
              old.has_value(), std::move(value));
}

void Change::note(TopicKind kind, std::string_view key) {
  out_.topics.push_back(Topic{kind, std::string(key)});
}

void Change::touch(TopicKind kind, std::string_view key, StateIndex& slot, bool gone) {
  slot = index;
  note(kind, key);
  if (gone) keep(kind, key, index);
}

void Change::touch_names() {
  touch(TopicKind::ServiceNames, {}, tables.names_index, true);
}

void Change::touch_state(std::string_view status, bool gone) {
  auto it = tables.state_index.find(status);
  if (it == tables.state_index.end()) it = tables.state_index.emplace(status, 1).first;
  touch(TopicKind::CheckState, status, it->second, gone);
}

void Change::keep(TopicKind kind, std::string_view key, StateIndex value) {
  auto it = tables.kept.find(TopicRef{kind, key});
  if (it == tables.kept.end()) {
    tables.kept.emplace(Topic{kind, std::string(key)}, value);
    if (kind == TopicKind::KvPrefix) ++tables.tree_tombstones;
    write_meta(meta_topic_key(kind, key), std::nullopt, value);
  } else if (it->second != value) {
    write_meta(meta_topic_key(kind, key), it->second, value);
    it->second = value;
  }
}

KeptIndexes::iterator Change::forget(KeptIndexes::iterator it) {
  write_meta(meta_topic_key(it->first.kind, it->first.key), it->second, std::nullopt);
  if (it->first.kind == TopicKind::KvPrefix) --tables.tree_tombstones;
  return tables.kept.erase(it);
}

ApplyResult apply_reap(Change& change, const pb::TombstoneReap& request) {
  Tables& tables = change.tables;
  for (auto it = tables.kept.begin(); it != tables.kept.end();) {
    const auto& [topic, index] = *it;
    if (index > request.upto_index() || !is_reapable(topic.kind) || tables.is_live(topic)) {
      ++it;
      continue;
    }
    const TopicKind kind = floor_kind(topic.kind);
    auto floor = tables.floors.find(kind);
    if (floor == tables.floors.end()) {
      tables.floors.emplace(kind, index);
      change.write_meta(meta_floor_key(kind), std::nullopt, index);
    } else if (floor->second < index) {
      change.write_meta(meta_floor_key(kind), floor->second, index);
      floor->second = index;
    }
    it = change.forget(it);
  }
  return {};
}

std::size_t StateStore::tombstone_count() const {
  return tables_->kept.size();
}

StateIndex StateStore::reap_index(std::size_t keep) const {
  std::vector<StateIndex> ages;
  for (const auto& [topic, index] : tables_->kept)
    if (is_reapable(topic.kind) && !tables_->is_live(topic)) ages.push_back(index);
  if (ages.size() <= keep) return 0;
  const auto last = ages.begin() + static_cast<std::ptrdiff_t>(ages.size() - keep - 1);
  std::nth_element(ages.begin(), last, ages.end());
  return *last;
}

}  // namespace fyr::server
