// A network inside one process: transports that hand messages to each other. For tests under the
// thread sanitizer, which does not understand gRPC, and for cutting links.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/transport.h"
#include "raft/worker.h"

namespace fyr::raft {

class LocalNetwork {
 public:
  class Port;

  std::shared_ptr<Transport> add();
  // Both ways, until mended; nobody is told (silence).
  void cut(NodeId a, NodeId b) {
    const std::lock_guard lock(mutex_);
    cut_.insert({a, b});
    cut_.insert({b, a});
  }
  void mend() {
    const std::lock_guard lock(mutex_);
    cut_.clear();
  }

 private:
  friend class Port;
  std::shared_ptr<Port> find(NodeId from, NodeId to) {
    const std::lock_guard lock(mutex_);
    if (cut_.contains({from, to})) return nullptr;
    const auto found = ports_.find(to);
    return found == ports_.end() ? nullptr : found->second.lock();
  }

  std::mutex mutex_;
  std::map<NodeId, std::weak_ptr<Port>> ports_;  // guarded by mutex_
  std::set<std::pair<NodeId, NodeId>> cut_;      // guarded by mutex_
};

// Delivers on a thread of its own, in order.
class LocalNetwork::Port final : public Transport, public std::enable_shared_from_this<Port> {
 public:
  explicit Port(LocalNetwork& network) : network_(network) {}
  ~Port() override { stop(); }

  void start(const PeerIdentity& self, const std::string&, Receiver receiver) override {
    {
      const std::lock_guard lock(mutex_);
      self_ = self;
      receiver_ = std::move(receiver);
    }
    const std::lock_guard lock(network_.mutex_);
    network_.ports_[self.node] = weak_from_this();
  }
  void adopt(const std::string& cluster, std::uint32_t) override {
    const std::lock_guard lock(mutex_);
    self_.cluster = cluster;
  }
  void serve_snapshots(SnapshotSource* source) override {
    const std::lock_guard lock(mutex_);
    source_ = source;
  }
  void set_peers(std::vector<Member>) override {}
  void set_address(NodeId, const std::string&) override {}

  void send(std::vector<Message> messages) override {
    for (Message& message : messages) {
      const PeerIdentity self = identity();
      if (const auto to = network_.find(self.node, message.to)) {
        to->worker_.post([to = to.get(), self, message = std::move(message)]() mutable {
          to->deliver(self, std::move(message));
        });
      }
    }
  }

  void fetch_snapshot(const FetchSnapshot& request, std::shared_ptr<SnapshotSink> sink,
                      std::function<void(Result<void>)> done) override {
    puller_.post([this, request, sink, done] { done(pull(request, *sink)); });
  }
  void cancel_snapshot() override {}

  void stop() override {
    {
      const std::lock_guard lock(network_.mutex_);
      const auto found = network_.ports_.find(identity().node);
      if (found != network_.ports_.end() && found->second.expired()) network_.ports_.erase(found);
    }
    puller_.stop();
    worker_.stop();
  }

 private:
  PeerIdentity identity() {
    const std::lock_guard lock(mutex_);
    return self_;
  }

  void deliver(const PeerIdentity& from, Message message) {
    const PeerIdentity self = identity();
    if (self.cluster.empty() && !from.cluster.empty()) {
      receiver_.adopted(from.cluster, from.recovery_epoch);
    } else if (self.cluster == from.cluster && !self.cluster.empty()) {
      message.from_incarnation = from.incarnation;
      std::vector<Message> messages;
      messages.push_back(std::move(message));
      receiver_.messages(std::move(messages));
    }
  }

  Result<void> pull(const FetchSnapshot& request, SnapshotSink& sink) {
    while (true) {
      auto want = sink.next();
      if (!want) return want.error();
      if (!*want) return {};
      const auto from = network_.find(identity().node, request.from);
      if (!from) return fail(ErrorCode::Unavailable, "cut");
      const std::lock_guard lock(from->mutex_);
      auto part = from->source_->read(request.snapshot.id, (*want)->file, (*want)->offset,
                                      (*want)->max_bytes);
      if (!part) return part.error();
      if (auto put = sink.put(**want, std::move(*part)); !put) return put;
    }
  }

  LocalNetwork& network_;
  std::mutex mutex_;
  PeerIdentity self_;                 // guarded by mutex_
  SnapshotSource* source_ = nullptr;  // guarded by mutex_
  Receiver receiver_;                 // not changed after start()
  Worker worker_{"local-net"};
  Worker puller_{"local-pull"};
};

inline std::shared_ptr<Transport> LocalNetwork::add() {
  return std::make_shared<Port>(*this);
}

}  // namespace fyr::raft
