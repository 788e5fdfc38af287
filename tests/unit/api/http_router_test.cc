#include "base/io/http_router.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace fyr::io {
namespace {

class FakeExchange : public HttpExchange {
 public:
  FakeExchange(std::string method, std::string path, std::string query, HttpHeaders headers) {
    request_.method = std::move(method);
    request_.path = std::move(path);
    request_.query = std::move(query);
    request_.headers = std::move(headers);
  }
  const HttpRequest& request() const override { return request_; }
  int thread() const override { return 0; }
  void respond(HttpResponse response) override {
    ++answers;
    answer = std::move(response);
  }
  void on_abandoned(std::function<void()>) override {}
  void begin_stream(HttpResponse) override {}
  bool write_chunk(std::string) override { return false; }
  void end_stream() override {}

  std::string body() const { return answer.body ? *answer.body : ""; }
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : answer.headers) {
      if (key == name) return value;
    }
    return "(none)";
  }
  void set_body(std::string text) { request_.body = std::move(text); }

  HttpResponse answer;
  int answers = 0;

 private:
  HttpRequest request_;
};

using ExchangePtr = std::shared_ptr<FakeExchange>;

ExchangePtr ask(const HttpRouter& router, std::string method, std::string path,
                std::string query = "", HttpHeaders headers = {}) {
  auto exchange = std::make_shared<FakeExchange>(std::move(method), std::move(path),
                                                 std::move(query), std::move(headers));
  if (!router.handle(exchange)) router.not_found(exchange);
  EXPECT_EQ(exchange->answers, 1);
  return exchange;
}

HttpRouter sample(RouterOptions options = {}) {
  HttpRouter router(std::move(options));
  router.add("GET", "/v1/nodes", [](HttpCallPtr call) { call->json("{\"a\":[1]}"); });
  for (const auto* method : {"GET", "PUT", "DELETE"}) {
    router.add(method, "/v1/kv/", [](HttpCallPtr call) { call->text(200, call->tail()); });
  }
  router.add("GET", "/v1/kv/deeper/", [](HttpCallPtr call) { call->text(200, "deeper"); });
  router.add("GET", "/v1/large",
             [](HttpCallPtr call) { call->json("\"" + std::string(5000, 'x') + "\""); });
  return router;
}

ReadParams params_of(const std::string& query, HttpHeaders headers = {}) {
  auto exchange = std::make_shared<FakeExchange>("GET", "/", query, std::move(headers));
  auto params =
      parse_read_params(HttpCall(exchange, std::make_shared<const RouterOptions>(), std::string()));
  EXPECT_TRUE(params) << query;
  return params ? *params : ReadParams{};
}

std::string params_error(const std::string& query, HttpHeaders headers = {}) {
  auto exchange = std::make_shared<FakeExchange>("GET", "/", query, std::move(headers));
  auto params =
      parse_read_params(HttpCall(exchange, std::make_shared<const RouterOptions>(), std::string()));
  return params ? "" : params.error().message;
}

TEST(HttpRouter, NamesTheAllowedMethodsOfAPath) {
  const auto router = sample();
  auto refused = ask(router, "POST", "/v1/kv/a");
  EXPECT_EQ(refused->answer.status, 405);
  EXPECT_EQ(refused->header("Allow"), "OPTIONS,GET,PUT,DELETE");
  EXPECT_EQ(refused->body(), "method POST not allowed");
  EXPECT_EQ(ask(router, "HEAD", "/v1/nodes")->answer.status, 405);
  auto options = ask(router, "OPTIONS", "/v1/nodes");
  EXPECT_EQ(options->answer.status, 200);
  EXPECT_EQ(options->header("Allow"), "OPTIONS,GET");
}

TEST(HttpRouter, FindsExactPathsAndTheLongestPrefix) {
  const auto router = sample();
  EXPECT_EQ(ask(router, "GET", "/v1/kv/deeper/x")->body(), "deeper");
  EXPECT_EQ(ask(router, "GET", "/v1/kv/deep")->body(), "deep");
  EXPECT_EQ(ask(router, "GET", "/v1/nodes/extra")->answer.status, 404);
  EXPECT_EQ(ask(router, "GET", "/v1")->answer.status, 404);
  auto moved = ask(router, "GET", "/v1/kv", "recurse");
  EXPECT_EQ(moved->answer.status, 301);
  EXPECT_EQ(moved->header("Location"), "/v1/kv/?recurse");
}

TEST(HttpRouter, DecodesThePathOnce) {
  const auto router = sample();
  EXPECT_EQ(ask(router, "GET", "/v1/kv/a%2Fb%20c")->body(), "a/b c");
  EXPECT_EQ(ask(router, "GET", "/v1/kv/a%252Fb")->body(), "a%2Fb");
  EXPECT_EQ(ask(router, "GET", "/v1/kv/plus+sign/")->body(), "plus+sign/");
  EXPECT_EQ(ask(router, "GET", "/v1/kv/%C3%A5")->body(), "\xc3\xa5");
}

TEST(HttpRouter, RefusesControlCharactersAndBadEscapes) {
  const auto router = sample();
  for (const auto* path : {"/v1/kv/%01bad", "/v1/kv/a%00b", "/v1/kv/%7f", "/v1/kv/%C2%85",
                           "/v1/kv/%zz", "/v1/kv/%4"}) {
    EXPECT_EQ(ask(router, "GET", path)->answer.status, 400) << path;
  }
}

TEST(HttpRouter, AddsConfiguredHeadersToEveryAnswer) {
  RouterOptions options;
  options.response_headers = {{"X-Custom", "yes"}};
  options.block_endpoints = {"/v1/nodes"};
  const auto router = sample(std::move(options));
  for (const auto* path : {"/v1/kv/a", "/v1/nodes", "/v1/nope", "/v1/kv/%01"}) {
    EXPECT_EQ(ask(router, "GET", path)->header("X-Custom"), "yes") << path;
  }
  EXPECT_EQ(ask(router, "OPTIONS", "/v1/kv/a")->header("X-Custom"), "yes");
  auto blocked = ask(router, "GET", "/v1/nodes");
  EXPECT_EQ(blocked->answer.status, 403);
  EXPECT_EQ(blocked->header("Vary"), "Accept-Encoding");
  EXPECT_EQ(blocked->header("X-Consul-Default-ACL-Policy"), "allow");
}

TEST(HttpRouter, BlocksAPathInEverySpelling) {
  RouterOptions options;
  options.block_endpoints = {"/v1/kv/secret"};
  const auto router = sample(std::move(options));
  EXPECT_EQ(ask(router, "GET", "/v1/kv/secret/a")->answer.status, 403);
  EXPECT_EQ(ask(router, "PUT", "/v1/kv/s%65cret")->answer.status, 403);
  EXPECT_EQ(ask(router, "GET", "/v1/kv/other")->answer.status, 200);
}

TEST(HttpRouter, IndentsWhenAskedAndCompressesLargeBodies) {
  const auto router = sample();
  EXPECT_EQ(ask(router, "GET", "/v1/nodes", "pretty")->body(),
            "{\n    \"a\": [\n        1\n    ]\n}\n");
  EXPECT_EQ(ask(router, "GET", "/v1/nodes")->body(), "{\"a\":[1]}");
  auto packed = ask(router, "GET", "/v1/large", "", {{"Accept-Encoding", "deflate, gzip;q=1"}});
  EXPECT_EQ(packed->header("Content-Encoding"), "gzip");
  EXPECT_LT(packed->body().size(), 500u);
  auto small = ask(router, "GET", "/v1/nodes", "", {{"Accept-Encoding", "gzip"}});
  EXPECT_EQ(small->header("Content-Encoding"), "(none)");
  auto refused = ask(router, "GET", "/v1/large", "", {{"Accept-Encoding", "gzip;q=0"}});
  EXPECT_EQ(refused->header("Content-Encoding"), "(none)");
}

TEST(HttpRouter, ReadsTheQueryAsGoDoes) {
  const auto query = QueryParams::parse("recurse&tag=a&tag=b%20c&x=1+2&bad=%zz&empty=&=v");
  EXPECT_TRUE(query.has("recurse"));
  EXPECT_TRUE(query.has("empty"));
  EXPECT_FALSE(query.has("bad"));
  EXPECT_EQ(query.get("x"), "1 2");
  EXPECT_EQ(query.all("tag"), (std::vector<std::string_view>{"a", "b c"}));
  EXPECT_EQ(query.get("none"), "");
}

TEST(HttpRouter, ReadsTheParametersOfReads) {
  const auto params = params_of("index=42&wait=1m30s&stale&dc=dc2&hash=h");
  EXPECT_EQ(params.index, 42u);
  EXPECT_EQ(params.wait, std::chrono::seconds(90));
  EXPECT_EQ(params.consistency, ReadParams::Consistency::Stale);
  EXPECT_EQ(params.datacenter, "dc2");
  EXPECT_EQ(params.hash, "h");
  EXPECT_EQ(params_of("index=&wait=").index, 0u);
  EXPECT_EQ(params_of("consistent").consistency, ReadParams::Consistency::Consistent);
}

TEST(HttpRouter, NamesWhatIsWrongWithTheParametersOfReads) {
  for (const auto* bad : {"index=abc", "index=-1", "index=1.5", "index=99999999999999999999"}) {
    EXPECT_EQ(params_error(bad), "Invalid index") << bad;
  }
  for (const auto* bad : {"wait=abc", "wait=10", "index=1&wait=1x"}) {
    EXPECT_EQ(params_error(bad), "Invalid wait time") << bad;
  }
  EXPECT_NE(params_error("stale&consistent").find("conflicting"), std::string::npos);
  EXPECT_NE(params_error("cached&consistent").find("conflicting"), std::string::npos);
  EXPECT_EQ(params_error("cached", {{"Cache-Control", "max-age=abc"}}),
            "Invalid Cache-Control header.");
  EXPECT_EQ(params_error("cached", {{"Cache-Control", "max-age=10, must-revalidate"}}), "");
}

TEST(HttpRouter, BoundsWaitsAndSpreadsThem) {
  using std::chrono::seconds;
  const auto standard = seconds(300);
  const auto longest = seconds(600);
  EXPECT_EQ(effective_wait(seconds(16), standard, longest, 0), seconds(16));
  EXPECT_EQ(effective_wait(seconds(0), standard, longest, 0), standard);
  EXPECT_EQ(effective_wait(seconds(-5), standard, longest, 0), standard);
  EXPECT_EQ(effective_wait(std::chrono::hours(99), standard, longest, 0), longest);
  for (std::uint64_t random = 0; random < 1000; ++random) {
    const auto wait = effective_wait(seconds(16), standard, longest, random * 7'777'777'777u);
    EXPECT_GE(wait, seconds(16));
    EXPECT_LE(wait, seconds(17));
  }
}

TEST(HttpRouter, FindsTheTokenWhereClientsPutIt) {
  const auto token = [](std::string query, HttpHeaders headers) {
    auto exchange = std::make_shared<FakeExchange>("GET", "/", query, std::move(headers));
    return std::string(
        HttpCall(exchange, std::make_shared<const RouterOptions>(), std::string()).token());
  };
  EXPECT_EQ(token("token=q", {{"X-Consul-Token", "h"}}), "q");
  EXPECT_EQ(token("", {{"X-Consul-Token", "h"}}), "h");
  EXPECT_EQ(token("", {{"Authorization", "Bearer b"}}), "b");
  EXPECT_EQ(token("", {{"Authorization", "Basic b"}}), "");
}

TEST(HttpRouter, ReadsTheFirstJsonValueOfABody) {
  const auto body = [](std::string text) {
    auto exchange = std::make_shared<FakeExchange>("PUT", "/", "", HttpHeaders{});
    exchange->set_body(std::move(text));
    return HttpCall(exchange, std::make_shared<const RouterOptions>(), std::string()).body_json();
  };
  EXPECT_TRUE(body("{\"a\":1}"));
  auto trailing = body("{\"a\":1} trailing");
  ASSERT_TRUE(trailing) << trailing.error().message;
  EXPECT_TRUE(trailing->is_object());
  EXPECT_EQ(body("").error().message, "Request decode failed: EOF");
  EXPECT_EQ(body("{not json").error().message,
            "Request decode failed: invalid character 'n' looking for beginning of object key "
            "string");
}

}  // namespace
}  // namespace fyr::io
