// Requests to the agent that wait for a change of what it holds: by content hash or event index.
//
// Threading: on the agent's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/io/http_router.h"
#include "base/io/runtime.h"
#include "base/time.h"

namespace fyr::agent {

class LocalWaiters {
 public:
  // Answers if there is something to say, or if `late`; true if it did.
  using Try = std::function<bool(bool late)>;

  LocalWaiters(io::Runtime& runtime, int thread) : runtime_(runtime), thread_(thread) {}

  // Asks `attempt` at once, then after each changed(), and a last time after `wait`.
  void wait_for(const io::HttpCallPtr& call, Duration wait, Try attempt);
  void changed();
  void answer_all();  // at stop
  std::size_t size() const { return waiting_.size(); }

 private:
  static constexpr std::size_t kMaxWaiting = 4096;
  struct Waiting {
    Try attempt;
    io::Timer timer;
  };
  void finish(std::uint64_t id);

  io::Runtime& runtime_;
  const int thread_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t last_id_ = 0;
  std::shared_ptr<LocalWaiters*> alive_ = std::make_shared<LocalWaiters*>(this);
};

}  // namespace fyr::agent
