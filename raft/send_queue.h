// What waits for the way to one peer, of one class (raft.md §11). Bounded: what does not fit is
// dropped. Of signs of life and acknowledgements only the newest is kept.
//
// Pure. Owner: the link, under its lock.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "raft/outputs.h"

namespace fyr::raft {

struct SendLimits {
  std::size_t messages = 1'024;
  std::size_t bytes = 64u << 20;
};

class SendQueue {
 public:
  explicit SendQueue(SendLimits limits) : limits_(limits) {}

  // False: there was no room.
  bool push(Message message);
  // Messages for one frame of about a MiB, in order; at least one unless it is empty.
  std::vector<Message> take();
  std::size_t clear();  // how many were dropped

  bool empty() const { return waiting_.empty(); }
  std::size_t size() const { return waiting_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  bool replace_older(Message& message);

  const SendLimits limits_;
  std::deque<Message> waiting_;
  std::size_t bytes_ = 0;
};

}  // namespace fyr::raft
