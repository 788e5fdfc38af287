#include "agent/rpc_calls.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <chrono>

#include "base/check.h"

namespace fyr::agent {

namespace {

// A server without a port: the only public way to hold the callback threads.
class CallbackThreads {
 public:
  CallbackThreads() {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  ~CallbackThreads() {
    calls.stop();
    server_->Shutdown();
  }

  RpcCalls calls;

 private:
  grpc::CallbackGenericService service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

void RpcCalls::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
  empty_.wait_for(lock, std::chrono::seconds(5), [this] { return open_ == 0; });
}

RpcCalls& process_calls() {
  static CallbackThreads threads;
  return threads.calls;
}

Error from_status(const grpc::Status& status) {
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
