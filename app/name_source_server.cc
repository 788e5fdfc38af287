#include "app/name_source_server.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "app/name_records.h"
#include "app/query_records.h"
#include "base/guarded.h"

namespace fyr::app {
namespace {

using dns::NodeRecord;
using dns::ServiceRecords;
using RecordsPtr = std::shared_ptr<const ServiceRecords>;

constexpr std::size_t kMostRecords = 4096;  // more do not fit into an answer

class StateNameSource final : public dns::NameSource {
 public:
  StateNameSource(server::Server& server, io::Runtime& runtime, std::size_t max_services)
      : server_(server), runtime_(runtime), max_services_(max_services) {}

  RecordsPtr peek_service(const std::string& name) override {
    return server_.caught_up() ? known_service(name) : nullptr;
  }

  RecordsPtr find_service(const std::string& name, int thread, dns::ServiceReady ready) override {
    if (server_.caught_up()) return known_service(name);
    when_caught_up(thread, [this, name, ready = std::move(ready)](const Result<void>& caught_up) {
      if (!caught_up) return ready(caught_up.error());
      ready(known_service(name));
    });
    return nullptr;
  }

  void find_query(const std::string& name, int thread, dns::ServiceReady ready) override {
    if (server_.caught_up()) return ready(run_query(name));
    when_caught_up(thread, [this, name, ready = std::move(ready)](const Result<void>& caught_up) {
      if (!caught_up) return ready(caught_up.error());
      ready(run_query(name));
    });
  }

  void find_node(const std::string& name, int thread, dns::NodesReady ready) override {
    find(thread, std::move(ready), [this, name] { return node_of(name); });
  }

  void find_address(const IpAddress& address, int thread, dns::NodesReady ready) override {
    find(thread, std::move(ready), [this, address] { return owners_of(address); });
  }

  void find_servers(int thread, dns::NodesReady ready) override {
    find(thread, std::move(ready), [this] { return servers(); });
  }

 private:
  using Cache = std::unordered_map<std::string, RecordsPtr>;

  // After a start the state lacks what the log still replays: queries wait for it, and the DNS
  // server's own deadline bounds how long.
  void when_caught_up(int thread, std::function<void(Result<void>)> then) {
    server_.wait_read(server::Consistency::Stale, [&runtime = runtime_, thread,
                                                   then = std::move(then)](const auto& stamp) {
      const Result<void> caught_up = stamp ? Result<void>() : Result<void>(stamp.error());
      runtime.post(thread, [then, caught_up] { then(caught_up); });
    });
  }

  void find(int thread, dns::NodesReady ready, std::function<std::vector<NodeRecord>()> look) {
    if (server_.caught_up()) return ready(look());
    when_caught_up(
        thread, [ready = std::move(ready), look = std::move(look)](const Result<void>& caught_up) {
          if (!caught_up) return ready(caught_up.error());
          ready(look());
        });
  }

  RecordsPtr known_service(const std::string& name) {
    auto known = cache_.read([&](const Cache& cache) -> RecordsPtr {
      const auto found = cache.find(name);
      return found == cache.end() ? nullptr : found->second;
    });
    if (known && known->index == index_of(name)) return known;
    return refresh(name);
  }

  Result<RecordsPtr> run_query(const std::string& name) const {
    auto run = server_.read([&](const server::StateStore& store) -> Result<server::Execution> {
      auto query = server::resolve_query(store, name);
      if (!query) return query.error();
      return server::execute_query(store, std::move(*query), "", server_.options().node_name);
    });
    // No such query, or none that can be asked by this name: no such name.
    if (!run) return std::make_shared<const ServiceRecords>();
    thread_local Random random = Random::from_system();
    server::order_rows(*run, random, kMostRecords);
    return to_records(*run);
  }

  std::vector<NodeRecord> node_of(const std::string& name) const {
    const auto row =
        server_.read([&](const server::StateStore& store) { return store.node(name); });
    std::vector<NodeRecord> nodes;
    if (row) nodes.push_back(to_node_record(*row));
    return nodes;
  }

  std::vector<NodeRecord> owners_of(const IpAddress& address) const {
    const auto text = address.to_string();
    std::vector<NodeRecord> owners;
    server_.read([&](const server::StateStore& store) {
      for (const auto& row : store.nodes_by_address(text).rows)
        owners.push_back(to_node_record(*row));
      if (!owners.empty()) return;
      for (const auto& row : store.services_by_address(text).rows)
        owners.push_back({row.service->service(), text, {}, true});
    });
    return owners;
  }

  // The instances of the service "consul" are the servers; before the leader registered them only
  // this one is known.
  std::vector<NodeRecord> servers() {
    std::vector<NodeRecord> servers;
    const RecordsPtr known = known_service("consul");  // not every list is kept by the cache
    for (const auto& record : known->records)
      if (record.health != dns::Health::Critical)
        servers.push_back({record.node, record.node_address, record.node_meta});
    if (servers.empty()) {
      const auto& options = server_.options();
      const auto address = parse_host_port(options.rpc_address);
      servers.push_back({options.node_name, address ? address->host : options.rpc_address, {}});
    }
    return servers;
  }

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

  server::Server& server_;
  io::Runtime& runtime_;
  const std::size_t max_services_;
  SharedGuarded<Cache> cache_;
};

}  // namespace

std::unique_ptr<dns::NameSource> make_state_name_source(server::Server& server,
                                                        io::Runtime& runtime,
                                                        std::size_t max_services) {
  return std::make_unique<StateNameSource>(server, runtime, max_services);
}

}  // namespace fyr::app
