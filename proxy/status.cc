// The status page of the proxy and its totals: read from published views and relaxed counters.
#include "base/json.h"
#include "proxy/proxy_impl.h"

namespace fyr::proxy {
namespace {

const char* local_text(const EndpointHealth& health) {
  if (health.ejected()) return "EJECTED";
  switch (health.state) {
    case LocalState::Unknown:
      return "UNKNOWN";
    case LocalState::Up:
      return "UP";
    case LocalState::Suspect:
      return "SUSPECT";
    case LocalState::Down:
      return "DOWN";
  }
  return "UNKNOWN";
}

const char* catalog_text(CatalogStatus status) {
  switch (status) {
    case CatalogStatus::Passing:
      return "passing";
    case CatalogStatus::Warning:
      return "warning";
    case CatalogStatus::Critical:
      return "critical";
    case CatalogStatus::Maintenance:
      return "maintenance";
  }
  return "passing";
}

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

const char* state_text(BindState state) {
  switch (state) {
    case BindState::Open:
      return "open";
    case BindState::Failed:
      return "bind_failed";
    case BindState::Closed:
      return "closed";
  }
  return "closed";
}

void write_endpoint(JsonWriter& json, const EndpointView& view, Instant now) {
  const auto number = [](const auto& atomic) {
    return static_cast<std::uint64_t>(atomic.load(std::memory_order_relaxed));
  };
  const Endpoint& endpoint = *view.endpoint;
  const EndpointHealth& health = view.health;
  json.begin_object();
  json.key("id").string(endpoint.id);
  json.key("addr").string(endpoint.address_text);
  json.key("node").string(view.member.info.node);
  json.key("site").string(view.member.info.site);
  json.key("catalog").string(catalog_text(view.member.info.status));
  json.key("excluded").string(endpoint.resolved ? view.member.excluded : "address");
  json.key("local").string(local_text(health));
  json.key("unreachable").boolean(health.unreachable);
  json.key("ejected_for_ms")
      .number(health.ejected_until
                  ? std::max<std::int64_t>(0, milliseconds(*health.ejected_until - now))
                  : std::int64_t{0});
  json.key("ejections").number(health.ejections_total);
  json.key("weight").number(view.member.weight);
  json.key("active").number(number(endpoint.active));
  json.key("connections").number(number(endpoint.connections));
  json.key("requests").number(number(endpoint.requests_total));
  json.key("fails").number(number(endpoint.failures_total));
  json.key("retries").number(number(endpoint.retries_total));
  json.key("p50_ms").number(static_cast<double>(number(endpoint.p50_us)) / 1000);
  json.key("p99_ms").number(static_cast<double>(number(endpoint.p99_us)) / 1000);
  json.key("check_fails").number(health.falling);
  json.key("last_check_status").number(health.last_status);
  json.end_object();
}

void write_listener(JsonWriter& json, ProxyListener& listener, Instant now) {
  const auto& shared = *listener.shared;
  const auto view = listener.control->view();
  json.begin_object();
  json.key("name").string(shared.config.name);
  json.key("destination").string(shared.config.destination_name);
  json.key("protocol").string(shared.config.protocol == Protocol::Http ? "http" : "tcp");
  json.key("bind").string(address_port_text(listener.bind));
  json.key("state").string(state_text(listener.state));
  json.key("error").string(listener.bind_error.with([](std::string& text) { return text; }));
  json.key("conns").number(static_cast<std::uint64_t>(shared.connections.load()));
  json.key("index").number(view->index);
  const bool is_static = shared.config.destination_type == DestinationType::Static;
  json.key("source").string(
      !view->known ? "none" : (is_static ? "static" : (view->from_disk ? "disk" : "stream")));
  json.key("age_ms").number(view->known ? milliseconds(now - view->updated_at) : -1);
  json.key("held_update").boolean(view->holding);
  json.key("check_misconfigured").boolean(view->check_misconfigured);
  ProxyStats sum;
  for (const auto& thread : shared.counters) {
    sum.requests_total += thread.requests.value();
    sum.retries_total += thread.retries.value();
    sum.replays_total += thread.replays.value();
    sum.errors_total += thread.errors.value();
    sum.bytes_in += thread.bytes_in.value();
    sum.bytes_out += thread.bytes_out.value();
  }
  json.key("requests").number(sum.requests_total);
  json.key("retries").number(sum.retries_total);
  json.key("replays").number(sum.replays_total);
  json.key("errors").number(sum.errors_total);
  json.key("bytes_in").number(sum.bytes_in);
  json.key("bytes_out").number(sum.bytes_out);
  json.key("endpoints").begin_array();
  for (const auto& endpoint : view->endpoints) write_endpoint(json, endpoint, now);
  json.end_array();
  json.end_object();
}

}  // namespace

std::string Proxy::Impl::status_json() const {
  std::string out;
  JsonWriter json(out);
  const Instant now = fyr::now();
  json.begin_object();
  json.key("listeners").begin_array();
  for (const auto& listener : listeners) write_listener(json, *listener, now);
  json.end_array();
  json.key("log_dropped").number(log_writer.dropped());
  json.end_object();
  return out;
}

ProxyStats Proxy::Impl::stats() const {
  ProxyStats sum;
  sum.connections = process_connections.load(std::memory_order_relaxed);
  sum.log_dropped_total = log_writer.dropped();
  for (const auto& listener : listeners) {
    sum.ejections_total += listener->control->view()->ejections_total;
    for (const auto& thread : listener->shared->counters) {
      sum.connections_total += thread.connections.value();
      sum.requests_total += thread.requests.value();
      sum.retries_total += thread.retries.value();
      sum.replays_total += thread.replays.value();
      sum.errors_total += thread.errors.value();
      sum.bytes_in += thread.bytes_in.value();
      sum.bytes_out += thread.bytes_out.value();
    }
  }
  return sum;
}

}  // namespace fyr::proxy
