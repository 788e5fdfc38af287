// Configuration entries: objects by kind and name, kept as they are.
#include <algorithm>

#include "server/state/tables.h"

namespace fyr::server {

namespace {

ApplyResult lost() {
  ApplyResult result;
  result.done = false;
  return result;
}

// The lists that show an entry: of its kind, and of all.
void touch_lists(Change& change, const std::string& kind, bool gone) {
  for (const std::string& list : {kind, std::string()})
    change.touch(TopicKind::ConfigEntries, list,
                 change.tables.configs_index.try_emplace(list, 1).first->second, gone);
}

}  // namespace

ApplyResult apply_config_entry_set(Change& change, const pb::ConfigEntrySet& request) {
  const pb::ConfigEntry& given = request.entry();
  if (given.kind().empty() || given.name().empty())
    return refuse(ErrorCode::InvalidArgument, "Kind and Name are required");
  Tables& tables = change.tables;
  const std::string key = config_key(given.kind(), given.name());
  auto it = tables.configs.find(key);
  const ConfigRow old = it == tables.configs.end() ? nullptr : it->second;
  if (request.cas() && (old ? old->modify_index() : 0) != given.modify_index()) return lost();
  if (old && old->json() == given.json()) return {};
  auto row = std::make_shared<pb::ConfigEntry>(given);
  row->set_create_index(old ? old->create_index() : change.index);
  row->set_modify_index(change.index);
  change.write_row(Table::ConfigEntries, key, old.get(), row.get());
  if (!old) {
    auto tombstone = tables.kept.find(TopicRef{TopicKind::ConfigEntry, key});
    if (tombstone != tables.kept.end()) change.forget(tombstone);
  }
  tables.configs[key] = std::move(row);
  change.note(TopicKind::ConfigEntry, key);
  touch_lists(change, given.kind(), false);
  return {};
}

ApplyResult apply_config_entry_delete(Change& change, const pb::ConfigEntryDelete& request) {
  Tables& tables = change.tables;
  const std::string key = config_key(request.kind(), request.name());
  auto it = tables.configs.find(key);
  if (it == tables.configs.end()) return {};
  if (request.cas() && it->second->modify_index() != request.modify_index()) return lost();
  change.write_row<pb::ConfigEntry>(Table::ConfigEntries, key, it->second.get(), nullptr);
  tables.configs.erase(it);
  change.note(TopicKind::ConfigEntry, key);
  change.keep(TopicKind::ConfigEntry, key, change.index);
  touch_lists(change, request.kind(), true);
  return {};
}

Result<void> load_config_entry(Tables& tables, std::string_view value) {
  auto row = std::make_shared<pb::ConfigEntry>();
  if (!row->ParseFromArray(value.data(), static_cast<int>(value.size())) || row->kind().empty())
    return fail(ErrorCode::Corrupt, "state: a configuration entry cannot be read");
  for (const std::string& list : {row->kind(), std::string()}) {
    StateIndex& slot = tables.configs_index.try_emplace(list, 1).first->second;
    slot = std::max<StateIndex>(slot, row->modify_index());
  }
  std::string key = config_key(row->kind(), row->name());
  tables.configs[std::move(key)] = std::move(row);
  return {};
}

ConfigRow StateStore::config_entry(std::string_view kind, std::string_view name) const {
  auto it = tables_->configs.find(config_key(kind, name));
  return it == tables_->configs.end() ? nullptr : it->second;
}

Listing<ConfigRow> StateStore::config_entries(std::string_view kind) const {
  Listing<ConfigRow> out;
  out.index = index_of({TopicKind::ConfigEntries, std::string(kind)});
  const std::string prefix = kind.empty() ? std::string() : config_key(kind, "");
  for (auto it = tables_->configs.lower_bound(prefix);
       it != tables_->configs.end() && it->first.starts_with(prefix); ++it)
    out.rows.push_back(it->second);
  return out;
}

}  // namespace fyr::server
