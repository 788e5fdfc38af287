// The full comparison of LocalState with the catalog.
#include <algorithm>
#include <set>

#include "agent/local/local_state.h"
#include "base/bytes.h"
#include "proto/node_digest.h"

namespace fyr::agent {

std::string LocalState::digest() const {
  NodeDigest digest;
  digest.node(node_mark_.in_sync ? node_mark_.hash : hash_node(node_));
  for (const auto& [id, item] : services_) {
    digest.service(id, item.mark.in_sync ? item.mark.hash : hash_service(item.value.row));
  }
  for (const auto& [id, item] : checks_) {
    digest.check(id, item.mark.in_sync ? item.mark.hash : hash_check(item.value.row));
  }
  return digest.value();
}

// Where the catalog may change tags, its tags are ours.
bool LocalState::adopt_tags(Item<LocalService>& item, const pb::ServiceInstance& theirs) {
  pb::ServiceInstance& ours = item.value.row;
  if (!ours.enable_tag_override()) return false;
  *ours.mutable_tags() = theirs.tags();
  return true;
}

void LocalState::compare_service(const pb::ServiceInstance& theirs, std::uint64_t mark,
                                 Compared& out) {
  const auto it = services_.find(theirs.id());
  if (it == services_.end()) {
    if (theirs.id() == kConsulServiceId) return;  // the servers' own
    const auto [tombstone, is_new] = gone_services_.try_emplace(theirs.id());
    if (is_new) {
      touch(tombstone->second.mark);
      ++out.ghosts;
    }
    return;
  }
  if (it->second.mark.version > mark) return;
  adopt_tags(it->second, theirs);
  const std::string hash = hash_service(theirs);
  it->second.mark.hash = hash;
  it->second.mark.in_sync = hash == hash_service(it->second.value.row);
  if (!it->second.mark.in_sync) ++out.out_of_sync;
}

void LocalState::compare_check(const pb::HealthCheck& theirs, std::uint64_t mark,
                               Instant output_due, Compared& out) {
  if (theirs.check_id() == kSerfHealthCheck) return;
  const auto it = checks_.find(theirs.check_id());
  if (it == checks_.end()) {
    // Goes with its service if that is removed too.
    const auto [tombstone, is_new] = gone_checks_.try_emplace(theirs.check_id());
    if (is_new) {
      tombstone->second.service_id = theirs.service_id();
      touch(tombstone->second.mark);
      ++out.ghosts;
    }
    return;
  }
  Mark& own = it->second.mark;
  if (own.version > mark) return;
  own.hash = hash_check(theirs);
  own.in_sync = own.hash == hash_check(it->second.value.row);
  if (own.in_sync) {
    own.output_due.reset();
    return;
  }
  pb::HealthCheck with_their_output = it->second.value.row;
  with_their_output.set_output(theirs.output());
  if (hash_check(with_their_output) == own.hash) {
    own.in_sync = true;
    if (!own.output_due) own.output_due = output_due;
    return;
  }
  ++out.out_of_sync;
}

LocalState::Compared LocalState::compare(const pb::NodeStateResponse& answer, std::uint64_t mark,
                                         Instant output_due) {
  Compared out;
  compared_ = true;
  if (answer.same()) {
    for (auto& [id, item] : services_) {
      if (item.mark.version > mark || item.mark.in_sync) continue;
      item.mark.in_sync = true;
      item.mark.hash = hash_service(item.value.row);
    }
    for (auto& [id, item] : checks_) {
      if (item.mark.version > mark || item.mark.in_sync) continue;
      item.mark.in_sync = true;
      item.mark.hash = hash_check(item.value.row);
    }
    if (node_mark_.version <= mark && !node_mark_.in_sync) {
      node_mark_.in_sync = true;
      node_mark_.hash = hash_node(node_);
    }
    return out;
  }
  // Another machine has our name: none of its rows is compared with ours or removed. Our pushes
  // are refused while it lives and take the name over when it does not.
  const bool ours = !answer.known() || answer.node().id().empty() || node_.id().empty() ||
                    equals_ignoring_case(answer.node().id(), node_.id());
  std::uint64_t newest = answer.node().agent_sequence();
  for (const auto& row : answer.services()) newest = std::max(newest, row.agent_sequence());
  for (const auto& row : answer.checks()) newest = std::max(newest, row.agent_sequence());
  sequence_ = std::max(sequence_, newest);

  node_mark_.hash = answer.known() ? hash_node(answer.node()) : std::string();
  node_mark_.in_sync = node_mark_.hash == hash_node(node_);
  if (!node_mark_.in_sync) ++out.out_of_sync;

  std::set<std::string> known_services;
  for (const auto& row : answer.services()) {
    if (!ours) break;
    known_services.insert(row.id());
    compare_service(row, mark, out);
  }
  for (auto& [id, item] : services_) {
    if (known_services.contains(id) || item.mark.version > mark) continue;
    item.mark.in_sync = false;
    item.mark.hash.clear();
    ++out.out_of_sync;
  }
  std::set<std::string> known_checks;
  for (const auto& row : answer.checks()) {
    if (!ours) break;
    known_checks.insert(row.check_id());
    compare_check(row, mark, output_due, out);
  }
  for (auto& [id, item] : checks_) {
    if (known_checks.contains(id) || item.mark.version > mark) continue;
    item.mark.in_sync = false;
    item.mark.hash.clear();
    ++out.out_of_sync;
  }
  return out;
}

}  // namespace fyr::agent
