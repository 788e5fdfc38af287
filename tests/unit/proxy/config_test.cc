#include "proxy/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace fyr::proxy {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ProxyConfig decode(const std::string& json, std::vector<std::string>& errors) {
  auto value = parse_json(json);
  EXPECT_TRUE(value);
  return decode_proxy_config(*value, "proxy", errors);
}

std::vector<std::string> errors_of(const std::string& json) {
  std::vector<std::string> errors;
  decode(json, errors);
  return errors;
}

std::string listener(const std::string& more) {
  return R"({"listeners":[{"name":"a","destination_name":"a","local_bind_port":9105)" +
         (more.empty() ? "" : "," + more) + "}]}";
}

TEST(ProxyConfig, SeedScenarioIsComplete) {
  std::vector<std::string> errors;
  const auto config = decode(
      R"({"listeners":[{"name":"inventory","destination_name":"inventory","local_bind_port":9105}]})",
      errors);
  EXPECT_THAT(errors, ElementsAre());
  ASSERT_EQ(config.listeners.size(), 1u);
  const auto& l = config.listeners[0];
  EXPECT_EQ(l.local_bind_address, "127.0.0.1");
  EXPECT_EQ(l.protocol, Protocol::Http);
  EXPECT_EQ(l.timeouts.connect, std::chrono::milliseconds(500));
  EXPECT_EQ(l.timeouts.client, std::chrono::seconds(5));
  EXPECT_EQ(l.timeouts.server, std::chrono::seconds(5));
  EXPECT_EQ(l.retries.attempts, 3);
  EXPECT_TRUE(l.retries.redispatch);
  EXPECT_EQ(l.limits.maxconn, 4096);
  EXPECT_EQ(l.health_check.type, CheckType::Http);
  EXPECT_EQ(l.health_check.path, "/health");
  EXPECT_EQ(l.health_check.interval, std::chrono::seconds(2));
  EXPECT_EQ(l.health_check.rise, 2);
  EXPECT_EQ(l.health_check.fall, 3);
}

TEST(ProxyConfig, EveryKeyIsRead) {
  std::vector<std::string> errors;
  const auto config = decode(
      R"({"defaults":{"timeouts":{"connect":"250ms"},"headers":{"via":"off"}},
          "listeners":[{"name":"a","destination_name":"b","destination_type":"static",
          "local_bind_address":"0.0.0.0","expose":true,"local_bind_port":1,"protocol":"tcp",
          "balance":"roundrobin","only_passing":true,
          "timeouts":{"client":"1m","server":2000000000},
          "retries":{"attempts":1,"redispatch":"never","body_buffer":0,
                     "budget":{"ratio":0.5,"min_per_sec":3,"window":"5s"}},
          "limits":{"maxconn":10,"endpoint_max_connections":7,"header_count":50},
          "outlier":{"connect":3,"max_percent":100},"stall":{"enabled":false},
          "health_check":{"type":"tcp","interval":"3s","timeout":"2s","rise":4,"fall":5,
                          "fast_interval":"100ms","expect":"200-204"},
          "access_log":{"target":"file","path":"/tmp/x.log"},
          "endpoints":["127.0.0.1:80",{"name":"n","address":"::1","port":81,"weight":9}]}]})",
      errors);
  EXPECT_THAT(errors, ElementsAre());
  const auto& l = config.listeners.at(0);
  EXPECT_EQ(l.protocol, Protocol::Tcp);
  EXPECT_EQ(l.timeouts.connect, std::chrono::milliseconds(250));
  EXPECT_EQ(l.timeouts.client, std::chrono::minutes(1));
  EXPECT_EQ(l.timeouts.server, std::chrono::seconds(2));
  EXPECT_FALSE(l.retries.redispatch);
  EXPECT_EQ(l.retries.budget_ratio, 0.5);
  EXPECT_EQ(l.limits.maxconn, 10);
  EXPECT_EQ(l.outlier.max_percent, 100);
  EXPECT_FALSE(l.stall.enabled);
  EXPECT_EQ(l.health_check.expect_high, 204);
  EXPECT_EQ(l.access_log.target, LogTarget::File);
  EXPECT_FALSE(l.via);
  ASSERT_EQ(l.endpoints.size(), 2u);
  EXPECT_EQ(l.endpoints[0].name, "127.0.0.1:80");
  EXPECT_EQ(l.endpoints[1].weight, 9);
}

TEST(ProxyConfig, AllErrorsAreReportedAtOnceWithTheirPaths) {
  const auto errors = errors_of(
      R"({"listenerz":1,"listeners":[{"destination_name":"a","local_bind_port":70000,
          "timeouts":{"connect":"fast","client":"-1s","servr":"5s"},
          "health_check":{"rise":0,"path":"health"},"protocol":"spdy"},
         {"name":"b","destination_name":"b","local_bind_port":"80","retries":[]}]})");
  for (const char* path :
       {"proxy.listenerz: unknown key", "proxy.listeners[0].name: is required",
        "proxy.listeners[0].local_bind_port: must be between 1 and 65535",
        "proxy.listeners[0].timeouts.connect: ", "proxy.listeners[0].timeouts.client: must be",
        "proxy.listeners[0].timeouts.servr: unknown key",
        "proxy.listeners[0].health_check.rise: must be between",
        "proxy.listeners[0].health_check.path: must start with /",
        "proxy.listeners[0].protocol: \"spdy\" is not one of http, tcp",
        "proxy.listeners[1].local_bind_port: ", "proxy.listeners[1].retries: must be an object"}) {
    EXPECT_THAT(errors, Contains(StartsWith(path)));
  }
}

TEST(ProxyConfig, DuplicatesAreRefused) {
  const auto errors = errors_of(
      R"({"listeners":[{"name":"a","destination_name":"a","local_bind_port":1},
                       {"name":"a","destination_name":"b","local_bind_port":1}]})");
  EXPECT_THAT(errors, Contains(HasSubstr("listeners[1].name: \"a\" is the name of")));
  EXPECT_THAT(errors, Contains(HasSubstr("listeners[1].local_bind_port: 1 is taken by \"a\"")));
}

TEST(ProxyConfig, ContradictionsAreRefused) {
  EXPECT_THAT(errors_of(listener(R"("local_bind_address":"0.0.0.0")")),
              ElementsAre(HasSubstr("needs \"expose\": true")));
  EXPECT_THAT(errors_of(listener(R"("local_bind_address":"localhost")")),
              ElementsAre(HasSubstr("is not an IP address")));
  EXPECT_THAT(errors_of(listener(R"("destination_type":"static")")),
              ElementsAre(HasSubstr("endpoints: is required")));
  EXPECT_THAT(errors_of(listener(R"("endpoints":["127.0.0.1:1"])")),
              ElementsAre(HasSubstr("endpoints: is only for")));
  EXPECT_THAT(errors_of(listener(R"("access_log":{"target":"file"})")),
              ElementsAre(HasSubstr("access_log.path: is required")));
  EXPECT_THAT(errors_of(listener(R"("access_log":{"target":"none","path":"/x"})")),
              ElementsAre(HasSubstr("access_log.path: is only for")));
  EXPECT_THAT(errors_of(listener(R"("protocol":"tcp","limits":{"max_body":5})")),
              ElementsAre(HasSubstr("limits.max_body: is only for protocol http")));
  EXPECT_THAT(errors_of(listener(R"("timeouts":{"connect":"20s"})")),
              ElementsAre(HasSubstr("timeouts.connect: must not exceed")));
  EXPECT_THAT(errors_of(listener(R"("balance":"fastest")")),
              ElementsAre(HasSubstr("balance: \"fastest\" is not one of roundrobin")));
  EXPECT_THAT(errors_of(listener(R"("outlier":{"max_percent":101})")),
              ElementsAre(HasSubstr("outlier.max_percent: must be between 0 and 100")));
  EXPECT_THAT(errors_of(listener(R"("destination_type":"static","endpoints":["a","b:0"])")),
              Contains(HasSubstr("endpoints[0]: must be \"host:port\"")));
  EXPECT_THAT(errors_of(listener(R"("health_check":{"expect":"20x"})")),
              ElementsAre(HasSubstr("health_check.expect: must be a status or a range")));
}

TEST(ProxyConfig, ResultFormJoinsTheErrors) {
  const auto value = parse_json(R"({"listeners":5,"x":1})");
  const auto result = decode_proxy_config(*value);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::InvalidArgument);
  EXPECT_THAT(result.error().message, HasSubstr("proxy.listeners: must be a list"));
  EXPECT_THAT(result.error().message, HasSubstr("proxy.x: unknown key"));
  EXPECT_FALSE(decode_proxy_config(*parse_json("[]")));
  EXPECT_TRUE(decode_proxy_config(*parse_json("{}")));
}

TEST(ProxyConfig, EveryKeyOfTheChoiceIsRead) {
  std::vector<std::string> errors;
  const auto config =
      decode(listener(R"("protocol":"tcp","balance":"first","prefer_tags":["primary","standby"],
          "subset":{"tags":"v2","meta":{"k":"v"},"filter":"Service.Meta.k == v"},
          "allowed_sites":["oslo"],"datacenter":["oslo","frankfurt"],
          "locality":{"overprovision":2},
          "slow_start":{"window":"5s","aggression":2,"min_percent":20},
          "drain":{"deadline":"10s","on_down":"shutdown-sessions"})"),
             errors);
  EXPECT_THAT(errors, ElementsAre());
  const auto& l = config.listeners.at(0);
  EXPECT_EQ(l.balance, Balance::First);
  EXPECT_THAT(l.prefer_tags, ElementsAre("primary", "standby"));
  EXPECT_THAT(l.subset.tags, ElementsAre("v2"));
  EXPECT_EQ(l.subset.meta.at("k"), "v");
  EXPECT_EQ(l.subset.filter, "Service.Meta.k == v");
  EXPECT_THAT(l.allowed_sites, ElementsAre("oslo"));
  EXPECT_THAT(l.locality.order, ElementsAre("oslo", "frankfurt"));
  EXPECT_EQ(l.locality.overprovision, 2);
  EXPECT_EQ(l.slow_start.window, std::chrono::seconds(5));
  EXPECT_EQ(l.slow_start.aggression, 2);
  EXPECT_EQ(l.slow_start.min_percent, 20);
  EXPECT_EQ(l.drain.deadline, std::chrono::seconds(10));
  EXPECT_EQ(l.drain.on_down, OnDown::Any);
}

TEST(ProxyConfig, WordsOfHaproxyAndConsulForBalance) {
  const auto read = [](const std::string& more) {
    std::vector<std::string> errors;
    auto config = decode(listener(more), errors);
    EXPECT_THAT(errors, ElementsAre()) << more;
    return config.listeners.at(0);
  };
  EXPECT_EQ(read(R"("balance":"uri")").balance, Balance::RingHash);
  EXPECT_EQ(read(R"("balance":"uri")").hash_on, HashOn::Path);
  EXPECT_EQ(read(R"j("balance":"hdr(X-User)")j").hash_name, "x-user");
  EXPECT_EQ(read(R"("balance":"round_robin")").balance, Balance::RoundRobin);
  const auto cookie = read(R"("balance":"maglev","hash_on":"cookie:Session")");
  EXPECT_EQ(cookie.hash_on, HashOn::Cookie);
  EXPECT_EQ(cookie.hash_name, "Session");
}

TEST(ProxyConfig, WhatCannotStandTogetherInTheChoiceIsNamed) {
  const auto one = [](const std::string& more, const std::string& field) {
    const auto errors = errors_of(listener(more));
    EXPECT_THAT(errors, ElementsAre(StartsWith("proxy.listeners[0]." + field + ": "))) << more;
  };
  one(R"("balance":"fastest")", "balance");
  one(R"("balance":"ring_hash")", "hash_on");
  one(R"("hash_on":"path")", "hash_on");
  one(R"("balance":"maglev","hash_on":"header:")", "hash_on");
  one(R"("protocol":"tcp","balance":"maglev","hash_on":"path")", "hash_on");
  one(R"("protocol":"tcp","balance":"ewma")", "balance");
  one(R"("prefer_tags":["a"])", "prefer_tags");
  one(R"("subset":{"filter":"Nonsense == 1"})", "subset.filter");
  one(R"("allowed_sites":[""])", "allowed_sites");
  one(R"("datacenter":"a","locality":{"order":["b"]})", "datacenter");
  one(R"("locality":{"overprovision":0})", "locality.overprovision");
  one(R"("slow_start":{"min_percent":0})", "slow_start.min_percent");
  one(R"("drain":{"on_down":"explode"})", "drain.on_down");
}

}  // namespace
}  // namespace fyr::proxy
