// What every HTTP API of this house does before and after its own work, as Consul does it:
// methods and paths to handlers (405 with Allow, OPTIONS, HEAD refused like any other method that
// is not listed), path parameters decoded once, the query string, `pretty`, compression, response
// headers from configuration, blocked endpoints.
//
// Bodies of large answers are compressed here unless the handler has set Content-Encoding itself.
// Threading: routes are added before serving; handle() and HttpCall from any thread.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/io/http_server.h"
#include "base/time.h"

namespace fyr::io {

// ---- query string ------------------------------------------------------------------------------
// In order, decoded; "a" and "a=" are the same. Pairs with a bad escape are dropped, as by Go.
class QueryParams {
 public:
  static QueryParams parse(std::string_view encoded);
  bool has(std::string_view name) const;
  std::string_view get(std::string_view name) const;  // first value, "" if there is none
  std::vector<std::string_view> all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

// What every read takes. Errors are 400 and carry Consul's words.
struct ReadParams {
  enum class Consistency { Default, Consistent, Stale };
  Consistency consistency = Consistency::Default;
  bool cached = false;
  std::uint64_t index = 0;  // 0: do not wait
  std::string hash;         // of content, for agent endpoints that wait by hash
  Duration wait{};          // as given; see effective_wait
  std::string datacenter;
};
class HttpCall;
Result<ReadParams> parse_read_params(const HttpCall& call);

// 0 and negative waits mean `standard`; at most `longest`; plus up to a sixteenth, taken from
// `random` (any 64 bits), so that waiters do not return in step.
Duration effective_wait(Duration wait, Duration standard, Duration longest, std::uint64_t random);

// The X-Consul headers of a read answer.
struct QueryMeta {
  std::uint64_t index = 1;  // shown as at least 1
  bool known_leader = true;
  Duration last_contact{};
  std::string_view effective_consistency;  // "leader", "consistent", "stale"; empty: not shown
  std::string_view cache;                  // "HIT", "MISS"; empty: not shown
};
void append_query_headers(HttpHeaders& out, const QueryMeta& meta);

// ---- calls -------------------------------------------------------------------------------------
struct RouterOptions {
  HttpHeaders response_headers;              // added to every answer
  std::vector<std::string> block_endpoints;  // path prefixes answered with 403
  std::string default_acl_policy = "allow";
};

// One request on its way through a handler. Answer once, from any thread.
class HttpCall {
 public:
  HttpCall(std::shared_ptr<HttpExchange> exchange, std::shared_ptr<const RouterOptions> options,
           std::string tail);

  const HttpRequest& request() const { return exchange_->request(); }
  const std::shared_ptr<HttpExchange>& exchange() const { return exchange_; }
  const QueryParams& query() const { return query_; }
  const std::string& tail() const { return tail_; }  // path behind a "/prefix/" route, decoded
  bool pretty() const { return query_.has("pretty"); }
  std::string_view token() const;  // ?token, X-Consul-Token, Authorization: Bearer
  bool accepts_gzip() const;

  void json(std::string body) const { json(200, std::move(body)); }
  void json(int status, std::string body) const;
  void text(int status, std::string body) const;
  void error(const Error& error) const;  // the code's status, the message as text
  void respond(HttpResponse response) const;

  // The body as JSON. Empty: "EOF". What follows the first value is ignored, as by Go's decoder.
  // Errors are 400 and start with "Request decode failed: ".
  Result<boost::json::value> body_json() const;

 private:
  std::shared_ptr<HttpExchange> exchange_;
  std::shared_ptr<const RouterOptions> options_;
  QueryParams query_;
  std::string tail_;
};
using HttpCallPtr = std::shared_ptr<const HttpCall>;
using RouteHandler = std::function<void(HttpCallPtr)>;

std::string gzip(std::string_view bytes);
constexpr std::size_t kGzipThreshold = 1400;  // smaller bodies are not compressed

// ---- table -------------------------------------------------------------------------------------
class HttpRouter {
 public:
  explicit HttpRouter(RouterOptions options);

  // `path` ending in '/' takes everything below it (see HttpCall::tail); otherwise it is exact.
  // Methods of one path are added one by one; Allow names them in that order. OPTIONS is answered
  // without a handler; who adds one, before the others, is not named in Allow.
  void add(std::string_view method, std::string_view path, RouteHandler handler);

  // False if no route has this path; nothing was answered then.
  bool handle(const std::shared_ptr<HttpExchange>& exchange) const;
  // 404 with the common headers.
  void not_found(const std::shared_ptr<HttpExchange>& exchange) const;

 private:
  struct Route {
    std::vector<std::pair<std::string, RouteHandler>> methods;
    std::string allow;
    bool own_options = false;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  const Route* find(std::string_view path, std::size_t& prefix_length) const;
  bool refuse(const std::shared_ptr<HttpExchange>& exchange) const;

  std::shared_ptr<const RouterOptions> options_;
  std::unordered_map<std::string, Route, Hash, std::equal_to<>> exact_;
  std::vector<std::pair<std::string, Route>> prefixes_;  // longest first
};

}  // namespace fyr::io
