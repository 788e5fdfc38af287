// The handler's side of a request, and what connections of a thread share. See http_connection.h.
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "base/check.h"
#include "base/io/http_connection.h"
#include "base/io/socket_address.h"
#include "base/log.h"
#include "base/metrics.h"

namespace fyr::io::http {
namespace {

constexpr std::size_t kMaxWaitingStream = 1 << 20;
constexpr auto kSweepPeriod = std::chrono::milliseconds(500);
constexpr std::size_t kClientsBeforeCleaning = 1024;

}  // namespace

Exchange::Exchange(std::shared_ptr<Connection> connection, std::shared_ptr<Slot> slot)
    : connection_(std::move(connection)), slot_(std::move(slot)) {}

Exchange::~Exchange() {
  if (!slot_->dispatched) return;
  const auto phase = phase_.load();
  if (phase == Phase::Waiting) {
    respond(HttpResponse::text(500, "the request was dropped unanswered\n"));
  } else if (phase == Phase::Streaming) {
    on_thread([](Connection& connection, Slot& slot) { connection.end_stream(slot, false); });
  }
}

int Exchange::thread() const {
  return connection_->shard().thread();
}

template <class F>
void Exchange::on_thread(F task) {
  auto& shard = connection_->shard();
  if (shard.core().runtime.current() == shard.thread()) return task(*connection_, *slot_);
  asio::post(shard.context(), [connection = connection_, slot = slot_,
                               task = std::move(task)]() mutable { task(*connection, *slot); });
}

void Exchange::respond(HttpResponse response) {
  auto expected = Phase::Waiting;
  if (!phase_.compare_exchange_strong(expected, Phase::Finished)) {
    log::error("http", "{} {}: answered twice", request_.method, request_.path);
    return;
  }
  on_thread([response = std::move(response)](Connection& connection, Slot& slot) mutable {
    connection.deliver(slot, std::move(response));
  });
}

void Exchange::on_abandoned(std::function<void()> callback) {
  on_thread([callback = std::move(callback)](Connection& connection, Slot& slot) mutable {
    connection.watch(slot, std::move(callback));
  });
}

void Exchange::begin_stream(HttpResponse head) {
  auto expected = Phase::Waiting;
  if (!phase_.compare_exchange_strong(expected, Phase::Streaming)) {
    log::error("http", "{} {}: answered twice", request_.method, request_.path);
    return;
  }
  on_thread([head = std::move(head)](Connection& connection, Slot& slot) mutable {
    connection.begin_stream(slot, std::move(head));
  });
}

bool Exchange::write_chunk(std::string data) {
  if (phase_.load() != Phase::Streaming || slot_->gone.load()) return false;
  const auto size = data.size();
  if (slot_->waiting.fetch_add(size) + size > kMaxWaitingStream) {
    slot_->waiting.fetch_sub(size);
    return false;
  }
  on_thread([data = std::move(data)](Connection& connection, Slot& slot) mutable {
    connection.add_chunk(slot, std::move(data));
  });
  return true;
}

void Exchange::end_stream() {
  auto expected = Phase::Streaming;
  if (!phase_.compare_exchange_strong(expected, Phase::Finished)) return;
  on_thread([](Connection& connection, Slot& slot) { connection.end_stream(slot, true); });
}

// ---- shared by connections ---------------------------------------------------------------------

std::shared_ptr<ClientCount> ServerCore::client(const IpAddress& address) {
  return clients.with([&](auto& all) {
    auto& entry = all[address];
    auto count = entry.lock();
    if (!count) {
      count = std::make_shared<ClientCount>();
      entry = count;
      if (all.size() > kClientsBeforeCleaning) {
        std::erase_if(all, [](const auto& item) { return item.second.expired(); });
      }
    }
    return count;
  });
}

Shard::Shard(std::shared_ptr<ServerCore> core, int thread)
    : core_(std::move(core)), thread_(thread), context_(core_->runtime.context(thread)) {}

void Shard::adopt(int fd, const UdpPeer& peer, int family) {
  Socket socket(context_);
  boost::system::error_code code;
  socket.assign(asio::generic::stream_protocol(family, 0), fd, code);
  if (code) {
    ::close(fd);
    return;
  }
  if (stopped_) return;
  static auto& refused = metrics::counter("fyr.http.connections_refused");
  if (core_->connections.load() >= core_->options.max_connections) {
    refused.add();
    return;  // closes it
  }
  if (!sweeping_) {
    refresh_clock();
    schedule_sweep();
  }
  const auto connection =
      std::make_shared<Connection>(shared_from_this(), std::move(socket), peer, family == AF_UNIX);
  add(connection);
  connection->start();
}

void Shard::add(const std::shared_ptr<Connection>& connection) {
  connection->set_place(connections_.size());
  connections_.push_back(connection);
  core_->connections.fetch_add(1);
}

void Shard::remove(Connection& connection) {
  const auto place = connection.place();
  CHECK(place < connections_.size() && connections_[place].get() == &connection);
  connections_[place] = std::move(connections_.back());
  connections_[place]->set_place(place);
  connections_.pop_back();
  core_->connections.fetch_sub(1);
}

void Shard::stop() {
  stopped_ = true;
  timer_.cancel();
  // Closing one may, through its handlers, close others.
  while (!connections_.empty()) connections_.back()->close();
}

void Shard::refresh_clock() {
  tick_ = now();
  date_ = format_http_date(wall_now());
}

void Shard::schedule_sweep() {
  sweeping_ = true;
  timer_ = core_->runtime.schedule(thread_, kSweepPeriod, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->sweep();
  });
}

void Shard::sweep() {
  refresh_clock();
  sweeping_ = false;
  if (stopped_ || connections_.empty()) return;  // the next connection starts it again
  schedule_sweep();
  const auto all = connections_;
  for (const auto& connection : all) connection->check_deadline(tick_);
}

}  // namespace fyr::io::http
