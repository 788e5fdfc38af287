#include "agent/rpc_calls.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

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

RpcCalls& process_calls() {
  static CallbackThreads threads;
  return threads.calls;
}

}  // namespace fyr::agent
