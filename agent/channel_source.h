// Where the agent half finds a server to talk to. On a server process there is one channel, the
// in-process one of its own RPC server; on an agent machine server_picker chooses among many.
// gRPC headers stay out: a channel is only passed through.
//
// Threading: every method from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace grpc {
class Channel;
}

namespace fyr::agent {

struct ServerChannel {
  std::shared_ptr<grpc::Channel> channel;  // null: no server is known now
  std::string address;                     // host:port; "" for the in-process one
};

class ChannelSource {
 public:
  virtual ~ChannelSource() = default;
  // The server to use now. Stays the same until it is reported as failed or the list changes.
  virtual ServerChannel pick() = 0;
  // A call over it ended as Unavailable: the next pick() prefers another one.
  virtual void failed(const ServerChannel& server) = 0;
  // Called when a server appeared or another one became preferred: retries and full comparisons
  // start then, without waiting for a timer. Any number; they run on any thread and must post.
  virtual void on_change(std::function<void()> callback) = 0;
  // Addresses of all known servers, the preferred one first.
  virtual std::vector<std::string> addresses() const = 0;
};

// The in-process channel of this process's own server.
std::shared_ptr<ChannelSource> make_fixed_channel_source(std::shared_ptr<grpc::Channel> channel);

}  // namespace fyr::agent
