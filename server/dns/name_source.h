// Where DNS answers take names from: declared here, implemented over the state view on a server
// and over the watch client on an agent, plugged in by app.
//
// Threading: calls come from io threads. If the answer is known it is returned at once; otherwise
// null is returned and `ready` runs once, later, on the io thread `thread`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/net_address.h"

namespace fyr::dns {

enum class Health { Passing, Warning, Critical };

struct ServiceRecord {
  std::string node;
  std::string node_address;     // literal or host name
  std::string service_address;  // empty: the node's
  std::uint16_t port = 0;
  Health health = Health::Passing;  // worst of its own and its node's checks
  int weight_passing = 1;
  int weight_warning = 1;
  std::vector<std::string> tags;
  std::vector<std::pair<std::string, std::string>> node_meta;
  // Parsed once: address_of_service is what A/AAAA answer with.
  IpAddress ip{};
  bool has_ip = false;
};

// All instances of one service, immutable; shared by all readers until the service changes.
struct ServiceRecords {
  std::uint64_t index = 0;
  std::vector<ServiceRecord> records;  // empty: the service does not exist
  // Of prepared queries only: the service that was found, and the TTL if the query names one.
  std::string service;
  std::optional<std::chrono::seconds> ttl;
  bool ordered = false;  // the order means something: keep it
};

struct NodeRecord {
  std::string name;
  std::string address;
  std::vector<std::pair<std::string, std::string>> meta;
  bool is_service = false;  // find_address only: `name` is a service's, whose own address it is
};

using ServiceReady = std::function<void(Result<std::shared_ptr<const ServiceRecords>>)>;
using NodesReady = std::function<void(Result<std::vector<NodeRecord>>)>;

class NameSource {
 public:
  virtual ~NameSource() = default;
  // The records if they are known without waiting, else null: the path of nearly all queries, which
  // therefore costs no callback. Never starts anything.
  virtual std::shared_ptr<const ServiceRecords> peek_service(const std::string&) { return nullptr; }
  // `name` lower case.
  virtual std::shared_ptr<const ServiceRecords> find_service(const std::string& name, int thread,
                                                             ServiceReady ready) = 0;
  // What a prepared query finds, as records of one service. The answer comes through `ready`,
  // possibly before this returns.
  virtual void find_query(const std::string& name, int thread, ServiceReady ready) = 0;
  // Empty list: no such node. The answer comes through `ready`, possibly before this returns.
  virtual void find_node(const std::string& name, int thread, NodesReady ready) = 0;
  // PTR: nodes, else services whose address this is.
  virtual void find_address(const IpAddress& address, int thread, NodesReady ready) = 0;
  // The servers, for NS and SOA: node names and addresses.
  virtual void find_servers(int thread, NodesReady ready) = 0;
};

}  // namespace fyr::dns
