#include "app/cli/arguments.h"

#include <cstdlib>

#include "base/net_address.h"

namespace fyr::app {

namespace {

constexpr std::size_t kMaxBody = 64u << 20;

std::string from_environment(const char* ours, const char* consuls, std::string otherwise) {
  // NOLINTBEGIN(concurrency-mt-unsafe): a command has one thread
  if (const char* given = std::getenv(ours)) return given;
  if (const char* given = std::getenv(consuls)) return given;
  // NOLINTEND(concurrency-mt-unsafe)
  return otherwise;
}

}  // namespace

Result<Arguments> parse_arguments(const std::vector<std::string>& arguments,
                                  std::set<std::string> valued, std::set<std::string> bare) {
  for (const char* name : {"http-addr", "token"}) valued.insert(name);
  bare.insert("stale");
  Arguments out;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string word = arguments[i];
    if (word.size() < 2 || word[0] != '-') {
      out.words.push_back(std::move(word));
      continue;
    }
    word.erase(0, word.starts_with("--") ? 2 : 1);
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (!valued.contains(name) && !bare.contains(name)) {
      return fail(ErrorCode::InvalidArgument, "unknown argument: " + arguments[i]);
    }
    if (equals != std::string::npos) {
      out.flags[name] = word.substr(equals + 1);
    } else if (bare.contains(name)) {
      out.flags[name] = "true";
    } else if (i + 1 < arguments.size()) {
      out.flags[name] = arguments[++i];
    } else {
      return fail(ErrorCode::InvalidArgument, "-" + name + ": needs a value");
    }
  }
  return out;
}

Result<io::HttpClientRequest> agent_request(const Arguments& arguments, std::string target) {
  std::string address = arguments.get(
      "http-addr", from_environment("FYR_HTTP_ADDR", "CONSUL_HTTP_ADDR", "127.0.0.1:8500"));
  io::HttpClientRequest request;
  request.target = std::move(target);
  request.max_body_bytes = kMaxBody;
  const std::string token =
      arguments.get("token", from_environment("FYR_HTTP_TOKEN", "CONSUL_HTTP_TOKEN", ""));
  if (!token.empty()) request.headers.emplace_back("X-Consul-Token", token);
  if (address.starts_with("unix://")) {
    request.host = address.substr(7);
    return request;
  }
  if (address.starts_with("http://")) address = address.substr(7);
  auto parsed = parse_host_port(address, 8500);
  if (!parsed) return parsed.error();
  request.host = parsed->host;
  request.port = parsed->port;
  return request;
}

namespace {

Result<std::string> ask(Result<io::HttpClientRequest> request, const std::string& method,
                        std::string body) {
  if (!request) return request.error();
  request->method = method;
  request->body = std::move(body);
  auto response = io::http_request_blocking(std::move(*request));
  if (!response) return response.error();
  if (response->status != 200) {
    return fail(ErrorCode::Internal,
                "Unexpected response code: " + std::to_string(response->status) + " (" +
                    response->body + ")");
  }
  return std::move(response->body);
}

}  // namespace

Result<std::string> ask_agent(const Arguments& arguments, const std::string& method,
                              std::string target, std::string body) {
  return ask(agent_request(arguments, std::move(target)), method, std::move(body));
}

Result<std::string> ask_agent_at_length(const Arguments& arguments, const std::string& method,
                                        std::string target, std::string body) {
  auto request = agent_request(arguments, std::move(target));
  if (request) {
    request->timeout = std::chrono::hours(1);
    request->max_body_bytes = std::size_t{1} << 30;
  }
  return ask(std::move(request), method, std::move(body));
}

}  // namespace fyr::app
