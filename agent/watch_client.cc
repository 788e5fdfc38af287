#include "agent/watch_client.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "agent/watch_store.h"
#include "agent/watch_stream.h"
#include "base/bytes.h"
#include "base/io/file.h"
#include "base/log.h"
#include "base/random.h"

namespace fyr::agent {

namespace {

constexpr Duration kTick = std::chrono::milliseconds(500);
constexpr Duration kSaveEvery = std::chrono::seconds(1);
constexpr auto kFindTimeout = std::chrono::seconds(2);

// One subscriber. The lock makes deliveries one at a time and lets the destructor wait for the
// one that runs; recursive, because a callback may end its own subscription.
struct Subscriber {
  std::recursive_mutex mutex;
  WatchClient::OnView on_view;
  std::uint64_t delivered = 0;
  bool ended = false;

  void deliver(const ViewPtr& view, std::uint64_t number) {
    std::lock_guard lock(mutex);
    if (ended || number <= delivered) return;
    delivered = number;
    on_view(view);
  }
  void end() {
    std::lock_guard lock(mutex);
    ended = true;
  }
};

struct Waiting {
  WatchClient::Ready ready;
  Instant until;
};

}  // namespace

// The part of a service other threads see is under the lock of Impl; the rest belongs to the
// client's thread.
struct Watched {
  explicit Watched(std::string name, Duration hold) : service(std::move(name)), state(hold) {}

  const std::string service;
  // ---- under the lock
  ViewPtr view;
  std::uint64_t view_number = 0;  // counts published views
  std::vector<std::shared_ptr<Subscriber>> subscribers;
  std::vector<Waiting> waiting;
  Instant last_asked{};
  std::optional<Instant> last_heard;
  // ---- on the thread
  WatchView state;
  std::shared_ptr<WatchStream> stream;
  Instant stream_heard{};
  Duration backoff{};
  std::optional<Instant> reconnect_at;
  io::Timer reconnect;
  std::uint64_t saved_number = 0;
  Instant saved_at{};
  bool saving = false;
  bool dropped = false;
};

using WatchedPtr = std::shared_ptr<Watched>;

struct WatchClient::Impl : std::enable_shared_from_this<WatchClient::Impl> {
  Impl(io::Runtime& r, int t, int d, std::shared_ptr<ChannelSource> s, WatchClientOptions o)
      : runtime(r),
        thread(t),
        disk_thread(d),
        servers(std::move(s)),
        options(std::move(o)),
        random(Random::from_system()) {}

  io::Runtime& runtime;
  const int thread;
  const int disk_thread;
  const std::shared_ptr<ChannelSource> servers;
  const WatchClientOptions options;
  const std::shared_ptr<RpcCalls> calls = std::make_shared<RpcCalls>();
  Random random;  // on the thread
  io::Timer timer;

  mutable std::mutex mutex;
  std::map<std::string, WatchedPtr> services;
  bool stopped = false;

  // ---- any thread, under the lock ----
  WatchedPtr find_or_add(const std::string& name, bool& is_new) {
    is_new = false;
    const auto it = services.find(name);
    if (it != services.end()) return it->second;
    is_new = true;
    auto watched = std::make_shared<Watched>(name, options.hold);
    services.emplace(name, watched);
    return watched;
  }

  bool make_room();
  void start(const WatchedPtr& watched);

  // ---- the client's thread ----
  void connect(const WatchedPtr& watched);
  void on_event(const WatchedPtr& watched, const std::shared_ptr<WatchStream>& stream);
  void on_end(const WatchedPtr& watched, const std::shared_ptr<WatchStream>& stream,
              const grpc::Status& status);
  void retry(const WatchedPtr& watched);
  void publish(const WatchedPtr& watched, ViewPtr view);
  void tick();
  void look_after(const WatchedPtr& watched, Instant at);
  void expire_waiting(const WatchedPtr& watched, Instant at);
  bool is_idle(const WatchedPtr& watched, Instant at);
  void drop(const WatchedPtr& watched);
  void save(const WatchedPtr& watched, Instant at);
  void arm();

  void post(std::function<void(Impl&)> task) {
    runtime.post(thread, [weak = weak_from_this(), task = std::move(task)] {
      if (auto self = weak.lock()) task(*self);
    });
  }
};

// Services nobody subscribed to give way, the longest unused first, when too many without instances
// are known: names that do not exist, asked of the DNS, must not fill the memory.
bool WatchClient::Impl::make_room() {
  std::vector<WatchedPtr> absent;
  for (const auto& [name, watched] : services) {
    if (!watched->subscribers.empty() || !watched->waiting.empty()) continue;
    if (!watched->view || watched->view->rows.empty()) absent.push_back(watched);
  }
  if (absent.size() >= options.max_absent) {
    std::sort(absent.begin(), absent.end(), [](const WatchedPtr& a, const WatchedPtr& b) {
      return a->last_asked < b->last_asked;
    });
    // Some more than needed, so that not every new name has to sort.
    absent.resize(absent.size() - options.max_absent + options.max_absent / 8 + 1);
    for (const WatchedPtr& watched : absent) {
      services.erase(watched->service);
      post([watched](Impl& self) { self.drop(watched); });
    }
  }
  return services.size() < options.max_services;
}

// Reads the disk before any server answers.
void WatchClient::Impl::start(const WatchedPtr& watched) {
  watched->view = load_view(options.directory, watched->service);
  if (watched->view) {
    watched->view_number = 1;
    watched->saved_number = 1;
    watched->state.load(watched->view);
  }
  post([watched](Impl& self) { self.connect(watched); });
}

void WatchClient::Impl::connect(const WatchedPtr& watched) {
  if (watched->dropped || watched->stream) return;
  watched->reconnect_at.reset();
  ServerChannel server = servers->pick();
  if (!server.channel) return retry(watched);
  pb::WatchRequest request;
  request.set_service(watched->service);
  request.set_datacenter(options.datacenter);
  request.set_resume_index(watched->state.resume_index());
  request.set_resume_epoch(watched->state.resume_epoch());
  watched->state.connected(server.address);
  watched->stream_heard = now();
  const auto weak = weak_from_this();
  watched->stream = WatchStream::open(
      std::move(server), std::move(request), calls,
      [weak, watched](const std::shared_ptr<WatchStream>& stream) {
        auto self = weak.lock();
        if (!self) return stream->end();
        self->post([watched, stream](Impl& impl) { impl.on_event(watched, stream); });
      },
      [weak, watched](const std::shared_ptr<WatchStream>& stream, const grpc::Status& status) {
        if (auto self = weak.lock()) {
          self->post(
              [watched, stream, status](Impl& impl) { impl.on_end(watched, stream, status); });
        }
      });
}

void WatchClient::Impl::on_event(const WatchedPtr& watched,
                                 const std::shared_ptr<WatchStream>& stream) {
  if (watched->stream != stream || watched->dropped) return stream->end();
  const Instant at = now();
  watched->stream_heard = at;
  bool broken = false;
  const bool held_before = watched->state.holding();
  ViewPtr view = watched->state.apply(at, stream->event(), broken);
  if (broken) {
    log::warn("agent", "watch of {}: events do not fit together, starting over", watched->service);
    watched->state.forget_resume();
    return stream->end();
  }
  watched->backoff = Duration::zero();
  if (watched->state.holding() && !held_before) {
    log::warn("agent", "watch of {}: {} sent an older or empty list after a reconnect; held back",
              watched->service, stream->server().address);
  }
  stream->next();
  {
    std::lock_guard lock(mutex);
    watched->last_heard = at;
  }
  if (view) publish(watched, std::move(view));
}

void WatchClient::Impl::on_end(const WatchedPtr& watched,
                               const std::shared_ptr<WatchStream>& stream,
                               const grpc::Status& status) {
  if (watched->stream != stream) return;
  watched->stream.reset();
  if (watched->dropped) return;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) servers->failed(stream->server());
  log::debug("agent", "watch of {} ended: {}", watched->service, status.error_message());
  retry(watched);
}

void WatchClient::Impl::retry(const WatchedPtr& watched) {
  watched->backoff = watched->backoff == Duration::zero()
                         ? options.backoff_min
                         : std::min(2 * watched->backoff, options.backoff_max);
  const Duration wait = watched->backoff / 2 + random.between(Duration::zero(), watched->backoff);
  watched->reconnect_at = now() + wait;
  watched->reconnect = runtime.schedule(
      thread, wait, [weak = weak_from_this(), weak_watched = std::weak_ptr(watched)] {
        const auto self = weak.lock();
        const auto still = weak_watched.lock();
        if (self && still && still->reconnect_at) self->connect(still);
      });
}

void WatchClient::Impl::publish(const WatchedPtr& watched, ViewPtr view) {
  std::vector<std::shared_ptr<Subscriber>> subscribers;
  std::vector<Waiting> waiting;
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex);
    watched->view = view;
    number = ++watched->view_number;
    subscribers = watched->subscribers;
    waiting = std::exchange(watched->waiting, {});
  }
  for (const auto& subscriber : subscribers) subscriber->deliver(view, number);
  for (const Waiting& one : waiting) one.ready(view);
}

void WatchClient::Impl::arm() {
  timer = runtime.schedule(thread, kTick, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->tick();
  });
}

void WatchClient::Impl::tick() {
  std::vector<WatchedPtr> all;
  {
    std::lock_guard lock(mutex);
    if (stopped) return;
    for (const auto& [name, watched] : services) all.push_back(watched);
  }
  const Instant at = now();
  for (const WatchedPtr& watched : all) look_after(watched, at);
  arm();
}

void WatchClient::Impl::look_after(const WatchedPtr& watched, Instant at) {
  if (ViewPtr view = watched->state.tick(at)) publish(watched, std::move(view));
  if (watched->stream && at - watched->stream_heard > options.silence) {
    log::warn("agent", "watch of {}: nothing heard from {}, reconnecting", watched->service,
              watched->stream->server().address);
    servers->failed(watched->stream->server());
    watched->stream_heard = at;
    watched->stream->cancel();
  }
  expire_waiting(watched, at);
  save(watched, at);
  if (is_idle(watched, at)) drop(watched);
}

void WatchClient::Impl::expire_waiting(const WatchedPtr& watched, Instant at) {
  std::vector<Waiting> late;
  {
    std::lock_guard lock(mutex);
    auto& waiting = watched->waiting;
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (it->until > at) {
        ++it;
        continue;
      }
      late.push_back(std::move(*it));
      it = waiting.erase(it);
    }
  }
  for (const Waiting& one : late) {
    one.ready(fail(ErrorCode::Unavailable, "no server answered about " + watched->service));
  }
}

bool WatchClient::Impl::is_idle(const WatchedPtr& watched, Instant at) {
  std::lock_guard lock(mutex);
  if (!watched->subscribers.empty() || !watched->waiting.empty()) return false;
  if (at - watched->last_asked < options.idle_expiry) return false;
  services.erase(watched->service);
  return true;
}

void WatchClient::Impl::drop(const WatchedPtr& watched) {
  watched->dropped = true;
  watched->reconnect_at.reset();
  if (watched->stream) watched->stream->cancel();
}

void WatchClient::Impl::save(const WatchedPtr& watched, Instant at) {
  if (options.directory.empty() || watched->saving || at - watched->saved_at < kSaveEvery) return;
  ViewPtr view;
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex);
    view = watched->view;
    number = watched->view_number;
    // Lists that were only asked for in passing are not worth a file.
    if (!view || number == watched->saved_number || watched->subscribers.empty()) return;
  }
  watched->saving = true;
  watched->saved_at = at;
  runtime.post(disk_thread,
               [weak = weak_from_this(), watched, view, number, folder = options.directory] {
                 const auto saved = save_view(folder, watched->service, *view);
                 if (!saved)
                   log::warn("agent", "last known list not kept: {}", saved.error().message);
                 auto self = weak.lock();
                 if (!self) return;
                 self->post([watched, number](Impl&) {
                   watched->saving = false;
                   watched->saved_number = number;
                 });
               });
}

// ---- public ------------------------------------------------------------------------------------

WatchClient::WatchClient(io::Runtime& runtime, int thread, int disk_thread,
                         std::shared_ptr<ChannelSource> servers, WatchClientOptions options)
    : impl_(std::make_shared<Impl>(runtime, thread, disk_thread, std::move(servers),
                                   std::move(options))) {
  (void)process_calls();
  if (!impl_->options.directory.empty()) {
    if (auto made = io::make_directories(impl_->options.directory); !made) {
      log::warn("agent", "last known lists are not kept: {}", made.error().message);
    }
  }
  impl_->post([](Impl& impl) { impl.arm(); });
}

WatchClient::~WatchClient() {
  stop();
}

void WatchClient::stop() {
  std::vector<Waiting> waiting;
  {
    std::lock_guard lock(impl_->mutex);
    if (std::exchange(impl_->stopped, true)) return;
    for (auto& [name, watched] : impl_->services) {
      for (Waiting& one : watched->waiting) waiting.push_back(std::move(one));
      watched->waiting.clear();
    }
  }
  for (const Waiting& one : waiting) one.ready(fail(ErrorCode::Stopped, "agent is stopping"));
  impl_->calls->stop();
}

std::unique_ptr<WatchClient::Watch> WatchClient::subscribe(const std::string& service,
                                                           OnView on_view) {
  class Subscription final : public Watch {
   public:
    Subscription(std::shared_ptr<Impl> impl, WatchedPtr watched, std::shared_ptr<Subscriber> own)
        : impl_(std::move(impl)), watched_(std::move(watched)), own_(std::move(own)) {}
    ~Subscription() override {
      {
        std::lock_guard lock(impl_->mutex);
        std::erase(watched_->subscribers, own_);
        watched_->last_asked = now();
      }
      own_->end();
    }

   private:
    const std::shared_ptr<Impl> impl_;
    const WatchedPtr watched_;
    const std::shared_ptr<Subscriber> own_;
  };

  auto subscriber = std::make_shared<Subscriber>();
  subscriber->on_view = std::move(on_view);
  WatchedPtr watched;
  ViewPtr view;
  std::uint64_t number = 0;
  {
    std::lock_guard lock(impl_->mutex);
    bool is_new = false;
    watched = impl_->find_or_add(to_lower(service), is_new);
    watched->subscribers.push_back(subscriber);
    if (is_new) impl_->start(watched);
    view = watched->view;
    number = watched->view_number;
  }
  if (view) subscriber->deliver(view, number);
  return std::make_unique<Subscription>(impl_, std::move(watched), std::move(subscriber));
}

ViewPtr WatchClient::get(const std::string& service, Ready ready) {
  const std::string name = to_lower(service);
  std::optional<Error> refused;
  {
    std::lock_guard lock(impl_->mutex);
    auto it = impl_->services.find(name);
    if (impl_->stopped) {
      refused = fail(ErrorCode::Stopped, "agent is stopping");
    } else if (it == impl_->services.end() && !impl_->make_room()) {
      refused = fail(ErrorCode::ResourceExhausted, "too many services are watched");
    } else {
      bool is_new = false;
      WatchedPtr watched = impl_->find_or_add(name, is_new);
      watched->last_asked = now();
      if (is_new) impl_->start(watched);
      if (watched->view) return watched->view;
      watched->waiting.push_back({std::move(ready), now() + impl_->options.first_answer});
    }
  }
  // NOLINTNEXTLINE(bugprone-use-after-move): a refused one was not moved
  if (refused) ready(*refused);
  return nullptr;
}

ViewPtr WatchClient::peek(const std::string& service) {
  const std::string name = to_lower(service);
  std::lock_guard lock(impl_->mutex);
  const auto it = impl_->services.find(name);
  if (it == impl_->services.end() || impl_->stopped) return nullptr;
  it->second->last_asked = now();
  return it->second->view;
}

void WatchClient::find_nodes(const std::string& name, const std::string& address, Nodes done) {
  ServerChannel server = impl_->servers->pick();
  if (!server.channel) return done(fail(ErrorCode::Unavailable, "No known Consul servers"));
  struct Call {
    grpc::ClientContext context;
    pb::FindNodesRequest request;
    pb::FindNodesResponse response;
    std::unique_ptr<pb::WatchRpc::Stub> stub;
  };
  auto call = std::make_shared<Call>();
  call->request.set_name(name);
  call->request.set_address(address);
  call->context.set_deadline(std::chrono::system_clock::now() + kFindTimeout);
  call->stub = pb::WatchRpc::NewStub(server.channel);
  if (!impl_->calls->add(&call->context)) {
    return done(fail(ErrorCode::Stopped, "agent is stopping"));
  }
  call->stub->async()->FindNodes(
      &call->context, &call->request, &call->response,
      [call, server, servers = impl_->servers, calls = impl_->calls,
       done = std::move(done)](const grpc::Status& status) mutable {
        if (status.ok()) {
          done(std::vector<pb::Node>(call->response.nodes().begin(), call->response.nodes().end()));
        } else {
          if (status.error_code() == grpc::StatusCode::UNAVAILABLE) servers->failed(server);
          done(from_status(status));
        }
        const auto counted = std::move(calls);
        counted->remove(&call->context);
        done = nullptr;
        call.reset();
        server = {};
        servers.reset();
        counted->gone();
      });
}

std::optional<Duration> WatchClient::age(const std::string& service) const {
  std::lock_guard lock(impl_->mutex);
  const auto it = impl_->services.find(to_lower(service));
  if (it == impl_->services.end() || !it->second->last_heard) return std::nullopt;
  return now() - *it->second->last_heard;
}

std::size_t WatchClient::streams() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->services.size();
}

}  // namespace fyr::agent
