// Network coordinates of nodes: kept, not computed with.
#include <algorithm>

#include "base/bytes.h"
#include "server/state/tables.h"

namespace fyr::server {

namespace {

// The rows of a node stand together.
std::string first_key(std::string_view node) {
  return item_row_key(node, "");
}

}  // namespace

ApplyResult apply_coordinate_update(Change& change, const pb::CoordinateUpdate& request) {
  Tables& tables = change.tables;
  for (const pb::Coordinate& given : request.coordinates()) {
    const NodeEntry* node = tables.find_node(given.node());
    if (!node) continue;
    const std::string key = item_row_key(node->key, given.segment());
    auto it = tables.coordinates.find(key);
    const CoordinateRow old = it == tables.coordinates.end() ? nullptr : it->second;
    auto row = std::make_shared<pb::Coordinate>(given);
    row->set_node(node->row->name());
    row->set_create_index(old ? old->create_index() : change.index);
    row->set_modify_index(old ? old->modify_index() : change.index);
    if (old && old->SerializeAsString() == row->SerializeAsString()) continue;
    row->set_modify_index(change.index);
    change.write_row(Table::Coordinates, key, old.get(), row.get());
    tables.coordinates[key] = std::move(row);
    change.touch(TopicKind::Coordinates, {}, tables.coordinates_index);
  }
  return {};
}

void remove_coordinates(Change& change, std::string_view node) {
  Tables& tables = change.tables;
  const std::string prefix = first_key(node);
  auto it = tables.coordinates.lower_bound(prefix);
  while (it != tables.coordinates.end() && it->first.starts_with(prefix)) {
    change.write_row<pb::Coordinate>(Table::Coordinates, it->first, it->second.get(), nullptr);
    it = tables.coordinates.erase(it);
    change.touch(TopicKind::Coordinates, {}, tables.coordinates_index, true);
  }
}

Result<void> load_coordinate(Tables& tables, std::string_view value) {
  auto row = std::make_shared<pb::Coordinate>();
  if (!row->ParseFromArray(value.data(), static_cast<int>(value.size())) || row->node().empty())
    return fail(ErrorCode::Corrupt, "state: a coordinate cannot be read");
  tables.coordinates_index = std::max<StateIndex>(tables.coordinates_index, row->modify_index());
  std::string key = item_row_key(row->node(), row->segment());
  tables.coordinates[std::move(key)] = std::move(row);
  return {};
}

Listing<CoordinateRow> StateStore::coordinates() const {
  Listing<CoordinateRow> out;
  out.index = tables_->coordinates_index;
  out.rows.reserve(tables_->coordinates.size());
  for (const auto& [key, row] : tables_->coordinates) out.rows.push_back(row);
  std::stable_sort(out.rows.begin(), out.rows.end(), [](const auto& a, const auto& b) {
    return compare_ignoring_case(a->node(), b->node()) < 0;
  });
  return out;
}

std::vector<CoordinateRow> StateStore::node_coordinates(std::string_view node) const {
  std::vector<CoordinateRow> out;
  const std::string prefix = first_key(node);
  for (auto it = tables_->coordinates.lower_bound(prefix);
       it != tables_->coordinates.end() && it->first.starts_with(prefix); ++it)
    out.push_back(it->second);
  return out;
}

}  // namespace fyr::server
