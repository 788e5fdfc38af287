// GET and PUT /v1/snapshot: saving the whole state at one index, and putting it back.
//
// Both take long and use memory of several times the state, so there is one at a time, on a thread
// of its own; further ones are told so (503). Save reads what the usual consistency modes allow.
// Restore checks the archive, lays its state in parts into the log and replaces the live state by
// one last command; until that is committed nothing has changed. Any server takes it.
//
// Threading: every method from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "base/io/http_router.h"
#include "server/api/api.h"
#include "server/server.h"

namespace fyr::server {

class Snapshots {
 public:
  Snapshots(Server& server, const ApiOptions& options) : server_(server), options_(options) {}
  ~Snapshots() { stop(); }

  void save(const io::HttpCallPtr& call);
  void restore(const io::HttpCallPtr& call);
  // Waits for the one under way, which ends at its next step.
  void stop();

 private:
  void start(const io::HttpCallPtr& call, std::function<io::HttpResponse()> work);
  io::HttpResponse save_now(const ReadStamp& stamp);
  Result<void> restore_now(const std::string& archive);
  Result<void> write(const pb::Command& command);

  Server& server_;
  const ApiOptions& options_;
  std::mutex mutex_;
  // tidy: thread: seconds of work on the whole state would hold up every request of an io thread
  std::thread thread_;  // guarded by mutex_
  std::atomic<bool> busy_{false};
  std::atomic<bool> stopped_{false};
};

}  // namespace fyr::server
