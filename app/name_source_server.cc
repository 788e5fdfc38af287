#include "app/name_source_server.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "app/name_records.h"
#include "base/guarded.h"

namespace fyr::app {
namespace {

using dns::NodeRecord;
using dns::ServiceRecords;
using RecordsPtr = std::shared_ptr<const ServiceRecords>;

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
    if (row) nodes.push_back(to_node_record(*row));
    ready(std::move(nodes));
  }

  void find_address(const IpAddress& address, int, dns::NodesReady ready) override {
    const auto text = address.to_string();
    std::vector<NodeRecord> owners;
    server_.read([&](const server::StateStore& store) {
      for (const auto& row : store.nodes_by_address(text).rows)
        owners.push_back(to_node_record(*row));
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
    const RecordsPtr known = peek_service("consul");  // not every list is kept by the cache
    for (const auto& record : known->records)
      if (record.health != dns::Health::Critical)
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
    for (const auto& row : listing.rows)
      records->records.push_back(
          to_service_record(*row.node, *row.service, worst_health(row.checks)));
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
