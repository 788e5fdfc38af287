// AgentRpc, called: the transport of sync and of forwarded requests. Each call goes to the server
// the ChannelSource prefers; one that is unavailable is reported back to it.
//
// Threading: any thread. Callbacks run on gRPC's threads: post onwards.
#pragma once

#include <functional>
#include <memory>

#include "agent.pb.h"
#include "agent/channel_source.h"
#include "agent/local/sync.h"
#include "base/error.h"
#include "base/time.h"

namespace fyr::agent {

class AgentStub : public SyncTransport {
 public:
  explicit AgentStub(std::shared_ptr<ChannelSource> servers);
  ~AgentStub() override;
  // Cancels what is on its way; its callbacks have run when this returns.
  void stop();

  void push(pb::PushRequest request, std::function<void(Result<pb::PushResponse>)> done) override;
  void node_state(pb::NodeStateRequest request,
                  std::function<void(Result<pb::NodeStateResponse>)> done) override;

  class Call {
   public:
    virtual ~Call() = default;
    virtual void cancel() = 0;
  };
  // A request that failed before any server saw it has Unavailable.
  std::shared_ptr<Call> forward(pb::HttpForward request, Duration timeout,
                                std::function<void(Result<pb::HttpForwardResponse>)> done);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fyr::agent
