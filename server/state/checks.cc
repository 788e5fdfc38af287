// Health checks, of nodes and of instances.
#include <algorithm>

#include "base/bytes.h"
#include "server/state/tables.h"

namespace fyr::server {

namespace {

constexpr std::string_view kCritical = "critical";

Instance* owner_of(NodeEntry& node, const pb::HealthCheck& row) {
  if (row.service_id().empty()) return nullptr;
  auto it = node.services.find(row.service_id());
  return it == node.services.end() ? nullptr : &it->second;
}

CheckSet& set_of(NodeEntry& node, Instance* owner) {
  return owner ? owner->checks : node.node_checks;
}

void touch_owner(Change& change, NodeEntry& node, Instance* owner, bool gone) {
  if (!owner) return touch_services_of(change, node, gone);
  ServiceEntry& entry = *owner->service;
  change.touch(TopicKind::Service, entry.key, entry.index, gone);
  change.touch(TopicKind::ServiceChecks, entry.key, entry.checks_index, gone);
}

std::shared_ptr<pb::HealthCheck> complete(const NodeEntry& node, const Instance* owner,
                                          const pb::HealthCheck& given) {
  auto row = std::make_shared<pb::HealthCheck>(given);
  row->set_node(node.row->name());
  row->set_check_id(known_check_id(given));
  if (row->status().empty()) row->set_status(std::string(kCritical));
  if (owner) {
    row->set_service_id(owner->row->id());
    row->set_service_name(owner->row->service());
    *row->mutable_service_tags() = owner->row->tags();
    row->set_has_service_tags(owner->row->has_tags());
  } else {
    row->clear_service_name();
    row->clear_service_tags();
    row->set_has_service_tags(false);
  }
  return row;
}

}  // namespace

std::string known_check_id(const pb::HealthCheck& given) {
  return given.check_id().empty() ? given.name() : given.check_id();
}

void put_check(Change& change, NodeEntry& node, const pb::HealthCheck& given,
               std::uint64_t agent_sequence) {
  Instance* owner = owner_of(node, given);
  std::shared_ptr<pb::HealthCheck> row = complete(node, owner, given);
  const CheckRow old = node.checks.find(row->check_id());
  if (old && is_overtaken(*old, agent_sequence)) return;
  const Difference difference = settle(old.get(), *row, change.index, agent_sequence);
  if (difference == Difference::None) return;
  change.write_row(Table::Checks, item_row_key(node.key, row->check_id()), old.get(), row.get());
  Instance* old_owner = old ? owner_of(node, *old) : owner;
  if (old && old_owner != owner) set_of(node, old_owner).erase(row->check_id());
  node.checks.put(row);
  set_of(node, owner).put(row);
  if (!old) ++change.tables.check_count;
  if (difference == Difference::Sequence) return;

  if (old_owner != owner) touch_owner(change, node, old_owner, true);
  touch_owner(change, node, owner, false);
  change.touch(TopicKind::Node, node.key, node.index);
  change.touch(TopicKind::NodeChecks, node.key, node.checks_index);
  if (old && old->status() != row->status()) change.touch_state(old->status(), true);
  change.touch_state(row->status(), false);
  change.touch_state("any", false);
  if (row->status() == kCritical) end_sessions_of_check(change, node, row->check_id());
}

void remove_check(Change& change, NodeEntry& node, const CheckRow& given) {
  const CheckRow row = given;  // may live in a set changed below
  Instance* owner = owner_of(node, *row);
  change.write_row<pb::HealthCheck>(Table::Checks, item_row_key(node.key, row->check_id()),
                                    row.get(), nullptr);
  node.checks.erase(row->check_id());
  set_of(node, owner).erase(row->check_id());
  --change.tables.check_count;
  touch_owner(change, node, owner, true);
  change.touch(TopicKind::Node, node.key, node.index, true);
  change.touch(TopicKind::NodeChecks, node.key, node.checks_index, true);
  change.touch_state(row->status(), true);
  change.touch_state("any", true);
  end_sessions_of_check(change, node, row->check_id());
}

Result<void> load_checks(Tables& tables, std::vector<CheckRow> rows) {
  const auto raise = [](StateIndex& slot, StateIndex index) { slot = std::max(slot, index); };
  for (CheckRow& row : rows) {
    NodeEntry* node = tables.find_node(row->node());
    if (!node) return fail(ErrorCode::Corrupt, "state: check " + row->check_id() + " has no node");
    Instance* owner = owner_of(*node, *row);
    if (!owner && !row->service_id().empty())
      return fail(ErrorCode::Corrupt, "state: check " + row->check_id() + " has no service");
    const StateIndex index = row->modify_index();
    raise(node->index, index);
    raise(node->checks_index, index);
    raise(tables.state_index[row->status()], index);
    raise(tables.state_index["any"], index);
    if (owner) {
      raise(owner->service->index, index);
      raise(owner->service->checks_index, index);
    } else {
      for (auto& [id, instance] : node->services) raise(instance.service->index, index);
    }
    node->checks.put(row);
    set_of(*node, owner).put(std::move(row));
    ++tables.check_count;
  }
  return {};
}

// ---- reads ------------------------------------------------------------------------------------

Listing<ServiceHealth> StateStore::service_health(std::string_view service) const {
  Listing<ServiceHealth> out;
  const ServiceEntry* entry = tables_->find_service(service);
  if (!entry) {
    out.index = tables_->missing_index({TopicKind::Service, to_lower(service)});
    return out;
  }
  out.index = entry->index;
  out.rows.reserve(entry->instances.size());
  for (const Instance* instance : entry->instances) {
    ServiceHealth& row = out.rows.emplace_back();
    row.node = instance->node->row;
    row.service = instance->row;
    row.checks.reserve(instance->node->node_checks.size() + instance->checks.size());
    for (const CheckRow& check : instance->node->node_checks) row.checks.push_back(check);
    for (const CheckRow& check : instance->checks) row.checks.push_back(check);
  }
  return out;
}

Listing<CheckRow> StateStore::node_checks(std::string_view name) const {
  Listing<CheckRow> out;
  const NodeEntry* node = tables_->find_node(name);
  if (!node) {
    out.index = tables_->missing_index({TopicKind::NodeChecks, to_lower(name)});
    return out;
  }
  out.index = node->checks_index;
  out.rows.assign(node->checks.begin(), node->checks.end());
  return out;
}

Listing<CheckRow> StateStore::service_checks(std::string_view service) const {
  Listing<CheckRow> out;
  const ServiceEntry* entry = tables_->find_service(service);
  if (!entry) {
    out.index = tables_->missing_index({TopicKind::ServiceChecks, to_lower(service)});
    return out;
  }
  out.index = entry->checks_index;
  for (const Instance* instance : entry->instances)
    out.rows.insert(out.rows.end(), instance->checks.begin(), instance->checks.end());
  return out;
}

Listing<CheckRow> StateStore::checks_in_state(std::string_view state) const {
  Listing<CheckRow> out;
  auto it = tables_->state_index.find(state);
  out.index = tables_->restored;
  if (it == tables_->state_index.end()) return out;
  out.index = it->second;
  const bool any = state == "any";
  if (any) out.rows.reserve(tables_->check_count);
  for (const auto& [key, node] : tables_->nodes)
    for (const CheckRow& check : node.checks)
      if (any || check->status() == state) out.rows.push_back(check);
  return out;
}

std::size_t StateStore::check_count() const {
  return tables_->check_count;
}

}  // namespace fyr::server
