// The driver around the core: one UDP socket and one TCP listener on the same port, one timer.
//
// Everything of the core happens on one io thread. Callers of other threads post to it; readers
// take the list published after every change.
#include <atomic>
#include <future>
#include <optional>

#include "agent/swim/core.h"
#include "agent/swim/membership.h"
#include "base/check.h"
#include "base/guarded.h"
#include "base/io/tcp_server.h"
#include "base/io/udp_server.h"
#include "base/log.h"
#include "base/metrics.h"

namespace fyr::agent {
namespace {

constexpr int kLengthBytes = 4;
constexpr int kBindAttempts = 16;
constexpr Duration kPingCallTimeout = std::chrono::seconds(1);
constexpr Duration kSyncCallTimeout = std::chrono::seconds(10);
constexpr std::size_t kSmallCall = 512;  // a ping; whole lists are given more time

using EventCallback = std::function<void(std::uint64_t time, const std::string& payload)>;
using MemberList = std::shared_ptr<const std::vector<Member>>;

log::Level level_of(FactKind kind) {
  switch (kind) {
    case FactKind::NameConflict:
      return log::Level::Error;
    case FactKind::UdpBlocked:
    case FactKind::JoinFailed:
    case FactKind::Paused:
      return log::Level::Warn;
    case FactKind::DroppedPacket:
      return log::Level::Debug;
    case FactKind::Suspected:
    case FactKind::Refuted:
      return log::Level::Info;
  }
  return log::Level::Info;
}

// All work of one membership. Kept alive by what is under way on the io thread; `stopped` makes
// late callbacks do nothing.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  Engine(io::Runtime& runtime, int thread) : runtime_(runtime), thread_(thread) {}

  Result<void> open(const MembershipOptions& options);
  void start() {
    runtime_.post(thread_, [self = shared_from_this()] {
      self->ready_ = true;
      self->input(TimeElapsed{});
    });
  }
  void post(Input command) {
    runtime_.post(thread_, [self = shared_from_this(), command = std::move(command)] {
      self->input(command);
    });
  }
  void join(std::vector<HostPort> addresses, std::function<void(Result<int>)> done);
  void leave(std::function<void()> done);
  void close();                            // on the io thread, or when none runs any more
  void close_listener() { tcp_.reset(); }  // off the io threads, as the listener demands

  int thread() const { return thread_; }
  HostPort bound() const { return bound_; }
  MemberList members() const {
    return published_.read([](const MemberList& list) { return list; });
  }
  void on_change(std::function<void(const Member&)> callback) {
    callbacks_.write([&](auto& all) { all.push_back(std::move(callback)); });
  }
  void on_event(EventCallback callback) {
    event_callbacks_.write([&](auto& all) { all.push_back(std::move(callback)); });
  }

 private:
  void input(const Input& in) {
    if (!ready_ || stopped_) return;
    perform(core_->step(now(), in));
  }
  void receive(const io::UdpPeer& from, std::string_view packet) {
    input(PacketArrived{{from.address, from.port}, packet});
  }
  void serve(const std::string& message, const io::TcpFrameServer::Reply& reply);
  void perform(Output out);
  void call(StreamCall& call);
  void tell(const std::vector<Change>& changes);
  void publish();
  void arm();

  io::Runtime& runtime_;
  const int thread_;
  HostPort bound_;
  SharedGuarded<MemberList> published_;
  SharedGuarded<std::vector<std::function<void(const Member&)>>> callbacks_;
  SharedGuarded<std::vector<EventCallback>> event_callbacks_;

  // Owned by the io thread from here on.
  std::atomic<bool> stopped_{false};
  bool ready_ = false;  // packets that come before are dropped
  std::optional<Core> core_;
  std::unique_ptr<io::UdpSocket> udp_;
  std::unique_ptr<io::TcpFrameServer> tcp_;
  io::Timer timer_;
  std::optional<Instant> armed_;
  std::map<std::uint64_t, std::function<void(Result<int>)>> joins_;
  std::uint64_t next_ticket_ = 1;
  std::vector<std::function<void()>> leaves_;
  bool left_ = false;
};

// UDP and TCP on one port: with port 0 the one TCP got may be taken for UDP, so try again.
Result<void> Engine::open(const MembershipOptions& options) {
  const std::string address =
      options.advertise_address.empty() ? options.bind.host : options.advertise_address;
  const auto ip = IpAddress::parse(address);
  if (!ip || ip->is_unspecified()) {
    return fail(ErrorCode::InvalidArgument,
                "advertise address \"" + address + "\": must be an IP address others can reach");
  }
  std::weak_ptr<Engine> weak = weak_from_this();
  io::TcpFrameOptions tcp;
  tcp.length_bytes = kLengthBytes;
  tcp.max_message = kMaxStreamMessage;
  tcp.max_connections = 128;
  Error last;
  for (int attempt = 0; attempt < kBindAttempts; ++attempt) {
    tcp.bind = options.bind;
    auto listener = io::TcpFrameServer::listen(
        runtime_, tcp, [weak](const io::UdpPeer&, std::string message, auto reply) {
          const auto self = weak.lock();
          if (!self) return;
          self->runtime_.post(self->thread_,
                              [self, message = std::move(message), reply = std::move(reply)] {
                                self->serve(message, reply);
                              });
        });
    if (!listener) return listener.error();
    io::UdpSocket::Options udp;
    udp.bind = {options.bind.host, (*listener)->bound().port};
    auto socket = io::UdpSocket::open(
        runtime_, thread_, udp, [weak](const io::UdpPeer& from, std::string_view packet, auto&) {
          if (const auto self = weak.lock()) self->receive(from, packet);
        });
    if (socket) {
      tcp_ = std::move(*listener);
      udp_ = std::move(*socket);
      bound_ = tcp_->bound();
      break;
    }
    (*listener)->stop();
    last = socket.error();
    if (options.bind.port != 0) break;
  }
  if (!udp_) return last;

  CoreOptions core;
  core.name = options.name;
  core.tags = options.tags;
  core.cluster = options.cluster;
  core.address = {*ip, options.advertise_port != 0 ? options.advertise_port : bound_.port};
  core_.emplace(std::move(core), options.seed != 0 ? Random(options.seed) : Random::from_system(),
                now());
  publish();
  return {};
}

void Engine::serve(const std::string& message, const io::TcpFrameServer::Reply& reply) {
  if (!ready_ || stopped_) return;
  Output out = core_->step(now(), StreamRequest{message});
  if (out.reply) reply(std::move(*out.reply));
  perform(std::move(out));
}

void Engine::perform(Output out) {
  for (const OutPacket& packet : out.packets) {
    udp_->send({packet.to.ip, packet.to.port}, packet.bytes);
  }
  for (StreamCall& each : out.calls) call(each);
  for (const Fact& fact : out.facts) {
    if (fact.kind == FactKind::DroppedPacket) metrics::counter("fyr.gossip.dropped").add();
    log::write(level_of(fact.kind), "gossip", fact.text);
  }
  if (out.error) log::warn("gossip", "{}", out.error->message);
  if (!out.changes.empty()) tell(out.changes);
  if (!out.events.empty()) {
    const auto callbacks = event_callbacks_.read([](const auto& all) { return all; });
    for (const swim::Event& event : out.events)
      for (const auto& callback : callbacks) callback(event.time, event.payload);
  }
  for (JoinResult& result : out.joins) {
    const auto it = joins_.find(result.ticket);
    if (it == joins_.end()) continue;
    auto done = std::move(it->second);
    joins_.erase(it);
    if (result.error) {
      done(*result.error);
    } else {
      done(result.answered);
    }
  }
  if (out.left) {
    left_ = true;
    for (auto& done : std::exchange(leaves_, {})) done();
  }
  if (!stopped_) arm();
}

void Engine::call(StreamCall& each) {
  const Duration timeout = each.bytes.size() <= kSmallCall ? kPingCallTimeout : kSyncCallTimeout;
  io::tcp_frame_call(runtime_, thread_, each.to, kLengthBytes, std::move(each.bytes), timeout,
                     [self = shared_from_this(), id = each.id](Result<std::string> answer) {
                       if (answer) {
                         self->input(StreamAnswer{id, *answer});
                       } else {
                         self->input(StreamFailed{id, answer.error()});
                       }
                     });
}

void Engine::tell(const std::vector<Change>& changes) {
  publish();
  const auto callbacks = callbacks_.read([](const auto& all) { return all; });
  for (const Change& change : changes) {
    const Member& m = change.member;
    log::info("gossip", "member {} at {}:{} is {}{}", m.name, m.address, m.port, to_string(m.state),
              change.forgotten ? " and forgotten" : "");
    for (const auto& callback : callbacks) callback(m);
  }
}

void Engine::publish() {
  auto list = std::make_shared<const std::vector<Member>>(core_->members());
  published_.write([&](MemberList& current) { current = std::move(list); });
}

// A timer that is too early costs one idle step; moving it at every packet would cost more.
void Engine::arm() {
  const auto deadline = core_->next_deadline();
  if (!deadline || (armed_ && *armed_ <= *deadline)) return;
  armed_ = deadline;
  timer_ = runtime_.schedule(thread_, std::max(Duration::zero(), *deadline - now()),
                             [weak = weak_from_this()] {
                               const auto self = weak.lock();
                               if (!self) return;
                               self->armed_.reset();
                               self->input(TimeElapsed{});
                             });
}

void Engine::join(std::vector<HostPort> addresses, std::function<void(Result<int>)> done) {
  runtime_.post(thread_, [self = shared_from_this(), addresses = std::move(addresses),
                          done = std::move(done)]() mutable {
    if (self->stopped_) return done(fail(ErrorCode::Stopped, "membership is stopped"));
    const std::uint64_t ticket = self->next_ticket_++;
    self->joins_.emplace(ticket, std::move(done));
    self->input(JoinCommand{ticket, std::move(addresses)});
  });
}

void Engine::leave(std::function<void()> done) {
  runtime_.post(thread_, [self = shared_from_this(), done = std::move(done)]() mutable {
    if (self->stopped_ || self->left_) return done();
    self->leaves_.push_back(std::move(done));
    self->input(LeaveCommand{});
  });
}

void Engine::close() {
  if (stopped_.exchange(true)) return;
  timer_.cancel();
  udp_.reset();
  for (auto& [ticket, done] : std::exchange(joins_, {})) {
    done(fail(ErrorCode::Stopped, "membership is stopped"));
  }
  for (auto& done : std::exchange(leaves_, {})) done();
}

class MembershipImpl final : public Membership {
 public:
  MembershipImpl(io::Runtime& runtime, std::shared_ptr<Engine> engine)
      : runtime_(runtime), engine_(std::move(engine)) {}
  ~MembershipImpl() override { stop(); }

  std::vector<Member> members() const override { return *engine_->members(); }
  HostPort bound() const override { return engine_->bound(); }
  void join(std::vector<HostPort> addresses, std::function<void(Result<int>)> done) override {
    engine_->join(std::move(addresses), std::move(done));
  }
  void keep_joining(std::vector<HostPort> addresses) override {
    engine_->post(KeepJoiningCommand{std::move(addresses)});
  }
  void leave(std::function<void()> done) override { engine_->leave(std::move(done)); }
  Result<void> force_leave(const std::string& name, bool prune) override;
  void probe_now(const std::string& name) override { engine_->post(ProbeCommand{name}); }
  void on_change(std::function<void(const Member&)> callback) override {
    engine_->on_change(std::move(callback));
  }
  void fire(std::string payload) override { engine_->post(FireCommand{std::move(payload)}); }
  void on_event(EventCallback callback) override { engine_->on_event(std::move(callback)); }
  void set_tags(Tags tags) override { engine_->post(SetTagsCommand{std::move(tags)}); }
  void stop() override;

 private:
  io::Runtime& runtime_;
  std::shared_ptr<Engine> engine_;
  bool stopped_ = false;
};

// Judged by the published list, so that the caller has its answer without waiting for the thread.
Result<void> MembershipImpl::force_leave(const std::string& name, bool prune) {
  for (const Member& member : *engine_->members()) {
    if (member.name != name) continue;
    if (member.state != MemberState::Failed && member.state != MemberState::Left) {
      return fail(ErrorCode::Conflict, "member \"" + name + "\" is alive");
    }
    engine_->post(ForceLeaveCommand{name, prune});
    return {};
  }
  return fail(ErrorCode::NotFound, "no member named \"" + name + "\"");
}

void MembershipImpl::stop() {
  if (std::exchange(stopped_, true)) return;
  CHECK_MSG(runtime_.current() == -1, "an io thread cannot wait for itself");
  if (runtime_.running()) {
    std::promise<void> closed;
    runtime_.post(engine_->thread(), [this, &closed] {
      engine_->close();
      closed.set_value();
    });
    closed.get_future().wait();
  } else {
    engine_->close();
  }
  engine_->close_listener();
}

}  // namespace

Result<std::unique_ptr<Membership>> Membership::open(io::Runtime& runtime,
                                                     MembershipOptions options) {
  if (auto ok = swim::check_name(options.name); !ok) return ok.error();
  if (auto ok = swim::check_tags(options.tags); !ok) return ok.error();
  auto engine = std::make_shared<Engine>(runtime, runtime.next());
  if (auto ok = engine->open(options); !ok) return ok.error();
  engine->start();
  return std::unique_ptr<Membership>(std::make_unique<MembershipImpl>(runtime, std::move(engine)));
}

}  // namespace fyr::agent
