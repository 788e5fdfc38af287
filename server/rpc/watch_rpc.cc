#include "server/rpc/watch_rpc.h"

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/guarded.h"
#include "base/metrics.h"
#include "base/random.h"
#include "server/rpc/service_feed.h"
#include "server/rpc/status.h"
#include "watch.grpc.pb.h"

namespace fyr::server {

namespace {

class Hub;

// One client. Touched on its hub's thread only, but for what gRPC calls.
class Stream final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit Stream(std::shared_ptr<Hub> hub) : hub_(std::move(hub)) {}
  void hold(std::shared_ptr<Stream> self) { self_ = std::move(self); }

  void start(std::uint64_t position, bool resumed) {
    position_ = position;
    confirm_ = resumed;  // a client that missed nothing is told so at once
  }
  void kick(ServiceFeed& feed, Instant now);
  void beat(ServiceFeed& feed, Instant now, Duration every);
  // A write on its way is waited for.
  void finish(grpc::Status status) {
    if (std::exchange(finished_, true)) return;
    if (writing_) {
      last_words_ = std::move(status);
    } else {
      Finish(std::move(status));
    }
  }
  void written(bool ok) {
    writing_ = false;
    if (last_words_) {
      Finish(*std::exchange(last_words_, std::nullopt));
    } else if (!ok) {
      finish(grpc::Status::CANCELLED);
    }
  }

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void write(ServiceFeed::Event event, Instant now);

  const std::shared_ptr<Hub> hub_;
  std::shared_ptr<Stream> self_;
  std::uint64_t position_ = 0;
  bool confirm_ = false;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> last_words_;
  Instant last_write_{};
  ServiceFeed::Event in_flight_;

  friend class Hub;
};

// All streams of one service, on one io thread.
class Hub : public std::enable_shared_from_this<Hub> {
 public:
  Hub(std::string service, std::uint64_t epoch, Server& server, io::Runtime& runtime,
      Duration heartbeat, std::function<void(const std::shared_ptr<Hub>&)> emptied)
      : feed_(std::move(service), epoch),
        server_(server),
        runtime_(runtime),
        thread_(runtime.next()),
        heartbeat_(heartbeat),
        emptied_(std::move(emptied)) {}

  void open() {
    // Subscribed before the first read, so that no change falls between.
    subscription_ = server_.publisher().follow(
        {{TopicKind::Service, feed_.service()}},
        [weak = weak_from_this(), thread = thread_, &runtime = runtime_](StateIndex) {
          if (auto self = weak.lock(); self && !self->refresh_posted_.exchange(true)) {
            runtime.post(thread, [weak] {
              if (auto hub = weak.lock()) hub->refresh();
            });
          }
        });
  }

  void post(std::function<void()> task) { runtime_.post(thread_, std::move(task)); }

  void add(const std::shared_ptr<Stream>& stream, std::uint64_t resume_index) {
    if (stopped_) return stream->finish(stopping());
    if (stream->finished_) return;
    feed_.refresh(server_);
    const bool resumed = feed_.covers(resume_index);
    stream->start(resumed ? resume_index : 0, resumed);
    streams_.insert(stream);
    if (streams_.size() == 1) arm();
    stream->kick(feed_, now());
  }

  void remove(const std::shared_ptr<Stream>& stream) {
    streams_.erase(stream);
    if (streams_.empty()) {
      timer_.cancel();
      emptied_(shared_from_this());
    }
  }

  void written(const std::shared_ptr<Stream>& stream, bool ok) {
    stream->written(ok);
    if (streams_.contains(stream)) stream->kick(feed_, now());
  }

  void stop() {
    stopped_ = true;
    subscription_ = {};
    timer_.cancel();
    for (const auto& stream : streams_) stream->finish(stopping());
  }

  bool is_empty() const { return streams_.empty(); }
  const std::string& service() const { return feed_.service(); }

 private:
  static grpc::Status stopping() { return {grpc::StatusCode::UNAVAILABLE, "server is stopping"}; }

  void refresh() {
    refresh_posted_ = false;
    if (stopped_ || streams_.empty() || !feed_.refresh(server_)) return;
    const Instant at = now();
    for (const auto& stream : streams_) stream->kick(feed_, at);
  }

  void arm() {
    timer_ = runtime_.schedule(thread_, heartbeat_, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->stopped_ || self->streams_.empty()) return;
      const Instant at = now();
      for (const auto& stream : self->streams_) stream->beat(self->feed_, at, self->heartbeat_);
      self->arm();
    });
  }

  ServiceFeed feed_;
  Server& server_;
  io::Runtime& runtime_;
  const int thread_;
  const Duration heartbeat_;
  const std::function<void(const std::shared_ptr<Hub>&)> emptied_;
  Subscription subscription_;
  std::atomic<bool> refresh_posted_{false};
  std::set<std::shared_ptr<Stream>> streams_;
  io::Timer timer_;
  bool stopped_ = false;
};

void Stream::kick(ServiceFeed& feed, Instant now) {
  if (writing_ || finished_) return;
  if (auto event = feed.next(position_)) {
    confirm_ = false;
    write(std::move(*event), now);
  } else if (std::exchange(confirm_, false)) {
    write(feed.heartbeat(), now);
  }
}

void Stream::beat(ServiceFeed& feed, Instant now, Duration every) {
  if (writing_ || finished_ || now - last_write_ < every / 2) return;
  write(feed.heartbeat(), now);
}

void Stream::write(ServiceFeed::Event event, Instant now) {
  in_flight_ = std::move(event);
  position_ = in_flight_.index;
  last_write_ = now;
  writing_ = true;
  StartWrite(&in_flight_.bytes);
}

void Stream::OnWriteDone(bool ok) {
  hub_->post([self = self_, ok] { self->hub_->written(self, ok); });
}

void Stream::OnCancel() {
  hub_->post([self = self_] { self->finish(grpc::Status::CANCELLED); });
}

void Stream::OnDone() {
  hub_->post([self = self_] {
    self->finished_ = true;
    self->hub_->remove(self);
    self->self_.reset();
  });
}

using Base = pb::WatchRpc::WithRawCallbackMethod_WatchService<
    pb::WatchRpc::WithCallbackMethod_FindNodes<pb::WatchRpc::Service>>;

bool read_request(const grpc::ByteBuffer& bytes, pb::WatchRequest& request) {
  grpc::ByteBuffer copy(bytes);
  return grpc::GenericDeserialize<grpc::ProtoBufferReader, pb::WatchRequest>(&copy, &request).ok();
}

}  // namespace

struct WatchRpc::Impl final : Base {
  Impl(WatchRpcOptions o, Server& s, io::Runtime& r)
      : options(o), server(s), runtime(r), epoch(Random::from_system().next() | 1) {}

  struct Hubs {
    std::map<std::string, std::shared_ptr<Hub>> by_service;
    bool stopped = false;
  };

  std::shared_ptr<Hub> hub_of(const std::string& service) {
    return hubs.with([&](Hubs& all) -> std::shared_ptr<Hub> {
      if (all.stopped) return nullptr;
      std::shared_ptr<Hub>& hub = all.by_service[service];
      if (!hub) {
        hub = std::make_shared<Hub>(service, epoch, server, runtime, options.heartbeat,
                                    [this](const std::shared_ptr<Hub>& empty) { drop(empty); });
        hub->open();
      }
      ++pending[service];
      return hub;
    });
  }

  // A hub without streams goes, unless one is just arriving.
  void drop(const std::shared_ptr<Hub>& hub) {
    hubs.with([&](Hubs& all) {
      if (pending[hub->service()] > 0 || !hub->is_empty()) return;
      pending.erase(hub->service());
      const auto it = all.by_service.find(hub->service());
      if (it != all.by_service.end() && it->second == hub) all.by_service.erase(it);
    });
  }

  void arrived(const std::string& service) {
    hubs.with([&](Hubs&) { --pending[service]; });
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchService(grpc::CallbackServerContext*,
                                                           const grpc::ByteBuffer* bytes) override;
  grpc::ServerUnaryReactor* FindNodes(grpc::CallbackServerContext* context,
                                      const pb::FindNodesRequest* request,
                                      pb::FindNodesResponse* response) override;

  const WatchRpcOptions options;
  Server& server;
  io::Runtime& runtime;
  const std::uint64_t epoch;
  std::shared_ptr<std::atomic<std::size_t>> streams = std::make_shared<std::atomic<std::size_t>>(0);
  Guarded<Hubs> hubs;
  std::map<std::string, int> pending;  // streams on their way to a hub; under the lock of hubs
};

namespace {

// Returns when everything posted so far has run: what is posted names parts of the server, so a
// busy thread is waited for, however long it takes. Not if the threads have ended.
void wait_for_threads(io::Runtime& runtime) {
  struct Barrier {
    std::atomic<int> left;
    std::promise<void> passed;
  };
  auto barrier = std::make_shared<Barrier>();
  barrier->left = runtime.size();
  for (int thread = 0; thread < runtime.size(); ++thread) {
    runtime.post(thread, [barrier] {
      if (--barrier->left == 0) barrier->passed.set_value();
    });
  }
  const auto passed = barrier->passed.get_future();
  while (runtime.running() &&
         passed.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
  }
}

// Refuses a stream before it has begun.
class Refusal final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit Refusal(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchRpc::Impl::WatchService(
    grpc::CallbackServerContext*, const grpc::ByteBuffer* bytes) {
  pb::WatchRequest request;
  if (!read_request(*bytes, request) || request.service().empty()) {
    return new Refusal({grpc::StatusCode::INVALID_ARGUMENT, "watch: service is missing"});
  }
  if (!server.caught_up()) return new Refusal(catching_up());
  const std::string service = to_lower(request.service());
  if (streams->fetch_add(1) >= options.max_streams) {
    streams->fetch_sub(1);
    return new Refusal({grpc::StatusCode::RESOURCE_EXHAUSTED, "watch: too many streams"});
  }
  auto hub = hub_of(service);
  if (!hub) {
    streams->fetch_sub(1);
    return new Refusal({grpc::StatusCode::UNAVAILABLE, "server is stopping"});
  }
  // The count falls with the last reference to the stream.
  std::shared_ptr<Stream> stream(new Stream(hub), [count = streams](Stream* gone) {
    delete gone;  // tidy: delete: the deleter of a shared_ptr
    count->fetch_sub(1);
  });
  stream->hold(stream);
  const std::uint64_t resume = request.resume_epoch() == epoch ? request.resume_index() : 0;
  hub->post([this, hub, stream, resume, service] {
    hub->add(stream, resume);
    arrived(service);
    if (hub->is_empty()) drop(hub);
  });
  return stream.get();
}

grpc::ServerUnaryReactor* WatchRpc::Impl::FindNodes(grpc::CallbackServerContext* context,
                                                    const pb::FindNodesRequest* request,
                                                    pb::FindNodesResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (!server.caught_up()) {
    reactor->Finish(catching_up());
    return reactor;
  }
  std::vector<NodeRow> rows = server.read([&](const StateStore& store) {
    response->set_index(store.applied());
    std::vector<NodeRow> found;
    if (!request->name().empty()) {
      if (NodeRow node = store.node(request->name())) found.push_back(std::move(node));
    } else if (!request->address().empty()) {
      found = store.nodes_by_address(request->address()).rows;
      if (found.empty()) {
        for (ServiceNode& row : store.services_by_address(request->address()).rows) {
          found.push_back(std::move(row.node));
        }
      }
    }
    return found;
  });
  for (const NodeRow& row : rows) *response->add_nodes() = *row;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

WatchRpc::WatchRpc(WatchRpcOptions options, Server& server, io::Runtime& runtime)
    : impl_(std::make_unique<Impl>(options, server, runtime)) {}

WatchRpc::~WatchRpc() = default;

grpc::Service& WatchRpc::service() {
  return *impl_;
}

void WatchRpc::stop() {
  std::vector<std::shared_ptr<Hub>> all;
  impl_->hubs.with([&](Impl::Hubs& hubs) {
    hubs.stopped = true;
    for (auto& [name, hub] : hubs.by_service) all.push_back(hub);
  });
  for (const auto& hub : all) hub->post([hub] { hub->stop(); });
  wait_for_threads(impl_->runtime);
}

void WatchRpc::drain() {
  wait_for_threads(impl_->runtime);
}

}  // namespace fyr::server
