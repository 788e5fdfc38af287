// The words of a command that talks to a running agent: flags as Consul's (-name=value or
// -name value, one dash or two), other words in order.
//
// Errors are InvalidArgument and name the argument.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/http_client.h"

namespace fyr::app {

struct Arguments {
  std::map<std::string, std::string> flags;
  std::vector<std::string> words;

  bool has(const std::string& name) const { return flags.contains(name); }
  std::string get(const std::string& name, const std::string& otherwise = {}) const {
    const auto found = flags.find(name);
    return found == flags.end() ? otherwise : found->second;
  }
};

// `valued`: flags that take a value; `bare`: flags that need none ("-stale", "-stale=false").
// -http-addr, -token and -stale are known everywhere.
Result<Arguments> parse_arguments(const std::vector<std::string>& arguments,
                                  std::set<std::string> valued = {},
                                  std::set<std::string> bare = {});

// To the agent at -http-addr, FYR_HTTP_ADDR, CONSUL_HTTP_ADDR, else 127.0.0.1:8500, with the token
// of -token, FYR_HTTP_TOKEN or CONSUL_HTTP_TOKEN.
Result<io::HttpClientRequest> agent_request(const Arguments& arguments, std::string target);

// The body of a 200 answer; else an error with the answer's text.
Result<std::string> ask_agent(const Arguments& arguments, const std::string& method,
                              std::string target, std::string body = {});
// The same for what takes long and may be large, up to 1 GiB and an hour.
Result<std::string> ask_agent_at_length(const Arguments& arguments, const std::string& method,
                                        std::string target, std::string body = {});

}  // namespace fyr::app
