// Writes: from a request to a command, through Raft, to an answer.
//
// A command that was never proposed because nobody leads is tried again until rpc_hold_timeout is
// over. One whose fate is unknown (CommitUnknown) never is: the client is told.
#pragma once

#include <functional>
#include <memory>

#include "base/io/http_router.h"
#include "base/io/runtime.h"
#include "server/api/api.h"
#include "server/server.h"

namespace fyr::server {

class Writes {
 public:
  // Called on the apply thread once the command was applied without refusal.
  using Done = std::function<void(const io::HttpCall& call, const ApplyResult& result)>;

  Writes(Server& server, io::Runtime& runtime, const ApiOptions& options)
      : server_(server), runtime_(runtime), options_(options) {}

  void submit(io::HttpCallPtr call, pb::Command command, Done done);
  // true, or false if a compare-and-set or lock was lost.
  void submit(io::HttpCallPtr call, pb::Command command);
  void stop() { stopped_ = true; }

 private:
  struct Pending;
  void propose(const std::shared_ptr<Pending>& pending);
  void finish(const std::shared_ptr<Pending>& pending, const Result<ApplyResult>& result);

  Server& server_;
  io::Runtime& runtime_;
  const ApiOptions& options_;
  std::atomic<bool> stopped_{false};
};

}  // namespace fyr::server
