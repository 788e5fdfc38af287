#include "agent/server_picker.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>

#include "base/log.h"
#include "base/metrics.h"
#include "base/net_address.h"
#include "base/random.h"
#include "base/time.h"

namespace fyr::agent {

namespace {

constexpr Duration kFailedFor = std::chrono::seconds(10);
constexpr int kMaxMessage = 64 * 1024 * 1024;

std::shared_ptr<grpc::Channel> open_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  // A server that vanished without a word is noticed within about 6 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 4000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class FixedChannel final : public ChannelSource {
 public:
  explicit FixedChannel(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {}
  ServerChannel pick() override { return {channel_, {}}; }
  void failed(const ServerChannel&) override {}
  void on_change(std::function<void()>) override {}
  std::vector<std::string> addresses() const override { return {std::string()}; }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

class Picker final : public ServerPicker, public std::enable_shared_from_this<Picker> {
 public:
  explicit Picker(ServerPickerOptions options)
      : options_(std::move(options)), random_(options_.seed) {
    for (const std::string& address : options_.addresses) known_.push_back(make(address, ""));
  }

  void follow(Membership& membership) {
    for (const Member& member : membership.members()) changed(member);
    membership.on_change([weak = weak_from_this()](const Member& member) {
      if (auto self = weak.lock()) self->changed(member);
    });
  }

  ServerChannel pick() override {
    std::lock_guard lock(mutex_);
    Server* server = best(now());
    if (!server) return {};
    if (!server->channel) server->channel = open_channel(server->address);
    return {server->channel, server->address};
  }

  void failed(const ServerChannel& server) override {
    {
      std::lock_guard lock(mutex_);
      for (Server& known : known_) {
        if (known.address != server.address) continue;
        known.failed_until = std::max(known.failed_until, now() + kFailedFor);
      }
    }
    metrics::counter("consul.client.rpc.failed").add();
  }

  void on_change(std::function<void()> callback) override {
    std::lock_guard lock(mutex_);
    callbacks_.push_back(std::move(callback));
  }

  std::vector<std::string> addresses() const override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const Server& server : known_) out.push_back(server.address);
    return out;
  }

 private:
  struct Server {
    std::string address;
    std::string name;  // of the member; empty: given by the operator
    bool near = false;
    std::uint64_t order = 0;  // random, so that agents spread
    Instant failed_until{};
    std::shared_ptr<grpc::Channel> channel;
  };

  Server make(std::string address, std::string name) {
    Server server;
    server.address = std::move(address);
    server.name = std::move(name);
    server.order = random_.next();
    return server;
  }

  static std::string rpc_address(const Member& member) {
    const auto tag = [&](const char* key) {
      const auto it = member.tags.find(key);
      return it == member.tags.end() ? std::string() : it->second;
    };
    if (tag("role") != "consul") return {};
    if (!tag("rpc_addr").empty()) return tag("rpc_addr");
    if (tag("port").empty()) return {};
    HostPort where{member.address, 0};
    const std::string port = tag("port");
    std::from_chars(port.data(), port.data() + port.size(), where.port);
    return where.to_string();
  }

  void changed(const Member& member) {
    std::vector<std::function<void()>> callbacks;
    {
      std::lock_guard lock(mutex_);
      if (!update(member)) return;
      callbacks = callbacks_;
    }
    for (const auto& callback : callbacks) callback();
  }

  // True if there is a server to use that was not there before.
  bool update(const Member& member) {
    const auto datacenter = member.tags.find("dc");
    if (datacenter != member.tags.end() && datacenter->second != options_.datacenter) return false;
    const std::string address = rpc_address(member);
    const bool usable = !address.empty() && (member.state == MemberState::Alive ||
                                             member.state == MemberState::Suspect);
    auto it = std::find_if(known_.begin(), known_.end(),
                           [&](const Server& s) { return s.name == member.name; });
    if (!usable) {
      if (it == known_.end() || it->name.empty()) return false;
      if (member.state == MemberState::Failed) {
        it->failed_until = Instant::max();  // last resort until gossip says otherwise
      } else {
        known_.erase(it);
      }
      return false;
    }
    const bool is_new = it == known_.end();
    if (is_new) {
      std::erase_if(known_, [](const Server& s) { return s.name.empty(); });
      known_.push_back(make(address, member.name));
      it = std::prev(known_.end());
      log::info("agent", "server {} at {}", member.name, address);
    }
    const auto site = member.tags.find("site");
    it->near = site != member.tags.end() && site->second == options_.site;
    const bool back = it->failed_until == Instant::max();
    if (back || it->address != address) it->failed_until = {};
    const bool moved = it->address != address;
    if (moved) {
      it->address = address;
      it->channel.reset();
    }
    return is_new || back || moved;
  }

  Server* best(Instant at) {
    Server* best = nullptr;
    const auto rank = [&](const Server& s) {
      const Instant failed = s.failed_until > at ? s.failed_until : Instant{};
      return std::make_tuple(failed, !s.near, s.order);
    };
    for (Server& server : known_) {
      if (!best || rank(server) < rank(*best)) best = &server;
    }
    return best;
  }

  const ServerPickerOptions options_;
  mutable std::mutex mutex_;
  Random random_;
  std::vector<Server> known_;
  std::vector<std::function<void()>> callbacks_;
};

}  // namespace

std::shared_ptr<ServerPicker> ServerPicker::make(ServerPickerOptions options,
                                                 Membership* membership) {
  auto picker = std::make_shared<Picker>(std::move(options));
  if (membership) picker->follow(*membership);
  return picker;
}

std::shared_ptr<ChannelSource> make_fixed_channel_source(std::shared_ptr<grpc::Channel> channel) {
  return std::make_shared<FixedChannel>(std::move(channel));
}

}  // namespace fyr::agent
