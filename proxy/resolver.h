// Names to addresses, for endpoints registered under a host name.
//
// Everything belongs to the io thread of the context; the look-up itself runs on the resolver
// thread of Asio, so a slow name server holds nobody up.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/net_address.h"

namespace boost::asio {
class io_context;
}

namespace fyr::proxy {

class NameResolver {
 public:
  explicit NameResolver(boost::asio::io_context& context);
  ~NameResolver();  // what is under way is not reported any more
  // `done` gets the first address (IPv4 before IPv6), or nothing.
  void resolve(const std::string& host, std::function<void(std::optional<IpAddress>)> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fyr::proxy
