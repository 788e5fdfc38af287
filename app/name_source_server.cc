#include "app/name_source_server.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "base/guarded.h"

namespace fyr::app {
namespace {

using dns::Health;
using dns::NodeRecord;
using dns::ServiceRecord;
using dns::ServiceRecords;
using RecordsPtr = std::shared_ptr<const ServiceRecords>;

template <class Pairs>
std::vector<std::pair<std::string, std::string>> to_pairs(const Pairs& pairs) {
  std::vector<std::pair<std::string, std::string>> out;
  out.reserve(static_cast<std::size_t>(pairs.size()));
  for (const auto& pair : pairs) out.emplace_back(pair.key(), pair.value());
  return out;
}

// The worst of all checks that decide about an instance; a state nobody knows is the worst.
Health worst(const std::vector<server::CheckRow>& checks) {
  auto health = Health::Passing;
  for (const auto& check : checks) {
    if (check->status() == "passing") continue;
    if (check->status() != "warning") return Health::Critical;
    health = Health::Warning;
  }
  return health;
}

ServiceRecord to_record(const server::ServiceHealth& row) {
  ServiceRecord record;
  record.node = row.node->name();
  record.node_address = row.node->address();
  record.service_address = row.service->address();
  record.port = static_cast<std::uint16_t>(row.service->port());
  record.health = worst(row.checks);
  if (row.service->has_weights()) {
    record.weight_passing = row.service->weights().passing();
    record.weight_warning = row.service->weights().warning();
  }
  record.tags.assign(row.service->tags().begin(), row.service->tags().end());
  record.node_meta = to_pairs(row.node->meta());
  const auto& address =
      record.service_address.empty() ? record.node_address : record.service_address;
  if (const auto ip = IpAddress::parse(address)) {
    record.ip = *ip;
    record.has_ip = true;
  }
  return record;
}

NodeRecord to_record(const pb::Node& node) {
  return {node.name(), node.address(), to_pairs(node.meta())};
}

class StateNameSource final : public dns::NameSource {
 public:
  StateNameSource(const server::Server& server, std::size_t max_services)
      : server_(server), max_services_(max_services) {}

  RecordsPtr peek_service(const std::string& name) override {
    const auto known = cache_.read([&](const Cache& cache) -> RecordsPtr {
      const auto found = cache.find(name);
      return found == cache.end() ? nullptr : found->second;
    });
    if (known && known->index == index_of(name)) return known;
    return refresh(name);
  }

  RecordsPtr find_service(const std::string& name, int, dns::ServiceReady) override {
    return peek_service(name);
  }

  void find_node(const std::string& name, int, dns::NodesReady ready) override {
    const auto row =
        server_.read([&](const server::StateStore& store) { return store.node(name); });
    std::vector<NodeRecord> nodes;
    if (row) nodes.push_back(to_record(*row));
    ready(std::move(nodes));
  }

  void find_address(const IpAddress& address, int, dns::NodesReady ready) override {
    const auto text = address.to_string();
    std::vector<NodeRecord> owners;
    server_.read([&](const server::StateStore& store) {
      for (const auto& row : store.nodes_by_address(text).rows) owners.push_back(to_record(*row));
      if (!owners.empty()) return;
      for (const auto& row : store.services_by_address(text).rows)
        owners.push_back({row.service->service(), text, {}, true});
    });
    ready(std::move(owners));
  }

  // The instances of the service "consul" are the servers; before the leader registered them only
  // this one is known.
  void find_servers(int thread, dns::NodesReady ready) override {
    (void)thread;
    std::vector<NodeRecord> servers;
    for (const auto& record : peek_service("consul")->records)
      if (record.health != Health::Critical)
        servers.push_back({record.node, record.node_address, record.node_meta});
    if (servers.empty()) {
      const auto& options = server_.options();
      const auto address = parse_host_port(options.rpc_address);
      servers.push_back({options.node_name, address ? address->host : options.rpc_address, {}});
    }
    ready(std::move(servers));
  }

 private:
  using Cache = std::unordered_map<std::string, RecordsPtr>;

  server::StateIndex index_of(const std::string& name) const {
    // Kept a thread, so that the key's space is too.
    thread_local server::Topic topic{server::TopicKind::Service, {}};
    topic.key = name;
    return server_.read([&](const server::StateStore& store) { return store.index_of(topic); });
  }

  // Rows are immutable and shared, so only collecting them needs the lock.
  RecordsPtr refresh(const std::string& name) {
    const auto listing =
        server_.read([&](const server::StateStore& store) { return store.service_health(name); });
    const auto records = std::make_shared<ServiceRecords>();
    records->index = listing.index;
    records->records.reserve(listing.rows.size());
    for (const auto& row : listing.rows) records->records.push_back(to_record(row));
    cache_.write([&](Cache& cache) {
      // Names that do not exist are not kept: anybody may ask for any number of them.
      if (records->records.empty()) {
        cache.erase(name);
        return;
      }
      if (cache.size() >= max_services_ && !cache.contains(name)) cache.erase(cache.begin());
      // A slower thread may put older records back; the index then tells the next reader.
      cache[name] = records;
    });
    return records;
  }

  const server::Server& server_;
  const std::size_t max_services_;
  SharedGuarded<Cache> cache_;
};

}  // namespace

std::unique_ptr<dns::NameSource> make_state_name_source(const server::Server& server,
                                                        std::size_t max_services) {
  return std::make_unique<StateNameSource>(server, max_services);
}

}  // namespace fyr::app
