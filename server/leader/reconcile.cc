#include "server/leader/reconcile.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"

namespace fyr::server {

namespace {

constexpr char kSerfHealth[] = "serfHealth";

pb::HealthCheck gossip_check(const MemberFact& member) {
  const bool alive = member.liveness == Liveness::Alive;
  pb::HealthCheck check;
  check.set_node(member.name);
  check.set_check_id(kSerfHealth);
  check.set_name("Serf Health Status");
  check.set_status(alive ? "passing" : "critical");
  check.set_output(alive ? "Agent alive and reachable" : "Agent not live or unreachable");
  return check;
}

// Consul's own service, with the metadata its readers look at. Sorted by key.
pb::ServiceInstance server_service(const MemberFact& member) {
  const std::array<std::pair<const char*, std::string>, 7> meta{{{"non_voter", "false"},
                                                                 {"raft_version", "3"},
                                                                 {"read_replica", "false"},
                                                                 {"serf_protocol_current", "2"},
                                                                 {"serf_protocol_max", "5"},
                                                                 {"serf_protocol_min", "1"},
                                                                 {"version", member.version}}};
  pb::ServiceInstance service;
  service.set_id("consul");
  service.set_service("consul");
  service.set_port(member.server_port);
  service.set_has_tags(true);
  service.set_has_meta(true);
  service.mutable_weights()->set_passing(1);
  service.mutable_weights()->set_warning(1);
  for (const auto& [key, value] : meta) {
    pb::Pair* pair = service.add_meta();
    pair->set_key(key);
    pair->set_value(value);
  }
  return service;
}

bool is_current(const CheckRow& row, const pb::HealthCheck& wanted) {
  return row && row->status() == wanted.status() && row->output() == wanted.output();
}

bool is_current(const NodeServices& held, const pb::ServiceInstance& wanted) {
  return std::any_of(held.services.begin(), held.services.end(), [&](const ServiceRow& row) {
    return row->id() == wanted.id() && row->port() == wanted.port() &&
           std::equal(row->meta().begin(), row->meta().end(), wanted.meta().begin(),
                      wanted.meta().end(), [](const pb::Pair& a, const pb::Pair& b) {
                        return a.key() == b.key() && a.value() == b.value();
                      });
  });
}

CheckRow gossip_row(const StateStore& store, const std::string& node) {
  for (const CheckRow& row : store.node_checks(node).rows)
    if (row->check_id() == kSerfHealth) return row;
  return nullptr;
}

}  // namespace

std::optional<pb::Command> reconcile_member(const StateStore& store, const MemberFact& member) {
  const NodeServices held = store.node_services(member.name);
  // News about an earlier machine of this name say nothing about the one that has it now.
  const bool other = held.node && !held.node->id().empty() && !member.id.empty() &&
                     !equals_ignoring_case(held.node->id(), member.id);
  pb::Command command;
  if (member.liveness == Liveness::Left) {
    if (!held.node || other) return std::nullopt;
    command.mutable_deregister()->set_node(member.name);
    return command;
  }
  if (member.liveness == Liveness::Failed && (!held.node || other)) return std::nullopt;

  pb::HealthCheck check = gossip_check(member);
  const pb::ServiceInstance service = server_service(member);
  const bool same_node = held.node && !other && held.node->address() == member.address;
  const bool same_check = is_current(gossip_row(store, member.name), check);
  const bool same_service = !member.server || is_current(held, service);
  if (member.liveness == Liveness::Failed ? same_check : same_node && same_check && same_service)
    return std::nullopt;
  pb::Register& request = *command.mutable_register_();
  pb::Node& node = *request.mutable_node();
  node.set_name(member.name);
  if (held.node && !other) {
    node = *held.node;  // what its agent said about it stays
    if (!member.id.empty()) node.set_id(member.id);
  } else {
    node.set_id(member.id);
    node.set_datacenter(member.datacenter);
  }
  node.set_address(member.address);
  request.set_skip_node_update(member.liveness == Liveness::Failed);
  if (member.server && member.liveness == Liveness::Alive) *request.mutable_service() = service;
  *request.add_checks() = std::move(check);
  return command;
}

void Reconciler::update(const MemberFact& member) {
  {
    std::lock_guard lock(mutex_);
    auto [it, is_new] = pending_.try_emplace(member.name);
    it->second.fact = member;
    it->second.newer = !is_new;
    if (!is_new) return;
  }
  propose_next(member.name);
}

void Reconciler::propose_next(const std::string& name) {
  MemberFact fact;
  {
    std::lock_guard lock(mutex_);
    Pending& pending = pending_.at(name);
    pending.newer = false;
    fact = pending.fact;
  }
  auto command =
      state_.read([&](const StateStore& store) { return reconcile_member(store, fact); });
  if (!command) return written(name, ApplyResult{});
  propose_(std::move(*command),
           [this, name](Result<ApplyResult> result) { written(name, result); });
}

void Reconciler::written(const std::string& name, const Result<ApplyResult>& result) {
  const std::string reason = !result         ? result.error().message
                             : result->error ? result->error->message
                                             : std::string();
  if (!reason.empty()) log::warn("leader", "member {} is not reconciled: {}", name, reason);
  {
    std::lock_guard lock(mutex_);
    auto it = pending_.find(name);
    // After a failure the next news or the next leader tries again.
    if (!it->second.newer || !result) {
      pending_.erase(it);
      return;
    }
  }
  propose_next(name);
}

}  // namespace fyr::server
