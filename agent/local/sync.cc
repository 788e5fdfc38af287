#include "agent/local/sync.h"

#include "base/log.h"
#include "base/metrics.h"

namespace fyr::agent {

Sync::Sync(io::Runtime& runtime, int thread, LocalState& state, SyncTransport& transport,
           SyncOptions options, Random random)
    : runtime_(runtime),
      thread_(thread),
      state_(state),
      transport_(transport),
      options_(options),
      random_(random),
      core_(options.times, Random(random_.next())) {}

void Sync::start() {
  running_ = true;
  core_.compare_now(now());
  run();
}

void Sync::stop() {
  running_ = false;
  timer_.cancel();
  armed_.reset();
}

void Sync::item_changed() {
  core_.item_changed(now());
  arm();
}

void Sync::servers_changed() {
  core_.servers_changed(now());
  run();  // what failed or never compared does not wait for the timer
}

void Sync::compare_now() {
  core_.compare_now(now());
  run();
}

Instant Sync::output_due() {
  if (options_.output_interval <= Duration::zero()) return now();
  return now() + options_.output_interval / 2 +
         random_.between(Duration::zero(), options_.output_interval);
}

void Sync::run() {
  if (!running_) return;
  const Instant at = now();
  core_.due_at(state_.next_due());
  switch (core_.next(at, state_.compared(), state_.wants_push(at))) {
    case SyncCore::Action::Push:
      push();
      break;
    case SyncCore::Action::Compare:
      compare();
      break;
    case SyncCore::Action::None:
      break;
  }
  arm();
}

void Sync::arm() {
  if (!running_) return;
  const auto next = core_.next_deadline();
  if (next == armed_) return;
  armed_ = next;
  timer_.cancel();
  if (!next) return;
  const Duration delay = std::max(*next - now(), Duration::zero());
  timer_ = runtime_.schedule(thread_, delay, [weak = weak_from_this()] {
    if (auto self = weak.lock()) {
      self->armed_.reset();
      self->run();
    }
  });
}

void Sync::push() {
  ++totals_.pushes;
  LocalState::Batch batch = state_.next_batch(now());
  if (batch.sent.empty()) return core_.done(now(), SyncCore::Action::Push, false);
  pb::PushRequest request = batch.request;
  transport_.push(std::move(request), [weak = weak_from_this(), thread = thread_,
                                       &runtime = runtime_, batch = std::move(batch)](
                                          Result<pb::PushResponse> answer) mutable {
    runtime.post(thread, [weak, batch = std::move(batch), answer = std::move(answer)]() mutable {
      if (auto self = weak.lock()) self->pushed(batch, std::move(answer));
    });
  });
}

void Sync::pushed(const LocalState::Batch& batch, Result<pb::PushResponse> answer) {
  if (!running_) return;
  const Instant at = now();
  bool retry = false;
  if (answer) {
    retry = state_.pushed(at, batch, *answer);
    last_push_index_ = std::max<std::uint64_t>(last_push_index_, answer->index());
    for (const pb::ItemResult& result : answer->results()) {
      if (result.code() != 0) log::warn("agent", "sync: {}", result.message());
    }
    failing_ = failing_ && retry;
  } else if (answer.error().code == ErrorCode::InvalidArgument) {
    refused(at, batch, answer.error().message);
  } else {
    state_.push_failed(batch);
    failed("push", answer.error());
    retry = true;
  }
  core_.done(at, SyncCore::Action::Push, retry);
  run();
}

// Not a failure of the way to the servers: the same request would be refused again.
void Sync::refused(Instant at, const LocalState::Batch& batch, const std::string& reason) {
  ++totals_.failures;
  if (!state_.push_refused(at, batch, reason)) {
    log::info("agent", "sync: a push of {} entries is refused, trying fewer: {}", batch.sent.size(),
              reason);
    return;
  }
  const LocalState::Sent& sent = batch.sent[0];
  const char* kind = sent.kind == LocalState::Sent::Kind::Node      ? "node"
                     : sent.kind == LocalState::Sent::Kind::Service ? "service"
                                                                    : "check";
  metrics::counter("fyr.agent.sync_set_aside").add();
  log::error("agent", "sync: {} {} is refused by the servers and set aside: {}", kind, sent.id,
             reason);
}

void Sync::compare() {
  ++totals_.full_compares;
  pb::NodeStateRequest request;
  request.set_node(state_.node().name());
  request.set_digest(state_.digest());
  transport_.node_state(std::move(request),
                        [weak = weak_from_this(), thread = thread_, &runtime = runtime_,
                         mark = state_.change_count()](Result<pb::NodeStateResponse> answer) {
                          runtime.post(thread, [weak, mark, answer = std::move(answer)]() mutable {
                            if (auto self = weak.lock()) self->compared(mark, std::move(answer));
                          });
                        });
}

void Sync::compared(std::uint64_t mark, Result<pb::NodeStateResponse> answer) {
  if (!running_) return;
  bool retry = false;
  if (!answer) {
    failed("comparison", answer.error());
    retry = true;
  } else if (answer->index() < last_push_index_) {
    // A server that has not applied our own last push yet would make us push it again.
    last_push_index_ = answer->index();
    retry = true;
  } else {
    const auto found = state_.compare(*answer, mark, output_due());
    if (found.out_of_sync + found.ghosts > 0) {
      log::info("agent", "sync: {} items differ, {} unknown to this agent are removed",
                found.out_of_sync, found.ghosts);
    }
    failing_ = false;
  }
  core_.done(now(), SyncCore::Action::Compare, retry);
  run();
}

void Sync::failed(const char* what, const Error& error) {
  ++totals_.failures;
  // Once for each outage, not once for each retry.
  if (!failing_) log::warn("agent", "sync: {} failed, retrying: {}", what, error.message);
  failing_ = true;
}

}  // namespace fyr::agent
