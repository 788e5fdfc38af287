// Calls on their way, so that stopping can end them: cancel all, then wait until the last callback
// has returned and what it held is gone. For the drivers of agent/ alone: names gRPC types.
//
// Threading: any thread; stop() not from a gRPC thread.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.h"

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
  void stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    empty_.wait_for(lock, std::chrono::seconds(5), [this] { return open_ == 0; });
  }

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

inline Error from_status(const grpc::Status& status) {
  const auto code = [&] {
    switch (status.error_code()) {
      case grpc::StatusCode::UNAVAILABLE:
      case grpc::StatusCode::CANCELLED:
        return ErrorCode::Unavailable;
      case grpc::StatusCode::DEADLINE_EXCEEDED:
        return ErrorCode::Timeout;
      case grpc::StatusCode::INVALID_ARGUMENT:
        return ErrorCode::InvalidArgument;
      case grpc::StatusCode::PERMISSION_DENIED:
        return ErrorCode::PermissionDenied;
      case grpc::StatusCode::RESOURCE_EXHAUSTED:
        return ErrorCode::ResourceExhausted;
      case grpc::StatusCode::NOT_FOUND:
        return ErrorCode::NotFound;
      case grpc::StatusCode::UNIMPLEMENTED:
        return ErrorCode::Unsupported;
      default:
        return ErrorCode::Internal;
    }
  }();
  return Error{code, status.error_message()};
}

}  // namespace fyr::agent
