#include "proxy/resolver.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>

namespace fyr::proxy {

namespace asio = boost::asio;

struct NameResolver::State {
  explicit State(asio::io_context& context) : resolver(context) {}
  asio::ip::tcp::resolver resolver;
};

namespace {

IpAddress to_address(const asio::ip::address& address) {
  IpAddress out;
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    std::memcpy(out.bytes.data(), bytes.data(), bytes.size());
  } else {
    out.v6 = true;
    const auto bytes = address.to_v6().to_bytes();
    std::memcpy(out.bytes.data(), bytes.data(), bytes.size());
  }
  return out;
}

}  // namespace

NameResolver::NameResolver(asio::io_context& context) : state_(std::make_shared<State>(context)) {}

NameResolver::~NameResolver() {
  state_->resolver.cancel();
}

void NameResolver::resolve(const std::string& host,
                           std::function<void(std::optional<IpAddress>)> done) {
  state_->resolver.async_resolve(
      host, "",
      [weak = std::weak_ptr(state_), done = std::move(done)](
          const boost::system::error_code& code,
          const asio::ip::tcp::resolver::results_type& list) {
        if (weak.expired() || code == asio::error::operation_aborted) return;
        std::optional<IpAddress> chosen;
        for (const auto& entry : list) {
          const IpAddress address = to_address(entry.endpoint().address());
          // The lowest of each family, so that a list served in turns does not look like a move.
          const bool better = !chosen || (chosen->v6 && !address.v6) ||
                              (chosen->v6 == address.v6 && address < *chosen);
          if (better) chosen = address;
        }
        done(chosen);
      });
}

}  // namespace fyr::proxy
