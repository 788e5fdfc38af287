// Where the proxy learns endpoints: declared here, implemented elsewhere, plugged in by app.
//
// Threading: watch() from any thread; updates arrive on any one thread at a time per watch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fyr::proxy {

enum class CatalogStatus { Passing, Warning, Critical, Maintenance };

struct EndpointInfo {
  std::string id;  // "node/service-id", stable identity
  std::string node;
  std::string address;  // service address, else node address
  std::uint16_t port = 0;
  CatalogStatus status = CatalogStatus::Passing;
  int weight_passing = 1;
  int weight_warning = 1;
  std::string site;
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  int position = 0;  // where the operator wrote an order, in a list of static endpoints
  bool operator==(const EndpointInfo&) const = default;
};

// A complete list as of `index`; the proxy works out what changed.
struct EndpointUpdate {
  std::uint64_t index = 0;
  std::vector<EndpointInfo> endpoints;
  bool from_disk = false;  // last known list, read before any server answered
};

class EndpointWatch {
 public:
  virtual ~EndpointWatch() = default;  // ends the watch; no update after it returns
};

class EndpointSource {
 public:
  virtual ~EndpointSource() = default;
  // The first update comes at once if a list is known (memory or disk).
  virtual std::unique_ptr<EndpointWatch> watch(const std::string& service,
                                               std::function<void(EndpointUpdate)> on_update) = 0;
};

}  // namespace fyr::proxy
