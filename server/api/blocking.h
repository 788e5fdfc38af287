// Reads: parameters, consistency, waiting, answering. An endpoint only describes what it reads
// (ReadPlan) and calls serve().
//
// Without a leader a read is tried again until rpc_hold_timeout is over, then answered with 500
// "No cluster leader". Threading: serve() from any thread; the rest on the connection's io thread.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/io/http_router.h"
#include "base/io/runtime.h"
#include "server/api/answer_cache.h"
#include "server/api/api.h"
#include "server/api/read_plan.h"
#include "server/api/waiters.h"
#include "server/server.h"

namespace fyr::server {

class Reads {
 public:
  Reads(Server& server, io::Runtime& runtime, const ApiOptions& options);
  ~Reads();

  void serve(io::HttpCallPtr call, ReadPlan plan);
  // Delivers what waits; later reads do not wait.
  void stop();
  AnswerCache& cache() { return cache_; }

 private:
  struct Request;
  using RequestPtr = std::shared_ptr<Request>;

  void begin(const RequestPtr& request);
  void retry_or_fail(const RequestPtr& request, const Error& error);
  void evaluate(const RequestPtr& request, const ReadStamp& stamp);
  void deliver(const io::HttpCallPtr& call, const ReadPlan& plan, const AnswerPtr& answer,
               Consistency consistency);
  void respond(const io::HttpCall& call, const ReadPlan& plan, const Answer& answer,
               const ReadStamp& stamp, Consistency consistency) const;

  Server& server_;
  io::Runtime& runtime_;
  const ApiOptions& options_;
  AnswerCache cache_;
  std::vector<std::unique_ptr<Waiters>> waiters_;  // one an io thread
  std::atomic<bool> stopped_{false};
};

// The status and text Consul's clients expect: refused input keeps its status, all else is 500.
void answer_error(const io::HttpCall& call, const Error& error);
// True for failures after which the same request may be tried again: it never ran.
bool worth_retrying(const Error& error);
constexpr Duration kRetryPause = std::chrono::milliseconds(50);

}  // namespace fyr::server
