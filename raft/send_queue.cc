#include "raft/send_queue.h"

#include <algorithm>

#include "raft/wire.h"

namespace fyr::raft {
namespace {

constexpr std::size_t kFrameTarget = 1u << 20;
// How far back an older one is looked for: it hardly ever is further away.
constexpr std::size_t kLookBack = 16;

// `newer` says everything that `older` said.
bool covers(const Message& newer, const Message& older) {
  if (newer.term != older.term || newer.to_incarnation != older.to_incarnation ||
      newer.body.index() != older.body.index()) {
    return false;
  }
  if (const auto* reply = std::get_if<AppendReply>(&newer.body)) {
    const auto& before = std::get<AppendReply>(older.body);
    return reply->success && before.success && reply->match >= before.match &&
           reply->round >= before.round;
  }
  if (const auto* reply = std::get_if<HeartbeatReply>(&newer.body)) {
    const auto& before = std::get<HeartbeatReply>(older.body);
    return reply->round >= before.round && (before.check == Index{} || reply->check != Index{});
  }
  if (const auto* beat = std::get_if<Heartbeat>(&newer.body)) {
    return beat->round >= std::get<Heartbeat>(older.body).round;
  }
  return false;
}

}  // namespace

bool SendQueue::replace_older(Message& message) {
  const std::size_t stop = waiting_.size() - std::min(waiting_.size(), kLookBack);
  for (std::size_t i = waiting_.size(); i > stop; --i) {
    if (!covers(message, waiting_[i - 1])) continue;
    waiting_[i - 1] = std::move(message);
    return true;
  }
  return false;
}

bool SendQueue::push(Message message) {
  if (replace_older(message)) return true;
  const std::size_t size = wire_size(message);
  if (waiting_.size() >= limits_.messages || bytes_ + size > limits_.bytes) return false;
  bytes_ += size;
  waiting_.push_back(std::move(message));
  return true;
}

std::vector<Message> SendQueue::take() {
  std::vector<Message> out;
  std::size_t size = 0;
  while (!waiting_.empty()) {
    const std::size_t next = wire_size(waiting_.front());
    if (!out.empty() && size + next > kFrameTarget) break;
    size += next;
    out.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  bytes_ -= size;
  return out;
}

std::size_t SendQueue::clear() {
  const std::size_t dropped = waiting_.size();
  waiting_.clear();
  bytes_ = 0;
  return dropped;
}

}  // namespace fyr::raft
