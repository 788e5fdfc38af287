#include "base/io/http_router.h"

#include <zlib.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"

namespace fyr::io {
namespace {

Error bad_request(std::string message) {
  return fail(ErrorCode::InvalidArgument, std::move(message));
}

// Control characters (C0, DEL, C1) anywhere in a decoded path are refused: they end up in keys,
// logs and terminals.
bool is_printable(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return false;
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      return false;
    }
  }
  return true;
}

void set_header(HttpHeaders& headers, std::string_view name, std::string_view value) {
  headers.emplace_back(std::string(name), std::string(value));
}

bool has_header(const HttpHeaders& headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return equals_ignoring_case(header.first, name); });
}

void add_common_headers(HttpHeaders& headers, const RouterOptions& options) {
  set_header(headers, "Vary", "Accept-Encoding");
  set_header(headers, "X-Consul-Default-ACL-Policy", options.default_acl_policy);
  for (const auto& header : options.response_headers) headers.push_back(header);
}

// "max-age=10, stale-if-error=5": each number of seconds must be one.
bool valid_cache_control(std::string_view text) {
  for (const auto part : split(text, ',')) {
    const auto item = trim(part);
    const auto equals = item.find('=');
    const auto name = trim(item.substr(0, equals));
    if (name != "max-age" && name != "stale-if-error") continue;
    const auto number =
        equals == std::string_view::npos ? std::string_view() : trim(item.substr(equals + 1));
    std::uint64_t seconds = 0;
    const auto [stop, error] =
        std::from_chars(number.data(), number.data() + number.size(), seconds);
    if (error != std::errc() || stop != number.data() + number.size()) return false;
  }
  return true;
}

}  // namespace

// ---- query string ------------------------------------------------------------------------------

QueryParams QueryParams::parse(std::string_view encoded) {
  QueryParams out;
  if (encoded.empty()) return out;
  for (const auto part : split(encoded, '&')) {
    if (part.empty() || part.find(';') != std::string_view::npos) continue;
    const auto equals = part.find('=');
    auto name = percent_decode(part.substr(0, equals), true);
    auto value =
        percent_decode(equals == std::string_view::npos ? "" : part.substr(equals + 1), true);
    if (name && value) out.items_.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

bool QueryParams::has(std::string_view name) const {
  return std::any_of(items_.begin(), items_.end(),
                     [&](const auto& item) { return item.first == name; });
}

std::string_view QueryParams::get(std::string_view name) const {
  for (const auto& item : items_) {
    if (item.first == name) return item.second;
  }
  return {};
}

std::vector<std::string_view> QueryParams::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& item : items_) {
    if (item.first == name) out.emplace_back(item.second);
  }
  return out;
}

Result<ReadParams> parse_read_params(const HttpCall& call) {
  ReadParams out;
  const auto& query = call.query();
  if (query.items().empty() && call.request().header("Cache-Control").empty()) return out;
  const bool stale = query.has("stale");
  const bool consistent = query.has("consistent");
  out.cached = query.has("cached");
  if (stale && consistent) {
    return bad_request("Cannot specify ?stale with ?consistent, conflicting semantics.");
  }
  if (out.cached && consistent) {
    return bad_request("Cannot specify ?cached with ?consistent, conflicting semantics.");
  }
  if (stale) out.consistency = ReadParams::Consistency::Stale;
  if (consistent) out.consistency = ReadParams::Consistency::Consistent;
  if (out.cached && !valid_cache_control(call.request().header("Cache-Control"))) {
    return bad_request("Invalid Cache-Control header.");
  }
  if (const auto text = query.get("index"); !text.empty()) {
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out.index);
    if (error != std::errc() || stop != text.data() + text.size()) {
      return bad_request("Invalid index");
    }
  }
  if (const auto text = query.get("wait"); !text.empty()) {
    auto wait = parse_duration(text);
    if (!wait) return bad_request("Invalid wait time");
    out.wait = *wait;
  }
  out.hash = query.get("hash");
  out.datacenter = query.get("dc");
  return out;
}

Duration effective_wait(Duration wait, Duration standard, Duration longest, std::uint64_t random) {
  if (wait <= Duration::zero()) wait = standard;
  wait = std::min(wait, longest);
  const auto spread = static_cast<std::uint64_t>(wait.count()) / 16 + 1;
  return wait + Duration(static_cast<Duration::rep>(random % spread));
}

void append_query_headers(HttpHeaders& out, const QueryMeta& meta) {
  const auto contact =
      std::chrono::duration_cast<std::chrono::milliseconds>(meta.last_contact).count();
  out.emplace_back("X-Consul-Index", std::to_string(std::max<std::uint64_t>(meta.index, 1)));
  out.emplace_back("X-Consul-KnownLeader", meta.known_leader ? "true" : "false");
  out.emplace_back("X-Consul-LastContact", std::to_string(contact));
  out.emplace_back("X-Consul-Query-Backend", "blocking-query");
  if (!meta.effective_consistency.empty()) {
    out.emplace_back("X-Consul-Effective-Consistency", std::string(meta.effective_consistency));
  }
  if (!meta.cache.empty()) {
    out.emplace_back("X-Cache", std::string(meta.cache));
    out.emplace_back("Age", "0");
  }
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  constexpr int kMemory = 8;
  // Level 1: three times the speed of the default for a few percent of size.
  const int ready = deflateInit2(&stream, 1, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY);
  CHECK(ready == Z_OK);
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  // zlib takes a pointer to non-const and does not write through it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int done = deflate(&stream, Z_FINISH);
  CHECK(done == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// ---- calls -------------------------------------------------------------------------------------

HttpCall::HttpCall(std::shared_ptr<HttpExchange> exchange,
                   std::shared_ptr<const RouterOptions> options, std::string tail)
    : exchange_(std::move(exchange)),
      options_(std::move(options)),
      query_(QueryParams::parse(exchange_->request().query)),
      tail_(std::move(tail)) {}

std::string_view HttpCall::token() const {
  if (const auto given = query_.get("token"); !given.empty()) return given;
  if (const auto given = request().header("X-Consul-Token"); !given.empty()) return given;
  const auto authorization = request().header("Authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (authorization.size() > kBearer.size() &&
      equals_ignoring_case(authorization.substr(0, kBearer.size()), kBearer)) {
    return trim(authorization.substr(kBearer.size()));
  }
  return {};
}

bool HttpCall::accepts_gzip() const {
  for (const auto part : split(request().header("Accept-Encoding"), ',')) {
    const auto coding = trim(part);
    const auto name = trim(coding.substr(0, coding.find(';')));
    if (!equals_ignoring_case(name, "gzip")) continue;
    return coding.find("q=0") == std::string_view::npos ||
           coding.find("q=0.") != std::string_view::npos;
  }
  return false;
}

void HttpCall::json(int status, std::string body) const {
  auto response = HttpResponse::json(pretty() ? indent_json(body) + "\n" : std::move(body));
  response.status = status;
  respond(std::move(response));
}

void HttpCall::text(int status, std::string body) const {
  respond(HttpResponse::text(status, std::move(body)));
}

void HttpCall::error(const Error& error) const {
  text(to_http_status(error.code), error.message);
}

void HttpCall::respond(HttpResponse response) const {
  add_common_headers(response.headers, *options_);
  if (response.body && response.body->size() >= kGzipThreshold &&
      !has_header(response.headers, "Content-Encoding") && accepts_gzip()) {
    response.body = std::make_shared<const std::string>(gzip(*response.body));
    response.headers.emplace_back("Content-Encoding", "gzip");
  }
  exchange_->respond(std::move(response));
}

Result<boost::json::value> HttpCall::body_json() const {
  constexpr std::string_view kPrefix = "Request decode failed: ";
  const auto& text = request().body;
  auto value = parse_json(text);
  if (value) return value;
  if (value.error().message.find("after top-level value") != std::string::npos) {
    boost::json::stream_parser parser({}, {.max_depth = 256, .allow_invalid_utf8 = true});
    boost::system::error_code failed;
    parser.write_some(text.data(), text.size(), failed);
    if (!failed && parser.done()) return parser.release();
  }
  return fail(value.error().code, std::string(kPrefix) + value.error().message);
}

// ---- table -------------------------------------------------------------------------------------

HttpRouter::HttpRouter(RouterOptions options)
    : options_(std::make_shared<const RouterOptions>(std::move(options))) {}

void HttpRouter::add(std::string_view method, std::string_view path, RouteHandler handler) {
  CHECK(!path.empty() && path.front() == '/');
  Route* route = nullptr;
  if (path.back() == '/' && path.size() > 1) {
    auto at = std::find_if(prefixes_.begin(), prefixes_.end(), [&](const auto& known) {
      return known.first.size() < path.size() || known.first == path;
    });
    if (at == prefixes_.end() || at->first != path) {
      at = prefixes_.emplace(at, std::string(path), Route{});
    }
    route = &at->second;
  } else {
    route = &exact_[std::string(path)];
  }
  route->methods.emplace_back(std::string(method), std::move(handler));
  if (method == "OPTIONS") {
    route->own_options = true;
    return;
  }
  if (route->allow.empty() && !route->own_options) route->allow = "OPTIONS";
  if (!route->allow.empty()) route->allow += ",";
  route->allow += method;
}

const HttpRouter::Route* HttpRouter::find(std::string_view path, std::size_t& length) const {
  if (const auto found = exact_.find(path); found != exact_.end()) {
    length = path.size();
    return &found->second;
  }
  for (const auto& [prefix, route] : prefixes_) {
    if (path.substr(0, prefix.size()) == prefix) {
      length = prefix.size();
      return &route;
    }
  }
  return nullptr;
}

// What is answered before any route is looked at.
bool HttpRouter::refuse(const std::shared_ptr<HttpExchange>& exchange) const {
  // Decoded, so that no spelling gets around a block.
  const auto decoded = percent_decode(exchange->request().path);
  if (!decoded || !is_printable(*decoded)) {
    HttpCall(exchange, options_, {}).text(400, "");
    return true;
  }
  for (const auto& blocked : options_->block_endpoints) {
    if (decoded->compare(0, blocked.size(), blocked) == 0) {
      HttpCall(exchange, options_, {}).text(403, "Endpoint is blocked by agent configuration");
      return true;
    }
  }
  return false;
}

bool HttpRouter::handle(const std::shared_ptr<HttpExchange>& exchange) const {
  const auto& request = exchange->request();
  std::size_t length = 0;
  const Route* route = find(request.path, length);
  if (route == nullptr) {
    // "/v1/kv" for "/v1/kv/": sent to the right place, as Go's router does.
    const auto below = request.path + "/";
    if (find(below, length) == nullptr || length != below.size()) return false;
    HttpResponse moved = HttpResponse::text(301, "");
    moved.headers.emplace_back("Location",
                               request.query.empty() ? below : below + "?" + request.query);
    HttpCall(exchange, options_, {}).respond(std::move(moved));
    return true;
  }
  if (refuse(exchange)) return true;
  for (const auto& [method, handler] : route->methods) {
    if (method != request.method) continue;
    auto tail = percent_decode(std::string_view(request.path).substr(length));
    CHECK(tail.has_value());
    handler(std::make_shared<const HttpCall>(exchange, options_, std::move(*tail)));
    return true;
  }
  const bool options = request.method == "OPTIONS";
  auto response = HttpResponse::text(
      options ? 200 : 405, options ? std::string() : "method " + request.method + " not allowed");
  response.headers.emplace_back("Allow", route->allow);
  HttpCall(exchange, options_, {}).respond(std::move(response));
  return true;
}

void HttpRouter::not_found(const std::shared_ptr<HttpExchange>& exchange) const {
  if (refuse(exchange)) return;
  HttpCall(exchange, options_, {}).text(404, "");
}

}  // namespace fyr::io
