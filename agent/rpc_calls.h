// Calls on their way, so that stopping can end them: cancel all, then wait until the last callback
// has returned. Only for the files of this folder: names gRPC types.
//
// Threading: any thread; wait() not from a gRPC thread.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.h"

namespace fyr::agent {

class RpcCalls {
 public:
  // False after stop: the call must not be made.
  bool add(grpc::ClientContext* context) {
    std::lock_guard lock(mutex_);
    if (stopped_) return false;
    contexts_.insert(context);
    return true;
  }
  void remove(grpc::ClientContext* context) {
    std::lock_guard lock(mutex_);
    contexts_.erase(context);
    if (contexts_.empty()) empty_.notify_all();
  }
  void stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    empty_.wait_for(lock, std::chrono::seconds(5), [this] { return contexts_.empty(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::set<grpc::ClientContext*> contexts_;
  bool stopped_ = false;
};

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
