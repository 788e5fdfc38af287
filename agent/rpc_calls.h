// Calls on their way, so that stopping can end them: cancel all, then wait until the last callback
// has returned and what it held is gone. gRPC headers stay out.
//
// Threading: any thread; stop() not from a gRPC thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc

namespace fyr::agent {

class RpcCalls {
 public:
  // False after stop: the call must not be made. Else remove() and gone() must follow.
  bool add(grpc::ClientContext* context) {
    std::lock_guard lock(mutex_);
    if (stopped_) return false;
    contexts_.insert(context);
    ++open_;
    return true;
  }
  // The call has ended; its context may be destroyed from now on.
  void remove(grpc::ClientContext* context) {
    std::lock_guard lock(mutex_);
    contexts_.erase(context);
  }
  // What the callback held is released: context, stub, channel and the caller's function.
  void gone() {
    std::lock_guard lock(mutex_);
    if (--open_ == 0) empty_.notify_all();
  }
  void stop();

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::set<grpc::ClientContext*> contexts_;
  std::size_t open_ = 0;
  bool stopped_ = false;
};

// gRPC (1.51) runs callbacks on threads that live as long as any channel or server that has used
// one. When the last of these is released inside a callback, the thread it runs on waits for
// itself, which fails silently, and then frees the queue it is reading (grpc issue 37858). So
// whatever makes calls asks for this first: it keeps the threads until the process ends.
//
// The calls are those nobody else counts: runs of checks, which outlive their probe.
RpcCalls& process_calls();

Error from_status(const grpc::Status& status);

}  // namespace fyr::agent
