#include "server/dns/dns_server.h"

#include <ctime>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/io/tcp_server.h"
#include "base/io/udp_server.h"
#include "base/metrics.h"
#include "base/random.h"
#include "server/dns/answer.h"

namespace fyr::dns {
namespace {

using Send = std::function<void(std::string)>;
using AnswererPtr = std::shared_ptr<const Answerer>;

struct Counters {
  metrics::Counter& queries = metrics::counter("fyr.dns.queries");
  metrics::Counter& malformed = metrics::counter("fyr.dns.malformed");
  metrics::Counter& fetches = metrics::counter("fyr.dns.fetches");
  metrics::Counter& failures = metrics::counter("fyr.dns.failures");
};
Counters& counters() {
  static Counters all;
  return all;
}

// One query that waits for the NameSource.
struct Pending {
  Query query;
  Lookup lookup;
  Transport transport = Transport::Udp;
  Send send;                            // used when the answer comes later
  std::string* reply_inside = nullptr;  // set while the query's own callback still runs
  io::Timer deadline;
};

// What one io thread owns.
class Worker : public std::enable_shared_from_this<Worker> {
 public:
  Worker(io::Runtime& runtime, int thread, NameSource& names, AnswererPtr answerer,
         const DnsServerOptions& options)
      : runtime_(runtime),
        thread_(thread),
        names_(names),
        answerer_(std::move(answerer)),
        fetch_timeout_(options.fetch_timeout),
        max_pending_(options.max_pending),
        random_(Random::from_system()) {}

  void use(AnswererPtr answerer) { answerer_ = std::move(answerer); }

  // `reply` stays empty if there is nothing to say, or not yet; make_send() then tells how.
  template <class MakeSend>
  void on_query(Transport transport, std::string_view packet, std::string& reply,
                MakeSend&& make_send) {
    counters().queries.add();
    const auto verdict = parse_query(packet, query_);
    if (verdict.kind != Verdict::Proceed) {
      counters().malformed.add();
      if (verdict.kind == Verdict::Reject) Answerer::answer_error(query_, verdict.rcode, reply);
      return;
    }
    const auto now = context(transport);
    const auto need = answerer_->plan(query_, now, lookup_, reply);
    if (need == Need::Nothing) return;
    if (need == Need::Service) {
      if (const auto service = names_.peek_service(lookup_.name))
        return answerer_->answer_service(query_, lookup_, *service, now, reply);
    }
    fetch(need, transport, reply, make_send());
  }

 private:
  Context context(Transport transport) {
    // tidy: clock: seconds for DNS cookies on the hot path; wall_now() costs seven times as much
    return {transport, static_cast<std::uint32_t>(std::time(nullptr)), &random_, &scratch_};
  }

  void fetch(Need need, Transport transport, std::string& reply, Send send) {
    counters().fetches.add();
    if (pending_.size() >= max_pending_) return fail_query(query_, reply);
    const auto id = ++last_id_;
    const auto pending = std::make_shared<Pending>();
    pending_.emplace(id, pending);
    pending->query = query_;
    pending->lookup = lookup_;
    pending->transport = transport;
    pending->send = std::move(send);
    pending->reply_inside = &reply;
    ask(need, *pending, id);
    pending->reply_inside = nullptr;
    if (!pending_.contains(id)) return;
    pending->deadline = runtime_.schedule(thread_, fetch_timeout_, [weak = weak_from_this(), id] {
      if (const auto self = weak.lock())
        self->complete(
            id, [](const Pending& waiting, std::string& out) { fail_query(waiting.query, out); });
    });
  }

  void ask(Need need, const Pending& pending, std::uint64_t id) {
    const auto weak = weak_from_this();
    if (need == Need::Service || need == Need::Query) {
      const auto ready = [weak, id](const Result<std::shared_ptr<const ServiceRecords>>& result) {
        if (const auto self = weak.lock()) self->on_service(id, result);
      };
      if (need == Need::Query) return names_.find_query(pending.lookup.name, thread_, ready);
      if (auto known = names_.find_service(pending.lookup.name, thread_, ready))
        on_service(id, std::move(known));
      return;
    }
    const auto ready = [weak, id, need](const Result<std::vector<NodeRecord>>& result) {
      if (const auto self = weak.lock()) self->on_nodes(need, id, result);
    };
    if (need == Need::Node) return names_.find_node(pending.lookup.name, thread_, ready);
    if (need == Need::Address) return names_.find_address(pending.lookup.address, thread_, ready);
    names_.find_servers(thread_, ready);
  }

  void on_service(std::uint64_t id, const Result<std::shared_ptr<const ServiceRecords>>& result) {
    complete(id, [&](const Pending& pending, std::string& reply) {
      if (!result || *result == nullptr) return fail_query(pending.query, reply);
      answerer_->answer_service(pending.query, pending.lookup, **result, context(pending.transport),
                                reply);
    });
  }

  void on_nodes(Need need, std::uint64_t id, const Result<std::vector<NodeRecord>>& result) {
    complete(id, [&](const Pending& pending, std::string& reply) {
      if (!result) return fail_query(pending.query, reply);
      const auto now = context(pending.transport);
      if (need == Need::Node) {
        answerer_->answer_node(pending.query, pending.lookup, *result, now, reply);
      } else if (need == Need::Address) {
        answerer_->answer_reverse(pending.query, pending.lookup, *result, now, reply);
      } else {
        answerer_->answer_apex(pending.query, pending.lookup, *result, now, reply);
      }
    });
  }

  // The first of answer and deadline wins.
  template <class Build>
  void complete(std::uint64_t id, Build&& build) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    const auto pending = std::move(found->second);
    pending_.erase(found);
    if (pending->reply_inside != nullptr) return build(*pending, *pending->reply_inside);
    std::string reply;
    build(*pending, reply);
    pending->send(std::move(reply));
  }

  static void fail_query(const Query& query, std::string& reply) {
    counters().failures.add();
    Answerer::answer_error(query, Rcode::ServFail, reply, ExtendedError::NoReachableAuthority);
  }

  io::Runtime& runtime_;
  const int thread_;
  NameSource& names_;
  AnswererPtr answerer_;
  const Duration fetch_timeout_;
  const std::size_t max_pending_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Pending>> pending_;
  std::uint64_t last_id_ = 0;

  // Reused by every query.
  Random random_;
  Scratch scratch_;
  Query query_;
  Lookup lookup_;
};

// A UDP socket that answers may be sent through for as long as it is open.
using SocketSlot = std::shared_ptr<std::unique_ptr<io::UdpSocket>>;

class Listener final : public DnsServer {
 public:
  Listener(io::Runtime& runtime, DnsServerOptions options)
      : runtime_(runtime), options_(std::move(options)), sockets_(threads()) {}
  ~Listener() override { stop(); }

  Result<void> open(NameSource& names) {
    auto answerer = Answerer::create(options_.settings);
    if (!answerer) return answerer.error();
    const auto shared = std::make_shared<const Answerer>(std::move(*answerer));
    for (int thread = 0; thread < runtime_.size(); ++thread)
      workers_.push_back(std::make_shared<Worker>(runtime_, thread, names, shared, options_));
    for (const auto& address : options_.listen)
      if (auto opened = open_address(address); !opened) return opened;
    return {};
  }

  std::vector<HostPort> bound() const override { return bound_; }

  Result<void> reload(Settings settings) override {
    auto answerer = Answerer::create(std::move(settings));
    if (!answerer) return answerer.error();
    const auto shared = std::make_shared<const Answerer>(std::move(*answerer));
    for (int thread = 0; thread < runtime_.size(); ++thread)
      runtime_.post(thread, [worker = worker(thread), shared] { worker->use(shared); });
    return {};
  }

  void stop() override {
    for (auto& server : tcp_) server->stop();
    tcp_.clear();
    for (int thread = 0; thread < runtime_.size(); ++thread) {
      auto& sockets = sockets_[static_cast<std::size_t>(thread)];
      run_on(thread, [&] {
        for (auto& slot : sockets) slot->reset();
        sockets.clear();
      });
    }
    workers_.clear();
    bound_.clear();
  }

 private:
  std::size_t threads() const { return static_cast<std::size_t>(runtime_.size()); }
  const std::shared_ptr<Worker>& worker(int thread) const {
    return workers_[static_cast<std::size_t>(thread)];
  }

  void run_on(int thread, const std::function<void()>& task) {
    if (!runtime_.running() || runtime_.current() == thread) return task();
    std::promise<void> done;
    runtime_.post(thread, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  // Port 0: the kernel picks for TCP; the same port may be taken for UDP, so try a few.
  Result<void> open_address(const HostPort& address) {
    constexpr int kTries = 16;
    for (int tries = 1;; ++tries) {
      auto tcp = open_tcp(address);
      if (!tcp) return tcp.error();
      auto opened = open_udp({address.host, (*tcp)->bound().port});
      if (opened) {
        bound_.push_back((*tcp)->bound());
        tcp_.push_back(std::move(*tcp));
        return {};
      }
      (*tcp)->stop();
      if (address.port != 0 || tries == kTries) return opened;
    }
  }

  Result<void> open_udp(const HostPort& address) {
    // Sockets that share a port also share it with a second process; asking once without sharing
    // finds out that it is taken.
    io::UdpSocket::Options options{address, false, kMaxQueryBytes};
    const auto nobody = [](const io::UdpPeer&, std::string_view, std::string&) {};
    auto probe = io::UdpSocket::open(runtime_, 0, options, nobody);
    if (!probe) return probe.error();
    run_on(0, [&] { probe->reset(); });
    options.reuse_port = true;
    std::vector<SocketSlot> slots;
    for (int thread = 0; thread < runtime_.size(); ++thread) {
      auto slot = std::make_shared<std::unique_ptr<io::UdpSocket>>();
      auto socket = io::UdpSocket::open(runtime_, thread, options, udp_handler(thread, slot));
      if (!socket) {
        close(slots);
        return socket.error();
      }
      // The handler may run already, but needs the slot only for answers that come later.
      run_on(thread, [&] { *slot = std::move(*socket); });
      slots.push_back(std::move(slot));
    }
    for (std::size_t i = 0; i < slots.size(); ++i) sockets_[i].push_back(std::move(slots[i]));
    return {};
  }

  void close(std::vector<SocketSlot>& slots) {
    for (std::size_t i = 0; i < slots.size(); ++i)
      run_on(static_cast<int>(i), [&] { slots[i]->reset(); });
  }

  io::UdpSocket::Receive udp_handler(int thread, const SocketSlot& slot) {
    struct Handler {
      std::shared_ptr<Worker> worker;
      std::weak_ptr<std::unique_ptr<io::UdpSocket>> slot;
    };
    const auto handler = std::make_shared<Handler>(Handler{worker(thread), slot});
    return [handler](const io::UdpPeer& from, std::string_view packet, std::string& reply) {
      handler->worker->on_query(Transport::Udp, packet, reply, [&]() -> Send {
        return [slot = handler->slot, from](const std::string& late) {
          if (const auto socket = slot.lock(); socket && *socket) (*socket)->send(from, late);
        };
      });
    };
  }

  Result<std::unique_ptr<io::TcpFrameServer>> open_tcp(const HostPort& address) {
    io::TcpFrameOptions options;
    options.bind = address;
    options.max_connections = options_.max_tcp_connections;
    options.max_connections_per_client = options_.max_tcp_connections_per_client;
    return io::TcpFrameServer::listen(
        runtime_, options,
        [this](const io::UdpPeer&, const std::string& message, io::TcpFrameServer::Reply send) {
          std::string reply;
          worker(runtime_.current())->on_query(Transport::Tcp, message, reply, [&]() -> Send {
            return send;
          });
          if (!reply.empty()) send(std::move(reply));
        });
  }

  static constexpr std::size_t kMaxQueryBytes = 4096;

  io::Runtime& runtime_;
  const DnsServerOptions options_;
  std::vector<std::shared_ptr<Worker>> workers_;
  std::vector<std::vector<SocketSlot>> sockets_;  // by thread
  std::vector<std::unique_ptr<io::TcpFrameServer>> tcp_;
  std::vector<HostPort> bound_;
};

}  // namespace

Result<std::unique_ptr<DnsServer>> DnsServer::listen(io::Runtime& runtime, DnsServerOptions options,
                                                     NameSource& names) {
  auto listener = std::make_unique<Listener>(runtime, std::move(options));
  if (auto opened = listener->open(names); !opened) return opened.error();
  return std::unique_ptr<DnsServer>(std::move(listener));
}

}  // namespace fyr::dns
