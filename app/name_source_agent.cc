#include "app/name_source_agent.h"

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "app/name_records.h"
#include "app/query_records.h"
#include "base/bytes.h"
#include "base/guarded.h"

namespace fyr::app {
namespace {

using dns::ServiceRecords;
using RecordsPtr = std::shared_ptr<const ServiceRecords>;

RecordsPtr make_records(const agent::ServiceView& view) {
  auto records = std::make_shared<ServiceRecords>();
  records->index = view.index;
  records->records.reserve(view.rows.size());
  for (const auto& row : view.rows)
    records->records.push_back(
        to_service_record(row->node(), row->service(), worst_health(row->checks())));
  return records;
}

Result<RecordsPtr> records_of(Result<io::HttpResponse> answer) {
  if (!answer) return answer.error();
  if (answer->status == 404) return std::make_shared<const ServiceRecords>();
  if (answer->status != 200 || !answer->body)
    return fail(ErrorCode::Unavailable, answer->body ? *answer->body : "no answer");
  return parse_execution(*answer->body);
}

class AgentNameSource final : public dns::NameSource {
 public:
  AgentNameSource(agent::WatchClient& watch, io::Runtime& runtime, agent::Membership& membership,
                  AskServer ask)
      : watch_(watch), runtime_(runtime), membership_(membership), ask_(std::move(ask)) {}

  RecordsPtr peek_service(const std::string& name) override {
    const auto view = watch_.peek(name);
    return view ? cache_->records_of(name, view) : nullptr;
  }

  RecordsPtr find_service(const std::string& name, int thread, dns::ServiceReady ready) override {
    auto view = watch_.get(name, [cache = cache_, name, &runtime = runtime_, thread,
                                  ready = std::move(ready)](Result<agent::ViewPtr> got) {
      runtime.post(thread, [cache, name, ready, got = std::move(got)] {
        if (got) {
          ready(cache->records_of(name, *got));
        } else {
          ready(got.error());
        }
      });
    });
    return view ? cache_->records_of(name, view) : nullptr;
  }

  void find_query(const std::string& name, int thread, dns::ServiceReady ready) override {
    ask_("/v1/query/" + percent_encode(name) + "/execute", "stale&limit=1000",
         [&runtime = runtime_, thread, ready = std::move(ready)](Result<io::HttpResponse> answer) {
           auto found = records_of(std::move(answer));
           runtime.post(thread, [ready, found = std::move(found)] { ready(found); });
         });
  }

  void find_node(const std::string& name, int thread, dns::NodesReady ready) override {
    find(name, "", thread, std::move(ready));
  }

  void find_address(const IpAddress& address, int thread, dns::NodesReady ready) override {
    find("", address.to_string(), thread, std::move(ready));
  }

  void find_servers(int, dns::NodesReady ready) override {
    std::vector<dns::NodeRecord> servers;
    for (const auto& member : membership_.members()) {
      const auto role = member.tags.find("role");
      if (role == member.tags.end() || role->second != "consul") continue;
      if (member.state == agent::MemberState::Alive || member.state == agent::MemberState::Suspect)
        servers.push_back({member.name, member.address, {}});
    }
    ready(std::move(servers));
  }

 private:
  // The records of a view are made once; a view that changed is a new object.
  struct Cache {
    struct Made {
      agent::ViewPtr view;
      RecordsPtr records;
    };
    static constexpr std::size_t kMaxServices = 4096;  // as many as the watch client keeps

    RecordsPtr records_of(const std::string& name, const agent::ViewPtr& view) {
      auto known = made.read([&](const auto& all) -> RecordsPtr {
        const auto found = all.find(name);
        return found != all.end() && found->second.view == view ? found->second.records : nullptr;
      });
      if (known) return known;
      auto records = make_records(*view);
      made.write([&](auto& all) {
        if (records->records.empty()) {
          all.erase(name);
          return;
        }
        if (all.size() >= kMaxServices && !all.contains(name)) all.erase(all.begin());
        all[name] = {view, records};
      });
      return records;
    }

    SharedGuarded<std::unordered_map<std::string, Made>> made;
  };

  void find(const std::string& name, const std::string& address, int thread,
            dns::NodesReady ready) {
    watch_.find_nodes(
        name, address,
        [&runtime = runtime_, thread, ready = std::move(ready)](Result<std::vector<pb::Node>> got) {
          runtime.post(thread, [ready, got = std::move(got)] {
            if (!got) return ready(got.error());
            std::vector<dns::NodeRecord> nodes;
            for (const auto& node : *got) nodes.push_back(to_node_record(node));
            ready(std::move(nodes));
          });
        });
  }

  agent::WatchClient& watch_;
  io::Runtime& runtime_;
  agent::Membership& membership_;
  const AskServer ask_;
  std::shared_ptr<Cache> cache_ = std::make_shared<Cache>();
};

}  // namespace

std::unique_ptr<dns::NameSource> make_agent_name_source(agent::WatchClient& watch,
                                                        io::Runtime& runtime,
                                                        agent::Membership& membership,
                                                        AskServer ask) {
  return std::make_unique<AgentNameSource>(watch, runtime, membership, std::move(ask));
}

}  // namespace fyr::app
