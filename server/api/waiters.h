// Requests that wait for a change. Waiters with the same question share one Watch: one
// subscription, one evaluation per change, one set of bytes.
//
// A Waiters object belongs to one io thread; everything on it runs there, so there are no locks.
// A waiter is a few hundred bytes beyond its connection and goes at once when its client does.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/io/http_router.h"
#include "base/io/runtime.h"
#include "server/api/answer_cache.h"
#include "server/server.h"

namespace fyr::server {

class Waiters {
 public:
  // Told the answer; `call` is the waiter's.
  using Deliver = std::function<void(const io::HttpCallPtr& call, const ReadPlan& plan,
                                     const AnswerPtr& answer, Consistency consistency)>;
  Waiters(Server& server, AnswerCache& cache, io::Runtime& runtime, int thread, Deliver deliver);
  ~Waiters();

  // Waits until the answer's index is above `seen` (or `wait` is over) and delivers it then.
  void park(io::HttpCallPtr call, std::shared_ptr<const ReadPlan> plan, StateIndex seen,
            Duration wait, Consistency consistency);
  void deliver_all();
  std::size_t size() const { return count_; }

 private:
  struct Waiter {
    io::HttpCallPtr call;
    StateIndex seen = 0;
    Consistency consistency = Consistency::Default;
    std::shared_ptr<const std::string> seen_body;  // of quiet plans
    io::Timer timer;
  };
  struct Watch;
  struct Batch;
  using WatchPtr = std::shared_ptr<Watch>;

  WatchPtr watch_for(const std::shared_ptr<const ReadPlan>& plan, bool pretty);
  void changed(const WatchPtr& watch);
  void deliver_batch(std::shared_ptr<Batch> batch);
  void expired(const WatchPtr& watch, std::uint64_t id);
  void abandoned(const WatchPtr& watch, std::uint64_t id);
  void drop_if_empty(const WatchPtr& watch);

  Server& server_;
  AnswerCache& cache_;
  io::Runtime& runtime_;
  const int thread_;
  const Deliver deliver_;
  std::unordered_map<std::string, WatchPtr> watches_;
  std::vector<std::shared_ptr<Batch>> in_delivery_;
  std::uint64_t next_id_ = 1;
  std::size_t count_ = 0;
};

}  // namespace fyr::server
