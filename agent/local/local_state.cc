#include "agent/local/local_state.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "proto/node_digest.h"

namespace fyr::agent {

namespace {

constexpr Duration kFirstBlock = std::chrono::seconds(30);
constexpr Duration kLongestBlock = std::chrono::minutes(5);

int code_of(ErrorCode code) {
  return 1 + static_cast<int>(code);
}

// Refusals that trying again at once cannot change.
bool is_refusal(int code) {
  return code == code_of(ErrorCode::PermissionDenied) ||
         code == code_of(ErrorCode::InvalidArgument) || code == code_of(ErrorCode::Conflict) ||
         code == code_of(ErrorCode::Unsupported);
}

}  // namespace

LocalState::LocalState(pb::Node node, std::uint64_t sequence)
    : node_(std::move(node)), sequence_(sequence) {
  touch(node_mark_);
}

const LocalService* LocalState::service(const std::string& id) const {
  const auto it = services_.find(id);
  return it == services_.end() ? nullptr : &it->second.value;
}

const LocalCheck* LocalState::check(const std::string& id) const {
  const auto it = checks_.find(id);
  return it == checks_.end() ? nullptr : &it->second.value;
}

std::vector<const LocalService*> LocalState::services() const {
  std::vector<const LocalService*> out;
  for (const auto& [id, item] : services_) out.push_back(&item.value);
  return out;
}

std::vector<const LocalCheck*> LocalState::checks() const {
  std::vector<const LocalCheck*> out;
  for (const auto& [id, item] : checks_) out.push_back(&item.value);
  return out;
}

std::vector<std::string> LocalState::checks_of(const std::string& service_id) const {
  std::vector<std::string> out;
  for (const auto& [id, item] : checks_) {
    if (item.value.row.service_id() == service_id) out.push_back(id);
  }
  return out;
}

void LocalState::changed(Mark& mark) {
  touch(mark);
  mark.in_sync = false;
  mark.output_due.reset();
  mark.blocked_until.reset();
  mark.block = Duration::zero();
}

void LocalState::set_service(LocalService service) {
  const std::string id = service.row.id();
  gone_services_.erase(id);
  auto& item = services_[id];
  item.value = std::move(service);
  changed(item.mark);
  if (item.mark.hash == hash_service(item.value.row) && !item.value.row.enable_tag_override()) {
    item.mark.in_sync = true;
  }
}

void LocalState::remove_service(const std::string& id) {
  const auto it = services_.find(id);
  if (it == services_.end()) return;
  for (const std::string& check : checks_of(id)) remove_check(check);
  Tombstone& tombstone = gone_services_[id];
  tombstone.token = it->second.value.token;
  services_.erase(it);
  touch(tombstone.mark);
}

void LocalState::set_check(LocalCheck check) {
  const std::string id = check.row.check_id();
  gone_checks_.erase(id);
  auto& item = checks_[id];
  item.value = std::move(check);
  changed(item.mark);
  if (item.mark.hash == hash_check(item.value.row)) item.mark.in_sync = true;
}

void LocalState::remove_check(const std::string& id) {
  const auto it = checks_.find(id);
  if (it == checks_.end()) return;
  Tombstone& tombstone = gone_checks_[id];
  tombstone.token = it->second.value.token;
  tombstone.service_id = it->second.value.row.service_id();
  checks_.erase(it);
  touch(tombstone.mark);
}

void LocalState::update_check(const std::string& id, std::string_view status, std::string output,
                              Instant output_due) {
  const auto it = checks_.find(id);
  if (it == checks_.end()) return;
  pb::HealthCheck& row = it->second.value.row;
  Mark& mark = it->second.mark;
  const bool same_status = row.status() == status;
  if (same_status && row.output() == output) return;
  row.set_status(std::string(status));
  row.set_output(std::move(output));
  if (!same_status || !mark.in_sync) return changed(mark);
  touch(mark);
  if (hash_check(row) == mark.hash) {
    mark.output_due.reset();
  } else if (!mark.output_due) {
    mark.output_due = output_due;
  }
}

// ---- push --------------------------------------------------------------------------------------

bool LocalState::due(const Mark& mark, Instant now) {
  if (mark.blocked_until && *mark.blocked_until > now) return false;
  return !mark.in_sync || (mark.output_due && *mark.output_due <= now);
}

template <class F>
void LocalState::for_each_mark(F&& f) const {
  f(node_mark_);
  for (const auto& [id, item] : services_) f(item.mark);
  for (const auto& [id, item] : checks_) f(item.mark);
  // What a node of our name holds is ours to remove only if that node is ours.
  if (!node_mark_.in_sync) return;
  for (const auto& [id, tombstone] : gone_services_) f(tombstone.mark);
  for (const auto& [id, tombstone] : gone_checks_) f(tombstone.mark);
}

bool LocalState::wants_push(Instant now) const {
  if (!compared_) return false;
  bool wanted = false;
  for_each_mark([&](const Mark& mark) { wanted = wanted || due(mark, now); });
  return wanted;
}

std::optional<Instant> LocalState::next_due() const {
  std::optional<Instant> next;
  for_each_mark([&](const Mark& mark) {
    std::optional<Instant> at = mark.blocked_until;
    if (!at && mark.in_sync) at = mark.output_due;
    if (at && (!next || *at < *next)) next = at;
  });
  return next;
}

bool LocalState::is_full(const Batch& batch) const {
  return batch.request.items_size() >= kMaxBatch || batch.bytes >= kMaxBatchBytes ||
         batch.sent.size() >= max_entries_;
}

// Within the item that is being put together.
bool LocalState::has_room_for(const Batch& batch, const pb::HealthCheck& row) const {
  return batch.bytes + row.ByteSizeLong() <= kMaxBatchBytes && batch.sent.size() < max_entries_;
}

LocalState::Batch LocalState::next_batch(Instant now) {
  Batch batch;
  batch.request.set_node(node_.name());
  add_node(now, batch);
  add_services(now, batch);
  add_checks(now, batch);
  if (node_mark_.in_sync) add_removals(now, batch);
  return batch;
}

pb::PushItem& LocalState::add_register(Batch& batch, const std::string& token) {
  pb::PushItem& push = *batch.request.add_items();
  push.set_token(token);
  pb::Register& request = *push.mutable_register_();
  *request.mutable_node() = node_;
  // Until the catalog has taken our node, each registration is held to its being ours.
  request.set_skip_node_update(node_mark_.in_sync);
  request.set_agent_sequence(++sequence_);
  batch.bytes += push.ByteSizeLong();
  return push;
}

void LocalState::add_node(Instant now, Batch& batch) {
  if (!due(node_mark_, now)) return;
  add_register(batch, {});
  batch.sent.push_back({Sent::Kind::Node, {}, node_mark_.version, false, hash_node(node_), 0});
}

void LocalState::carry_check(Batch& batch, pb::PushItem& push, const Item<LocalCheck>& item) {
  *push.mutable_register_()->add_checks() = item.value.row;
  batch.bytes += item.value.row.ByteSizeLong();
  batch.sent.push_back({Sent::Kind::Check, item.value.row.check_id(), item.mark.version, false,
                        hash_check(item.value.row), batch.request.items_size() - 1});
}

// A service and its checks that are due go together, so that nobody sees it without them; what is
// more than a batch may hold follows in the next.
void LocalState::add_services(Instant now, Batch& batch) {
  for (const auto& [id, item] : services_) {
    if (is_full(batch)) return;
    if (!due(item.mark, now)) continue;
    pb::PushItem& push = add_register(batch, item.value.token);
    *push.mutable_register_()->mutable_service() = item.value.row;
    batch.bytes += item.value.row.ByteSizeLong();
    batch.sent.push_back({Sent::Kind::Service, id, item.mark.version, false,
                          hash_service(item.value.row), batch.request.items_size() - 1});
    for (const auto& [check_id, check] : checks_) {
      if (check.value.row.service_id() == id && check.value.token == item.value.token &&
          due(check.mark, now)) {
        if (!has_room_for(batch, check.value.row)) return;
        carry_check(batch, push, check);
      }
    }
  }
}

void LocalState::add_checks(Instant now, Batch& batch) {
  std::set<std::string> carried;
  for (const Sent& sent : batch.sent) {
    if (sent.kind == Sent::Kind::Check) carried.insert(sent.id);
  }
  for (const auto& [id, item] : checks_) {
    if (is_full(batch)) return;
    if (!due(item.mark, now) || carried.contains(id)) continue;
    carry_check(batch, add_register(batch, item.value.token), item);
  }
}

void LocalState::add_removals(Instant now, Batch& batch) {
  std::map<std::string, int> leaving;  // service id to its item
  for (const auto& [id, tombstone] : gone_services_) {
    if (is_full(batch)) return;
    if (!due(tombstone.mark, now)) continue;
    pb::PushItem& push = *batch.request.add_items();
    push.set_token(tombstone.token);
    push.mutable_deregister()->set_node(node_.name());
    push.mutable_deregister()->set_service_id(id);
    leaving[id] = batch.request.items_size() - 1;
    batch.sent.push_back({Sent::Kind::Service, id, tombstone.mark.version, true, {}, leaving[id]});
  }
  for (const auto& [id, tombstone] : gone_checks_) {
    if (!due(tombstone.mark, now)) continue;
    if (batch.sent.size() >= max_entries_) return;
    // The catalog removes a service's checks with it.
    const auto with = leaving.find(tombstone.service_id);
    int item = with == leaving.end() ? -1 : with->second;
    if (item < 0) {
      if (is_full(batch)) return;
      pb::PushItem& push = *batch.request.add_items();
      push.set_token(tombstone.token);
      push.mutable_deregister()->set_node(node_.name());
      push.mutable_deregister()->set_check_id(id);
      item = batch.request.items_size() - 1;
    }
    batch.sent.push_back({Sent::Kind::Check, id, tombstone.mark.version, true, {}, item});
  }
}

// True if it is done. A refusal blocks the item; the catalog's state is unknown after a failure.
bool LocalState::settle(Mark& mark, const Sent& sent, Instant now, const pb::ItemResult& result) {
  if (result.code() == 0) {
    mark.hash = sent.hash;
    mark.reason.clear();
    if (mark.version != sent.version) {
      mark.in_sync = false;  // it changed while this was on its way
      return false;
    }
    mark.in_sync = true;
    mark.output_due.reset();
    mark.blocked_until.reset();
    mark.block = Duration::zero();
    return true;
  }
  if (mark.version != sent.version || !is_refusal(result.code())) return false;
  mark.block =
      mark.block == Duration::zero() ? kFirstBlock : std::min(2 * mark.block, kLongestBlock);
  mark.blocked_until = now + mark.block;
  mark.reason = result.message();
  return false;
}

LocalState::Mark* LocalState::find_mark(const Sent& sent) {
  if (sent.kind == Sent::Kind::Node) return &node_mark_;
  if (sent.removal) {
    auto& gone = sent.kind == Sent::Kind::Service ? gone_services_ : gone_checks_;
    const auto it = gone.find(sent.id);
    return it == gone.end() ? nullptr : &it->second.mark;
  }
  if (sent.kind == Sent::Kind::Service) {
    const auto it = services_.find(sent.id);
    return it == services_.end() ? nullptr : &it->second.mark;
  }
  const auto it = checks_.find(sent.id);
  return it == checks_.end() ? nullptr : &it->second.mark;
}

void LocalState::push_failed(const Batch& batch) {
  for (const Sent& sent : batch.sent) {
    if (Mark* mark = find_mark(sent)) {
      mark->in_sync = false;
      mark->hash.clear();
    }
  }
}

bool LocalState::push_refused(Instant now, const Batch& batch, const std::string& reason) {
  if (batch.sent.size() > 1) {
    max_entries_ = batch.sent.size() / 2;
    return false;
  }
  pb::ItemResult result;
  result.set_code(code_of(ErrorCode::InvalidArgument));
  result.set_message(reason);
  Mark* mark = batch.sent.empty() ? nullptr : find_mark(batch.sent[0]);
  if (!mark) return false;
  // Deferred output is due like any other change, but not while the item is blocked.
  settle(*mark, batch.sent[0], now, result);
  return mark->blocked_until.has_value();
}

bool LocalState::pushed(Instant now, const Batch& batch, const pb::PushResponse& response) {
  bool retry = false;
  max_entries_ = std::min(2 * max_entries_, kMaxEntries);
  for (const Sent& sent : batch.sent) {
    pb::ItemResult result;
    if (sent.item < response.results_size()) {
      result = response.results(sent.item);
    } else {
      result.set_code(code_of(ErrorCode::Internal));
    }
    if (result.code() != 0 && !is_refusal(result.code())) retry = true;
    Mark* mark = find_mark(sent);
    if (!mark || !settle(*mark, sent, now, result) || !sent.removal) continue;
    (sent.kind == Sent::Kind::Service ? gone_services_ : gone_checks_).erase(sent.id);
  }
  return retry;
}

LocalState::Counts LocalState::counts() const {
  Counts counts;
  counts.node_in_sync = node_mark_.in_sync;
  for_each_mark([&](const Mark& mark) {
    if (!mark.in_sync) ++counts.out_of_sync;
    if (mark.blocked_until) ++counts.blocked;
  });
  return counts;
}

}  // namespace fyr::agent
