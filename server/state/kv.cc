// Keys, values and the locks on them.
#include <algorithm>

#include "server/state/tables.h"

namespace fyr::server {

namespace {

// The first key after all that start with `prefix`; empty: there is none.
std::string after_prefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

struct KvRange {
  KvSet::Set::const_iterator from, to;
};
KvRange range_of(const KvSet& kv, std::string_view prefix) {
  const std::string end = after_prefix(prefix);
  return {kv.lower_bound(prefix), end.empty() ? kv.end() : kv.lower_bound(end)};
}

bool same_content(const pb::KvPair& a, const pb::KvPair& b) {
  return a.flags() == b.flags() && a.lock_index() == b.lock_index() && a.session() == b.session() &&
         a.value() == b.value();
}

void note_lock(Tables& tables, const pb::KvPair* old, const pb::KvPair* now) {
  const bool was = old && !old->session().empty(), is = now && !now->session().empty();
  if (was && is && old->session() == now->session()) return;
  if (was) {
    auto it = tables.locks.find(old->session());
    if (it != tables.locks.end()) {
      it->second.erase(old->key());
      if (it->second.empty()) tables.locks.erase(it);
    }
  }
  if (is) tables.locks[now->session()].insert(now->key());
}

// Stores `now` over `old`; nothing happens if they say the same.
void set_kv(Change& change, const KvRow& old, std::shared_ptr<pb::KvPair> now) {
  if (old && same_content(*old, *now)) return;
  now->set_create_index(old ? old->create_index() : change.index);
  now->set_modify_index(change.index);
  change.write_row(Table::Kv, now->key(), old.get(), now.get());
  note_lock(change.tables, old.get(), now.get());
  if (!old) {
    auto tombstone = change.tables.kept.find(TopicRef{TopicKind::KvKey, now->key()});
    if (tombstone != change.tables.kept.end()) change.forget(tombstone);
  }
  change.note(TopicKind::KvKey, now->key());
  change.tables.kv.put(std::move(now));
}

ApplyResult lost() {
  ApplyResult result;
  result.done = false;
  return result;
}

// A plain write leaves the lock's holder as it is.
ApplyResult set(Change& change, const KvRow& old, const pb::KvPair& given) {
  auto now = std::make_shared<pb::KvPair>(given);
  now->set_session(old ? old->session() : std::string());
  set_kv(change, old, std::move(now));
  return {};
}

ApplyResult set_if_unchanged(Change& change, const KvRow& old, const pb::KvPair& given) {
  const StateIndex index = old ? old->modify_index() : 0;  // 0: must not exist
  return index == given.modify_index() ? set(change, old, given) : lost();
}

ApplyResult remove_if_unchanged(Change& change, const KvRow& old, const pb::KvPair& given) {
  if (!old) return {};
  if (old->modify_index() != given.modify_index()) return lost();
  delete_kv(change, old);
  return {};
}

ApplyResult remove_tree(Change& change, std::string_view prefix) {
  Tables& tables = change.tables;
  const KvRange range = range_of(tables.kv, prefix);
  if (range.from == range.to) return {};
  if (std::next(range.from) == range.to) {
    delete_kv(change, *range.from);
    return {};
  }
  // One tombstone covers the tree, and older ones inside it.
  const std::string end = after_prefix(prefix);
  for (const TopicKind kind : {TopicKind::KvKey, TopicKind::KvPrefix}) {
    auto it = tables.kept.lower_bound(TopicRef{kind, prefix});
    while (it != tables.kept.end() && it->first.kind == kind &&
           (end.empty() || it->first.key < end))
      it = change.forget(it);
  }
  change.keep(TopicKind::KvPrefix, prefix, change.index);
  // Readers wait for this: what a row costs beyond leaving the set is left to complete().
  std::vector<KvRow> rows;
  tables.kv.take(range.from, range.to, rows);
  if (!tables.locks.empty())
    for (const KvRow& row : rows) note_lock(tables, row.get(), nullptr);
  change.removed(std::move(rows));
  return {};
}

ApplyResult lock(Change& change, const KvRow& old, const pb::KvWrite& request) {
  const pb::KvPair& given = request.pair();
  const std::string& session = given.session();
  if (session.empty()) return refuse(ErrorCode::InvalidArgument, "missing session");
  if (session.size() != 36)
    return refuse(ErrorCode::InvalidArgument,
                  "failed session lookup: index error: UUID must be 36 characters");
  if (!change.tables.sessions.find(session))
    return refuse(ErrorCode::InvalidArgument, "invalid session \"" + session + "\"");
  if (old && !old->session().empty() && old->session() != session) return lost();
  const bool held = old && old->session() == session;
  auto delay = change.tables.lock_delays.find(given.key());
  const bool delayed = delay != change.tables.lock_delays.end() && change.stamp_ns < delay->second;
  if (delayed || request.lock_delayed()) return lost();
  auto now = std::make_shared<pb::KvPair>(given);
  // Every change of hands counts; taking again what one holds does not.
  now->set_lock_index((old ? old->lock_index() : 0) + (held ? 0 : 1));
  set_kv(change, old, std::move(now));
  return {};
}

ApplyResult unlock(Change& change, const KvRow& old, const pb::KvPair& given) {
  if (given.session().empty()) return refuse(ErrorCode::InvalidArgument, "missing session");
  if (!old || old->session() != given.session()) return lost();
  auto now = std::make_shared<pb::KvPair>(given);
  now->clear_session();
  now->set_lock_index(old->lock_index());
  set_kv(change, old, std::move(now));
  return {};
}

}  // namespace

void delete_kv(Change& change, const KvRow& given) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): keeps alive what erase() lets go
  const KvRow old = given;
  change.write_row<pb::KvPair>(Table::Kv, old->key(), old.get(), nullptr);
  note_lock(change.tables, old.get(), nullptr);
  change.tables.kv.erase(old->key());
  change.note(TopicKind::KvKey, old->key());
  change.keep(TopicKind::KvKey, old->key(), change.index);
}

void release_kv(Change& change, const KvRow& old) {
  auto now = std::make_shared<pb::KvPair>(*old);
  now->clear_session();
  set_kv(change, old, std::move(now));
}

ApplyResult apply_kv(Change& change, const pb::KvWrite& request) {
  const pb::KvPair& given = request.pair();
  const bool whole_tree = request.verb() == pb::KvWrite::DELETE_TREE;
  if (given.key().empty() && !whole_tree)
    return refuse(ErrorCode::InvalidArgument, "Missing key name");
  const KvRow old = whole_tree ? nullptr : change.tables.kv.find(given.key());
  switch (request.verb()) {
    case pb::KvWrite::SET:
      return set(change, old, given);
    case pb::KvWrite::CAS:
      return set_if_unchanged(change, old, given);
    case pb::KvWrite::DELETE:
      if (old) delete_kv(change, old);
      return {};
    case pb::KvWrite::DELETE_CAS:
      return remove_if_unchanged(change, old, given);
    case pb::KvWrite::DELETE_TREE:
      return remove_tree(change, given.key());
    case pb::KvWrite::LOCK:
      return lock(change, old, request);
    case pb::KvWrite::UNLOCK:
      return unlock(change, old, given);
    default:
      return refuse(ErrorCode::Unsupported, "kv: unknown verb");
  }
}

StateIndex Tables::kv_key_index(std::string_view key) const {
  if (const KvRow row = kv.find(key)) return row->modify_index();
  StateIndex index = missing_index({TopicKind::KvKey, key});
  if (tree_tombstones == 0) return index;
  for (std::size_t n = 0; n <= key.size(); ++n) {
    auto it = kept.find(TopicRef{TopicKind::KvPrefix, key.substr(0, n)});
    if (it != kept.end()) index = std::max(index, it->second);
  }
  return index;
}

StateIndex Tables::kv_prefix_index(std::string_view prefix) const {
  // What covers the prefix itself, then everything below it, living or gone.
  StateIndex index = missing_index({TopicKind::KvPrefix, prefix});
  if (tree_tombstones > 0)
    for (std::size_t n = 0; n < prefix.size(); ++n) {
      auto it = kept.find(TopicRef{TopicKind::KvPrefix, prefix.substr(0, n)});
      if (it != kept.end()) index = std::max(index, it->second);
    }
  const std::string end = after_prefix(prefix);
  for (const TopicKind kind : {TopicKind::KvKey, TopicKind::KvPrefix})
    for (auto it = kept.lower_bound(TopicRef{kind, prefix});
         it != kept.end() && it->first.kind == kind && (end.empty() || it->first.key < end); ++it)
      index = std::max(index, it->second);
  const KvRange range = range_of(kv, prefix);
  for (auto it = range.from; it != range.to; ++it) index = std::max(index, (*it)->modify_index());
  return index;
}

// ---- reads ------------------------------------------------------------------------------------

KvRow StateStore::kv(std::string_view key) const {
  return tables_->kv.find(key);
}

std::vector<KvRow> rows_below(const KvSet& kv, std::string_view prefix) {
  const KvRange range = range_of(kv, prefix);
  return {range.from, range.to};
}

Listing<KvRow> StateStore::kv_list(std::string_view prefix) const {
  Listing<KvRow> out;
  out.index = tables_->kv_prefix_index(prefix);
  out.rows = rows_below(tables_->kv, prefix);
  return out;
}

Listing<std::string> StateStore::kv_keys(std::string_view prefix,
                                         std::string_view separator) const {
  Listing<std::string> out;
  out.index = tables_->kv_prefix_index(prefix);
  const KvRange range = range_of(tables_->kv, prefix);
  for (auto it = range.from; it != range.to;) {
    const std::string& key = (*it)->key();
    const std::size_t at =
        separator.empty() ? std::string::npos : key.find(separator, prefix.size());
    if (at == std::string::npos) {
      out.rows.push_back(key);
      ++it;
      continue;
    }
    out.rows.push_back(key.substr(0, at + separator.size()));
    // Over the whole group in one step.
    const std::string end = after_prefix(out.rows.back());
    it = end.empty() ? range.to : tables_->kv.lower_bound(end);
  }
  return out;
}

std::size_t StateStore::kv_count() const {
  return tables_->kv.size();
}

}  // namespace fyr::server
