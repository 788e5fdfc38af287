// Nodes and services.
#include <algorithm>

#include "base/bytes.h"
#include "server/state/tables.h"

namespace fyr::server {

namespace {

constexpr std::size_t kMaxName = 4096;  // bytes of a node name or an id
constexpr std::string_view kSerfHealth = "serfHealth";

bool is_alive(const NodeEntry& node) {
  // Without a gossip check the node was registered from outside and owns its name loosely.
  const CheckRow check = node.checks.find(kSerfHealth);
  return check && check->status() != "critical";
}

struct NodePlan {
  NodeEntry* by_name = nullptr;
  NodeEntry* renamed = nullptr;  // the node with this id under its old name
  bool update = true;
};

Result<NodePlan> plan_node(Tables& tables, const pb::Register& request) {
  const pb::Node& given = request.node();
  if (given.name().empty()) return fail(ErrorCode::InvalidArgument, "Must provide node");
  if (given.name().size() > kMaxName)
    return fail(ErrorCode::InvalidArgument, "Node: name is longer than 4096 bytes");
  NodePlan plan;
  plan.by_name = tables.find_node(given.name());
  if (plan.by_name && request.skip_node_update()) {
    plan.update = false;
    return plan;
  }
  if (given.id().empty()) return plan;
  auto by_id = tables.nodes_by_id.find(given.id());
  if (by_id != tables.nodes_by_id.end() && by_id->second != plan.by_name)
    plan.renamed = by_id->second;
  if (!plan.by_name || compare_ignoring_case(plan.by_name->row->id(), given.id()) == 0) return plan;
  const pb::Node& holder = *plan.by_name->row;
  const bool takes_unnamed = holder.id().empty() && !plan.renamed;
  if (takes_unnamed || !is_alive(*plan.by_name)) return plan;
  std::string text = "failed inserting node: Error while renaming Node ID: \"" + given.id() + "\"";
  if (plan.renamed) text += " (" + given.address() + ")";
  text += ": Node name " + given.name() + " is reserved by node " + holder.id() + " with name " +
          holder.name() + " (" + holder.address() + ")";
  return fail(ErrorCode::Conflict, std::move(text));
}

Result<void> check_service(const pb::ServiceInstance& service) {
  if (service.service().empty())
    return fail(ErrorCode::InvalidArgument, "Must provide service name with ID");
  if (service.id().size() > kMaxName || service.service().size() > kMaxName)
    return fail(ErrorCode::InvalidArgument, "Service: name or ID is longer than 4096 bytes");
  return {};
}

const std::string& id_of(const pb::ServiceInstance& service) {
  return service.id().empty() ? service.service() : service.id();
}

Result<void> check_checks(const NodePlan& plan, const pb::Register& request) {
  for (const pb::HealthCheck& check : request.checks()) {
    if (!check.node().empty() && compare_ignoring_case(check.node(), request.node().name()) != 0)
      return fail(ErrorCode::InvalidArgument, "check node \"" + check.node() +
                                                  "\" does not match node \"" +
                                                  request.node().name() + "\"");
    const std::string id = known_check_id(check);
    if (id.empty()) return fail(ErrorCode::InvalidArgument, "Must provide check name or ID");
    if (id.size() > kMaxName)
      return fail(ErrorCode::InvalidArgument, "Check: ID is longer than 4096 bytes");
    if (check.service_id().empty()) continue;
    const bool comes_along =
        request.has_service() &&
        compare_ignoring_case(check.service_id(), id_of(request.service())) == 0;
    if (comes_along) continue;
    if (!plan.by_name || !plan.by_name->services.contains(check.service_id()))
      return fail(ErrorCode::InvalidArgument,
                  "failed inserting check: Missing service registration on node \"" +
                      request.node().name() + "\"");
  }
  return {};
}

void index_node(Tables& tables, NodeEntry& node) {
  if (!node.row->id().empty()) tables.nodes_by_id[node.row->id()] = &node;
  tables.nodes_by_address.emplace(node.row->address(), &node);
}

template <class Map, class Value>
void erase_pair(Map& map, const std::string& key, Value* value) {
  auto [from, to] = map.equal_range(key);
  for (; from != to; ++from)
    if (from->second == value) {
      map.erase(from);
      return;
    }
}

void unindex_node(Tables& tables, NodeEntry& node) {
  auto by_id = tables.nodes_by_id.find(node.row->id());
  if (by_id != tables.nodes_by_id.end() && by_id->second == &node) tables.nodes_by_id.erase(by_id);
  erase_pair(tables.nodes_by_address, node.row->address(), &node);
}

// The index of a topic nobody touches when its subject appears: what it was, so that it never goes
// back; remembered, because no row carries it.
StateIndex revive(Change& change, TopicKind kind, const std::string& key) {
  const StateIndex index = change.tables.missing_index({kind, key});
  if (index > 1) change.keep(kind, key, index);
  return index;
}

NodeEntry& put_node(Change& change, const NodePlan& plan, const pb::Register& request,
                    StateIndex create_index) {
  Tables& tables = change.tables;
  NodeEntry* entry = plan.by_name;
  if (!plan.update) return *entry;
  if (entry && is_overtaken(*entry->row, request.agent_sequence())) return *entry;
  auto row = std::make_shared<pb::Node>(request.node());
  // A registration by name alone does not take a node's identity away.
  if (row->id().empty() && entry) row->set_id(entry->row->id());
  const Difference difference =
      settle(entry ? entry->row.get() : nullptr, *row, change.index, request.agent_sequence());
  if (difference == Difference::None) return *entry;
  if (create_index != 0) row->set_create_index(create_index);
  change.write_row(Table::Nodes, node_row_key(row->name()), entry ? entry->row.get() : nullptr,
                   row.get());
  if (!entry) {
    std::string key = to_lower(row->name());
    entry = &tables.nodes[key];
    entry->key = std::move(key);
    entry->checks_index = revive(change, TopicKind::NodeChecks, entry->key);
    entry->sessions_index = revive(change, TopicKind::NodeSessions, entry->key);
  } else {
    unindex_node(tables, *entry);
  }
  entry->row = std::move(row);
  index_node(tables, *entry);
  if (difference == Difference::Sequence) return *entry;
  change.touch(TopicKind::Nodes, {}, tables.nodes_index);
  change.touch(TopicKind::Instances, {}, tables.instances_index);
  change.touch(TopicKind::Node, entry->key, entry->index);
  change.touch(TopicKind::NodeServices, entry->key, entry->services_index);
  touch_services_of(change, *entry, false);
  for (auto& [id, instance] : entry->services)
    change.touch(TopicKind::ServiceInstances, instance.service->key,
                 instance.service->instances_index);
  return *entry;
}

ServiceEntry& service_entry(Change& change, const std::string& name) {
  auto [it, is_new] = change.tables.services.try_emplace(to_lower(name));
  ServiceEntry& entry = it->second;
  if (is_new) {
    entry.key = it->first;
    entry.checks_index = revive(change, TopicKind::ServiceChecks, entry.key);
  }
  return entry;
}

bool add_tags(ServiceEntry& entry, const pb::ServiceInstance& row) {
  bool changed = false;
  for (const std::string& tag : row.tags()) changed |= ++entry.tags[tag] == 1;
  return changed;
}

bool remove_tags(ServiceEntry& entry, const pb::ServiceInstance& row) {
  bool changed = false;
  for (const std::string& tag : row.tags()) {
    auto it = entry.tags.find(tag);
    if (--it->second > 0) continue;
    entry.tags.erase(it);
    changed = true;
  }
  return changed;
}

// Takes the instance out of its service's entry, which goes with its last instance.
bool leave_service(Change& change, Instance& instance) {
  Tables& tables = change.tables;
  ServiceEntry& entry = *instance.service;
  bool names_changed = remove_tags(entry, *instance.row);
  entry.instances.erase(&instance);
  if (!instance.row->address().empty())
    erase_pair(tables.services_by_address, instance.row->address(), &instance);
  change.touch(TopicKind::Service, entry.key, entry.index, true);
  change.touch(TopicKind::ServiceInstances, entry.key, entry.instances_index, true);
  if (!instance.checks.empty())
    change.touch(TopicKind::ServiceChecks, entry.key, entry.checks_index, true);
  if (entry.instances.empty()) {
    if (entry.checks_index > 1)
      change.keep(TopicKind::ServiceChecks, entry.key, entry.checks_index);
    tables.services.erase(tables.services.find(entry.key));
    names_changed = true;
  }
  instance.service = nullptr;
  return names_changed;
}

bool join_service(Change& change, Instance& instance) {
  ServiceEntry& entry = service_entry(change, instance.row->service());
  instance.service = &entry;
  bool names_changed = entry.instances.empty();
  entry.instances.insert(&instance);
  names_changed |= add_tags(entry, *instance.row);
  if (!instance.row->address().empty())
    change.tables.services_by_address.emplace(instance.row->address(), &instance);
  return names_changed;
}

// Replaces the row of an instance that stays in its service.
bool replace_in_service(Change& change, Instance& instance, ServiceRow row) {
  Tables& tables = change.tables;
  bool names_changed = add_tags(*instance.service, *row);
  names_changed |= remove_tags(*instance.service, *instance.row);
  if (row->address() != instance.row->address()) {
    if (!instance.row->address().empty())
      erase_pair(tables.services_by_address, instance.row->address(), &instance);
    if (!row->address().empty()) tables.services_by_address.emplace(row->address(), &instance);
  }
  instance.row = std::move(row);
  return names_changed;
}

std::shared_ptr<pb::ServiceInstance> complete(const NodeEntry& node,
                                              const pb::ServiceInstance& given) {
  auto row = std::make_shared<pb::ServiceInstance>(given);
  row->set_node(node.row->name());
  if (row->id().empty()) row->set_id(row->service());
  if (!row->has_weights()) {
    row->mutable_weights()->set_passing(1);
    row->mutable_weights()->set_warning(1);
  }
  return row;
}

void put_service(Change& change, NodeEntry& node, const pb::ServiceInstance& given,
                 std::uint64_t agent_sequence) {
  Tables& tables = change.tables;
  std::shared_ptr<pb::ServiceInstance> row = complete(node, given);
  auto it = node.services.find(row->id());
  const bool is_new = it == node.services.end();
  const ServiceRow old = is_new ? nullptr : it->second.row;
  if (old && is_overtaken(*old, agent_sequence)) return;
  const Difference difference = settle(old.get(), *row, change.index, agent_sequence);
  if (difference == Difference::None) return;
  change.write_row(Table::Services, item_row_key(node.key, row->id()), old.get(), row.get());
  if (difference == Difference::Sequence) {
    it->second.row = std::move(row);
    return;
  }
  bool names_changed = false;
  if (is_new) {
    it = node.services.try_emplace(row->id()).first;
    it->second.node = &node;
    it->second.row = std::move(row);
    names_changed = join_service(change, it->second);
    ++tables.service_count;
  } else if (compare_ignoring_case(row->service(), old->service()) == 0) {
    names_changed = replace_in_service(change, it->second, std::move(row));
    names_changed |= it->second.row->service() != old->service();
  } else {
    names_changed = leave_service(change, it->second);
    it->second.row = std::move(row);
    names_changed |= join_service(change, it->second);
  }
  ServiceEntry& entry = *it->second.service;
  if (names_changed) change.touch_names();
  change.touch(TopicKind::Instances, {}, tables.instances_index);
  change.touch(TopicKind::Service, entry.key, entry.index);
  change.touch(TopicKind::ServiceInstances, entry.key, entry.instances_index);
  change.touch(TopicKind::Node, node.key, node.index);
  change.touch(TopicKind::NodeServices, node.key, node.services_index);
  // Name and tags shown by its checks come from the service.
  const std::vector<CheckRow> checks(it->second.checks.begin(), it->second.checks.end());
  for (const CheckRow& check : checks) put_check(change, node, *check, 0);
}

void remove_service(Change& change, NodeEntry& node, Instance& instance) {
  Tables& tables = change.tables;
  const std::vector<CheckRow> checks(instance.checks.begin(), instance.checks.end());
  for (const CheckRow& check : checks) remove_check(change, node, check);
  change.write_row<pb::ServiceInstance>(Table::Services, item_row_key(node.key, instance.row->id()),
                                        instance.row.get(), nullptr);
  if (leave_service(change, instance)) change.touch_names();
  change.touch(TopicKind::Instances, {}, tables.instances_index, true);
  change.touch(TopicKind::Node, node.key, node.index, true);
  change.touch(TopicKind::NodeServices, node.key, node.services_index, true);
  node.services.erase(node.services.find(std::string_view(instance.row->id())));
  --tables.service_count;
}

void remove_node(Change& change, NodeEntry& node) {
  Tables& tables = change.tables;
  while (!node.sessions.empty()) end_session(change, *node.sessions.begin());
  while (!node.services.empty()) remove_service(change, node, node.services.begin()->second);
  while (!node.checks.empty()) remove_check(change, node, *node.checks.begin());
  remove_coordinates(change, node.key);
  change.write_row<pb::Node>(Table::Nodes, node.key, node.row.get(), nullptr);
  change.touch(TopicKind::Nodes, {}, tables.nodes_index, true);
  change.touch(TopicKind::Instances, {}, tables.instances_index, true);
  change.touch(TopicKind::Node, node.key, node.index, true);
  change.touch(TopicKind::NodeServices, node.key, node.services_index, true);
  unindex_node(tables, node);
  tables.nodes.erase(tables.nodes.find(node.key));
}

}  // namespace

// Every service on the node shows the node and its checks.
void touch_services_of(Change& change, NodeEntry& node, bool gone) {
  for (auto& [id, instance] : node.services)
    change.touch(TopicKind::Service, instance.service->key, instance.service->index, gone);
}

ApplyResult apply_register(Change& change, const pb::Register& request) {
  const Result<NodePlan> planned = plan_node(change.tables, request);
  if (!planned) return refuse(planned.error().code, planned.error().message);
  NodePlan plan = *planned;
  if (request.has_service())
    if (auto good = check_service(request.service()); !good)
      return refuse(good.error().code, good.error().message);
  if (auto good = check_checks(plan, request); !good)
    return refuse(good.error().code, good.error().message);

  StateIndex create_index = 0;
  if (plan.renamed) {
    create_index = plan.renamed->row->create_index();
    remove_node(change, *plan.renamed);
  }
  NodeEntry& node = put_node(change, plan, request, create_index);
  if (request.has_service()) put_service(change, node, request.service(), request.agent_sequence());
  for (const pb::HealthCheck& check : request.checks())
    put_check(change, node, check, request.agent_sequence());
  return {};
}

ApplyResult apply_deregister(Change& change, const pb::Deregister& request) {
  if (request.node().empty()) return refuse(ErrorCode::InvalidArgument, "Must provide node");
  NodeEntry* node = change.tables.find_node(request.node());
  if (!node) return {};
  if (!request.service_id().empty()) {
    auto it = node->services.find(request.service_id());
    if (it != node->services.end()) remove_service(change, *node, it->second);
  } else if (!request.check_id().empty()) {
    if (const CheckRow check = node->checks.find(request.check_id()))
      remove_check(change, *node, check);
  } else {
    remove_node(change, *node);
  }
  return {};
}

Result<void> load_nodes(Tables& tables, std::vector<NodeRow> rows) {
  for (NodeRow& row : rows) {
    const StateIndex index = row->modify_index();
    std::string key = to_lower(row->name());
    NodeEntry& node = tables.nodes[key];
    node.key = std::move(key);
    node.row = std::move(row);
    node.index = node.services_index = index;
    tables.nodes_index = std::max(tables.nodes_index, index);
    tables.instances_index = std::max(tables.instances_index, index);
    index_node(tables, node);
  }
  return {};
}

Result<void> load_services(Tables& tables, std::vector<ServiceRow> rows) {
  for (ServiceRow& row : rows) {
    NodeEntry* node = tables.find_node(row->node());
    if (!node) return fail(ErrorCode::Corrupt, "state: service " + row->id() + " has no node");
    const StateIndex index = row->modify_index();
    Instance& instance = node->services[row->id()];
    instance.node = node;
    instance.row = std::move(row);
    auto [it, is_new] = tables.services.try_emplace(to_lower(instance.row->service()));
    ServiceEntry& entry = it->second;
    if (is_new) entry.key = it->first;
    instance.service = &entry;
    entry.instances.insert(&instance);
    add_tags(entry, *instance.row);
    if (!instance.row->address().empty())
      tables.services_by_address.emplace(instance.row->address(), &instance);
    ++tables.service_count;
    entry.instances_index = std::max({entry.instances_index, index, node->row->modify_index()});
    entry.index = std::max(entry.index, entry.instances_index);
    node->services_index = std::max(node->services_index, index);
    node->index = std::max(node->index, index);
    tables.instances_index = std::max(tables.instances_index, index);
  }
  return {};
}

// ---- reads ------------------------------------------------------------------------------------

Listing<NodeRow> StateStore::nodes() const {
  Listing<NodeRow> out;
  out.index = tables_->nodes_index;
  out.rows.reserve(tables_->nodes.size());
  for (const auto& [key, node] : tables_->nodes) out.rows.push_back(node.row);
  return out;
}

NodeRow StateStore::node(std::string_view name) const {
  const NodeEntry* node = tables_->find_node(name);
  return node ? node->row : nullptr;
}

NodeRow StateStore::node_by_id(std::string_view id) const {
  auto it = tables_->nodes_by_id.find(id);
  return it == tables_->nodes_by_id.end() ? nullptr : it->second->row;
}

Listing<ServiceName> StateStore::services() const {
  Listing<ServiceName> out;
  out.index = tables_->names_index;
  out.rows.reserve(tables_->services.size());
  for (const auto& [key, entry] : tables_->services) {
    ServiceName& name = out.rows.emplace_back();
    name.name = (*entry.instances.begin())->row->service();
    name.tags.reserve(entry.tags.size());
    for (const auto& [tag, count] : entry.tags) name.tags.push_back(tag);
  }
  return out;
}

Listing<ServiceNode> StateStore::service_nodes(std::string_view service) const {
  Listing<ServiceNode> out;
  const ServiceEntry* entry = tables_->find_service(service);
  if (!entry) {
    out.index = tables_->missing_index({TopicKind::ServiceInstances, to_lower(service)});
    return out;
  }
  out.index = entry->instances_index;
  out.rows.reserve(entry->instances.size());
  for (const Instance* instance : entry->instances)
    out.rows.push_back({instance->node->row, instance->row});
  return out;
}

NodeServices StateStore::node_services(std::string_view name) const {
  NodeServices out;
  const NodeEntry* node = tables_->find_node(name);
  if (!node) return out;
  out.node = node->row;
  out.services.reserve(node->services.size());
  for (const auto& [id, instance] : node->services) out.services.push_back(instance.row);
  return out;
}

Listing<ServiceNode> StateStore::services_by_address(std::string_view address) const {
  Listing<ServiceNode> out;
  out.index = tables_->instances_index;
  auto [from, to] = tables_->services_by_address.equal_range(address);
  for (; from != to; ++from) out.rows.push_back({from->second->node->row, from->second->row});
  return out;
}

Listing<NodeRow> StateStore::nodes_by_address(std::string_view address) const {
  Listing<NodeRow> out;
  out.index = tables_->nodes_index;
  auto [from, to] = tables_->nodes_by_address.equal_range(address);
  for (; from != to; ++from) out.rows.push_back(from->second->row);
  return out;
}

std::size_t StateStore::node_count() const {
  return tables_->nodes.size();
}
std::size_t StateStore::service_count() const {
  return tables_->service_count;
}

}  // namespace fyr::server
