// One WatchService stream, read event by event. Only for the files of this folder: names
// gRPC types.
//
// The next event is read when the last one was taken care of, so a busy agent holds one event a
// stream and no queue. Between two reads a hold keeps the call alive: every event must be followed
// by next() or end(), or the stream never ends.
//
// Threading: callbacks run on gRPC's threads; the rest from any.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

#include "agent/channel_source.h"
#include "agent/rpc_calls.h"
#include "watch.grpc.pb.h"

namespace fyr::agent {

class WatchStream final : public grpc::ClientReadReactor<pb::WatchEvent> {
 public:
  using OnEvent = std::function<void(const std::shared_ptr<WatchStream>&)>;
  using OnEnd = std::function<void(const std::shared_ptr<WatchStream>&, const grpc::Status&)>;

  // Null when stopping.
  static std::shared_ptr<WatchStream> open(ServerChannel server, pb::WatchRequest request,
                                           std::shared_ptr<RpcCalls> calls, OnEvent on_event,
                                           OnEnd on_end) {
    std::shared_ptr<WatchStream> self(new WatchStream);
    self->server_ = std::move(server);
    self->request_ = std::move(request);
    self->calls_ = std::move(calls);
    self->on_event_ = std::move(on_event);
    self->on_end_ = std::move(on_end);
    if (!self->calls_->add(&self->context_)) return nullptr;
    self->self_ = self;
    self->stub_ = pb::WatchRpc::NewStub(self->server_.channel);
    self->stub_->async()->WatchService(&self->context_, &self->request_, self.get());
    self->AddHold();
    self->StartRead(&self->event_);
    self->StartCall();
    return self;
  }

  const ServerChannel& server() const { return server_; }
  const pb::WatchEvent& event() const { return event_; }  // between on_event and next()
  void next() { StartRead(&event_); }
  void cancel() { context_.TryCancel(); }
  // In place of next(): the read it starts fails at once and the stream ends.
  void end() {
    cancel();
    next();
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      on_event_(self_);
    } else {
      RemoveHold();
    }
  }
  void OnDone(const grpc::Status& status) override {
    on_end_(self_, status);
    // Callbacks may hold who holds us.
    on_event_ = nullptr;
    on_end_ = nullptr;
    const auto calls = std::move(calls_);
    calls->remove(&context_);
    self_.reset();  // may be the end of this object
    calls->gone();
  }

 private:
  WatchStream() = default;

  ServerChannel server_;
  pb::WatchRequest request_;
  std::shared_ptr<RpcCalls> calls_;
  OnEvent on_event_;
  OnEnd on_end_;
  grpc::ClientContext context_;
  std::unique_ptr<pb::WatchRpc::Stub> stub_;
  pb::WatchEvent event_;
  std::shared_ptr<WatchStream> self_;
};

}  // namespace fyr::agent
