#include "raft/grpc_transport.h"

#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/metrics.h"
#include "raft/peer_link.h"
#include "raft/peer_server.h"
#include "raft/snapshot_pull.h"
#include "raft/thread_name.h"
#include "raft/transport_context.h"

namespace fyr::raft {
namespace {

// Makes one state of the two streams to a peer and says each change once, in order, whichever
// thread it came from.
class PeerState {
 public:
  explicit PeerState(std::function<void(LinkState)> say) : say_(std::move(say)) {}

  void changed(StreamClass stream_class, LinkState state) {
    std::unique_lock lock(mutex_);
    (stream_class == StreamClass::Control ? control_ : data_) = state;
    const bool up = control_ == LinkState::Up && data_ == LinkState::Up;
    const bool reset = control_ == LinkState::Reset || data_ == LinkState::Reset;
    const LinkState both = up ? LinkState::Up : reset ? LinkState::Reset : LinkState::Down;
    if (both == said_) return;
    said_ = both;
    unsaid_.push_back(both);
    say(lock);
  }
  // Something was lost on the way to the peer although it can be reached.
  void lost() {
    std::unique_lock lock(mutex_);
    if (said_ != LinkState::Up) return;
    unsaid_.push_back(LinkState::Down);
    unsaid_.push_back(LinkState::Up);
    say(lock);
  }

 private:
  void say(std::unique_lock<std::mutex>& lock) {
    if (saying_) return;
    saying_ = true;
    while (!unsaid_.empty()) {
      const LinkState next = unsaid_.front();
      unsaid_.pop_front();
      lock.unlock();
      say_(next);
      lock.lock();
    }
    saying_ = false;
  }

  const std::function<void(LinkState)> say_;
  std::mutex mutex_;
  // All guarded by mutex_.
  LinkState control_ = LinkState::Down;
  LinkState data_ = LinkState::Down;
  LinkState said_ = LinkState::Down;
  std::deque<LinkState> unsaid_;
  bool saying_ = false;  // a thread is at it
};

struct Peer {
  std::shared_ptr<PeerLink> control, data;
  std::string address;     // used now
  std::string configured;  // by set_peers
  bool wanted = false;     // by set_peers
  int visits = 0;          // streams it has opened to us
};

bool is_data(const Message& message) {
  const auto* append = std::get_if<Append>(&message.body);
  return append && !append->entries.empty();
}

class Impl final : public GrpcTransport {
 public:
  explicit Impl(GrpcTransportOptions options)
      : context_(options),
        server_(context_, [this](NodeId peer, const std::string& at, int change) {
          visited(peer, at, change);
        }) {}
  ~Impl() override { stop(); }

  grpc::Service& service() override { return server_.service(); }

  void start(const PeerIdentity& self, const std::string& address, Receiver receiver) override {
    CHECK(self.node != NodeId{});
    context_.receiver = std::move(receiver);
    // Streams of others wait for this one.
    context_.self.with([&](TransportContext::Self& s) { s = {self, address}; });
    std::lock_guard lock(mutex_);
    CHECK(!thread_.joinable());
    thread_ = std::thread([this] { run(); });
  }

  void adopt(const std::string& cluster, std::uint32_t recovery_epoch) override {
    context_.self.with([&](TransportContext::Self& s) {
      s.identity.cluster = cluster;
      s.identity.recovery_epoch = recovery_epoch;
    });
    poke();
  }

  void serve_snapshots(SnapshotSource* source) override { server_.serve_snapshots(source); }
  void set_peers(std::vector<Member> peers) override;
  void set_address(NodeId peer, const std::string& address) override;
  void send(std::vector<Message> messages) override;
  void fetch_snapshot(const FetchSnapshot& request, std::shared_ptr<SnapshotSink> sink,
                      std::function<void(Result<void>)> done) override;
  void cancel_snapshot() override;
  void stop() override;

 private:
  void run();
  void poke();
  Peer& open_peer(NodeId id, const std::string& address);
  void close_peer(std::map<NodeId, Peer>::iterator at);
  std::shared_ptr<PeerLink> link(NodeId id, const std::string& address, StreamClass stream_class,
                                 const std::shared_ptr<PeerState>& state);
  void visited(NodeId id, const std::string& address, int change);
  std::vector<std::shared_ptr<PeerLink>> all_links();

  TransportContext context_;
  PeerServer server_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // All guarded by mutex_.
  std::map<NodeId, Peer> peers_;
  std::vector<std::shared_ptr<PeerLink>> closing_;
  bool poked_ = false;
  bool stopping_ = false;
  std::thread thread_;  // opens streams and watches their deadlines

  std::mutex pull_mutex_;
  std::unique_ptr<SnapshotPull> pull_;  // guarded by pull_mutex_
};

// ---- peers --------------------------------------------------------------------------------

std::shared_ptr<PeerLink> Impl::link(NodeId id, const std::string& address,
                                     StreamClass stream_class,
                                     const std::shared_ptr<PeerState>& state) {
  PeerLink::Events events;
  events.poke = [this] { poke(); };
  events.changed = [state, stream_class](LinkState change) {
    state->changed(stream_class, change);
  };
  events.overflowed = [state] { state->lost(); };
  return std::make_shared<PeerLink>(context_, id, address, stream_class, std::move(events));
}

// Under the lock.
Peer& Impl::open_peer(NodeId id, const std::string& address) {
  Peer& peer = peers_[id];
  const auto state = std::make_shared<PeerState>(
      [this, id](LinkState change) { context_.receiver.link(id, change); });
  peer.address = address;
  peer.control = link(id, address, StreamClass::Control, state);
  peer.data = link(id, address, StreamClass::Data, state);
  return peer;
}

// Under the lock; run() closes them.
void Impl::close_peer(std::map<NodeId, Peer>::iterator at) {
  closing_.push_back(std::move(at->second.control));
  closing_.push_back(std::move(at->second.data));
  peers_.erase(at);
}

void Impl::set_peers(std::vector<Member> members) {
  std::vector<std::pair<std::shared_ptr<PeerLink>, std::string>> moved;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    for (auto& [id, peer] : peers_) peer.wanted = false;
    const NodeId self = context_.identity().node;
    for (Member& member : members) {
      if (member.id == self || member.address.empty()) continue;
      const auto found = peers_.find(member.id);
      Peer& peer = found != peers_.end() ? found->second : open_peer(member.id, member.address);
      peer.wanted = true;
      // What a peer said itself counts, until the configuration changes.
      if (std::exchange(peer.configured, member.address) != member.address &&
          peer.address != member.address) {
        peer.address = member.address;
        for (const auto& l : {peer.control, peer.data}) moved.emplace_back(l, member.address);
      }
    }
    for (auto at = peers_.begin(); at != peers_.end();) {
      const auto next = std::next(at);
      if (!at->second.wanted && at->second.visits <= 0) close_peer(at);
      at = next;
    }
  }
  for (const auto& [l, address] : moved) l->set_address(address);
  poke();
}

void Impl::set_address(NodeId id, const std::string& address) {
  std::shared_ptr<PeerLink> control, data;
  {
    std::lock_guard lock(mutex_);
    const auto found = peers_.find(id);
    if (found == peers_.end() || address.empty() || found->second.address == address) return;
    found->second.address = address;
    control = found->second.control;
    data = found->second.data;
  }
  control->set_address(address);
  data->set_address(address);
}

void Impl::visited(NodeId id, const std::string& address, int change) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    auto found = peers_.find(id);
    if (found == peers_.end()) {
      // A peer whose configuration has not reached us: its messages want answers.
      if (change < 0 || address.empty()) return;
      open_peer(id, address);
      found = peers_.find(id);
    }
    found->second.visits += change;
    if (change > 0) {
      found->second.control->hurry();
      found->second.data->hurry();
    }
    if (!found->second.wanted && found->second.visits <= 0) close_peer(found);
  }
  if (change > 0) set_address(id, address);
  poke();
}

// ---- messages -----------------------------------------------------------------------------

void Impl::send(std::vector<Message> messages) {
  static metrics::Counter& strangers = metrics::counter("fyr.raft.messages_to_strangers");
  std::vector<std::shared_ptr<PeerLink>> touched;
  for (Message& message : messages) {
    const bool data = is_data(message);
    std::shared_ptr<PeerLink> to;
    {
      std::lock_guard lock(mutex_);
      const auto found = peers_.find(message.to);
      if (found != peers_.end()) to = data ? found->second.data : found->second.control;
    }
    if (!to) {
      strangers.add();
      continue;
    }
    to->send(std::move(message));
    if (std::find(touched.begin(), touched.end(), to) == touched.end()) {
      touched.push_back(std::move(to));
    }
  }
  for (const auto& l : touched) l->flush();
}

// ---- snapshots ----------------------------------------------------------------------------

void Impl::fetch_snapshot(const FetchSnapshot& request, std::shared_ptr<SnapshotSink> sink,
                          std::function<void(Result<void>)> done) {
  std::string address;
  {
    std::lock_guard lock(mutex_);
    const auto found = peers_.find(request.from);
    if (found != peers_.end() && !stopping_) address = found->second.address;
  }
  if (address.empty()) {
    return done(fail(ErrorCode::Unavailable, "snapshot: its sender's address is not known"));
  }
  std::lock_guard lock(pull_mutex_);
  pull_.reset();
  pull_ =
      std::make_unique<SnapshotPull>(context_, request, address, std::move(sink), std::move(done));
}

void Impl::cancel_snapshot() {
  std::lock_guard lock(pull_mutex_);
  if (pull_) pull_->cancel();
}

// ---- its thread ---------------------------------------------------------------------------

void Impl::poke() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(poked_, true)) return;
  }
  wake_.notify_all();
}

std::vector<std::shared_ptr<PeerLink>> Impl::all_links() {
  std::vector<std::shared_ptr<PeerLink>> out;
  std::lock_guard lock(mutex_);
  for (const auto& [id, peer] : peers_) {
    out.push_back(peer.control);
    out.push_back(peer.data);
  }
  return out;
}

void Impl::run() {
  name_this_thread("raft-net");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    poked_ = false;
    auto closing = closing_;
    lock.unlock();
    for (const auto& l : closing) l->close();
    std::erase_if(closing, [](const auto& l) { return !l->finished(); });
    const Instant at = now();
    std::optional<Instant> next = server_.tick(at);
    for (const auto& l : all_links()) {
      const auto due = l->tick(at);
      if (due && (!next || *due < *next)) next = due;
    }
    // An inbound stream that never says who it is does not poke.
    const Instant look = at + context_.options.handshake_wait;
    next = next ? std::min(*next, look) : look;
    if (!closing.empty()) next = std::min(*next, at + context_.options.reconnect_min);
    lock.lock();
    std::erase_if(closing_, [](const auto& l) { return l->finished(); });
    wake_.wait_for(lock, *next - at, [this] { return poked_ || stopping_; });
  }
}

void Impl::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  {
    std::lock_guard lock(pull_mutex_);
    pull_.reset();
  }
  server_.stop();
  std::vector<std::shared_ptr<PeerLink>> links = all_links();
  {
    std::lock_guard lock(mutex_);
    links.insert(links.end(), closing_.begin(), closing_.end());
    peers_.clear();
    closing_.clear();
  }
  for (const auto& l : links) l->close();
  for (const auto& l : links) l->await_finished();
}

}  // namespace

std::shared_ptr<GrpcTransport> GrpcTransport::make(GrpcTransportOptions options) {
  // A debugging aid of absl's that Debian's build leaves on; every lock of gRPC's pays for it.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return std::make_shared<Impl>(std::move(options));
}

}  // namespace fyr::raft
