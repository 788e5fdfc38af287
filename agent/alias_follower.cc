#include "agent/alias_follower.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"

namespace fyr::agent {

namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr Duration kAskEvery = std::chrono::seconds(5);
constexpr Duration kLongestWait = std::chrono::minutes(1);

bool is_alias(const LocalCheck& check) {
  return check.row.type() == "alias";
}

}  // namespace

AliasFollower::AliasFollower(io::Runtime& runtime, int thread, const LocalState& state,
                             CheckRunner& runner, SyncTransport& transport)
    : runtime_(runtime), thread_(thread), state_(state), runner_(runner), transport_(transport) {}

void AliasFollower::start() {
  local_changed();
  arm();
}

void AliasFollower::arm() {
  timer_ = runtime_.schedule(thread_, kTick, [weak = std::weak_ptr(alive_)] {
    if (const auto self = weak.lock()) {
      if (!(*self)->remotes_.empty()) (*self)->look();
      (*self)->arm();
    }
  });
}

void AliasFollower::local_changed() {
  if (posted_) return;
  posted_ = true;
  runtime_.post(thread_, [weak = std::weak_ptr(alive_)] {
    if (const auto self = weak.lock()) {
      (*self)->posted_ = false;
      (*self)->look();
    }
  });
}

void AliasFollower::look() {
  std::vector<std::string> aliases;
  for (const LocalCheck* check : state_.checks()) {
    if (is_alias(*check)) aliases.push_back(check->row.check_id());
  }
  std::erase_if(remotes_, [&](const auto& item) {
    return std::find(aliases.begin(), aliases.end(), item.first) == aliases.end();
  });
  for (const std::string& id : aliases) {
    if (const LocalCheck* check = state_.check(id)) follow(*check);
  }
}

void AliasFollower::follow(const LocalCheck& check) {
  const AliasTarget target{
      check.definition.alias_node().empty() ? state_.node().name() : check.definition.alias_node(),
      check.definition.alias_service()};
  const std::string& id = check.row.check_id();
  if (!equals_ignoring_case(target.node, state_.node().name())) {
    Remote& remote = remotes_[id];
    if (!remote.asking && now() >= remote.next) ask(id, target, remote);
    return;
  }
  std::vector<const pb::HealthCheck*> rows;
  for (const LocalCheck* other : state_.checks()) rows.push_back(&other->row);
  show(check, follow_alias(target, state_.service(target.service_id) != nullptr, rows));
}

void AliasFollower::show(const LocalCheck& check, CheckPublished now) {
  if (check.row.status() == to_string(now.status) && check.row.output() == now.output) return;
  runner_.show(check.row.check_id(), std::move(now));
}

void AliasFollower::ask(const std::string& id, const AliasTarget& target, Remote& remote) {
  remote.asking = true;
  pb::NodeStateRequest request;
  request.set_node(target.node);
  transport_.node_state(std::move(request),
                        [weak = std::weak_ptr(alive_), &runtime = runtime_, thread = thread_, id,
                         target](Result<pb::NodeStateResponse> answer) {
                          if (weak.expired()) return;
                          runtime.post(thread, [weak, id, target, answer = std::move(answer)] {
                            if (const auto self = weak.lock())
                              (*self)->answered(id, target, answer);
                          });
                        });
}

void AliasFollower::answered(const std::string& id, const AliasTarget& target,
                             const Result<pb::NodeStateResponse>& answer) {
  const auto it = remotes_.find(id);
  if (it == remotes_.end()) return;
  Remote& remote = it->second;
  remote.asking = false;
  remote.wait = answer
                    ? kAskEvery
                    : std::clamp<Duration>(2 * remote.wait, std::chrono::seconds(1), kLongestWait);
  remote.next = now() + remote.wait;
  const LocalCheck* check = state_.check(id);
  if (!answer || !check) return;  // what was last known stays
  std::vector<const pb::HealthCheck*> rows;
  for (const pb::HealthCheck& row : answer->checks()) rows.push_back(&row);
  const bool exists =
      std::any_of(answer->services().begin(), answer->services().end(),
                  [&](const pb::ServiceInstance& row) { return row.id() == target.service_id; });
  show(*check, follow_alias(target, exists, rows));
}

}  // namespace fyr::agent
