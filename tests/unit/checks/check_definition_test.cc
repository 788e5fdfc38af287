#include <gtest/gtest.h>

#include "agent/checks/definition.h"

namespace fyr::agent {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

pb::CheckDefinition http_every(std::int64_t interval) {
  pb::CheckDefinition definition;
  definition.set_http("http://127.0.0.1/");
  definition.set_interval_ns(interval);
  return definition;
}

std::string refusal(const pb::CheckDefinition& definition) {
  auto plan = plan_check(definition);
  return plan ? "accepted" : plan.error().message;
}

TEST(CheckDefinition, RefusalsAreInTheWordsClientsKnow) {
  pb::CheckDefinition none;
  EXPECT_EQ(refusal(none), "TTL must be > 0 for TTL checks");
  pb::CheckDefinition both = http_every(kSecond);
  both.set_ttl_ns(kSecond);
  EXPECT_EQ(refusal(both), "Interval and TTL cannot both be specified");
  EXPECT_EQ(refusal(http_every(0)), "Interval must be > 0 for Script, HTTP, H2PING, or TCP checks");
  pb::CheckDefinition alias;
  alias.set_alias_service("web");
  alias.set_interval_ns(kSecond);
  EXPECT_EQ(refusal(alias), "Interval cannot be set for Alias checks");
  alias.set_interval_ns(0);
  alias.set_ttl_ns(kSecond);
  EXPECT_EQ(refusal(alias), "TTL must be not be set for Alias checks");
  pb::CheckDefinition size = http_every(kSecond);
  size.set_output_max_size(-1);
  EXPECT_EQ(refusal(size), "MaxOutputMaxSize must be positive");
}

TEST(CheckDefinition, TwoKindsInOneAreRefused) {
  pb::CheckDefinition two = http_every(kSecond);
  two.set_tcp("127.0.0.1:1");
  EXPECT_NE(refusal(two).find("more than one kind"), std::string::npos);
}

TEST(CheckDefinition, WarningThresholdAboveTheCriticalOneIsRefused) {
  pb::CheckDefinition definition = http_every(kSecond);
  definition.set_failures_before_critical(2);
  definition.set_failures_before_warning(3);
  EXPECT_NE(refusal(definition), "accepted");
  definition.set_failures_before_warning(2);
  EXPECT_EQ(refusal(definition), "accepted");
}

TEST(CheckDefinition, ShortTimesAreRaisedToTheirFloor) {
  pb::CheckDefinition definition = http_every(kSecond / 10);
  definition.set_deregister_critical_after_ns(kSecond);
  const auto plan = plan_check(definition);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->rules.interval, std::chrono::seconds(1));
  EXPECT_EQ(plan->rules.deregister_after, std::chrono::minutes(1));
}

TEST(CheckDefinition, DefaultTimeoutsDependOnTheKind) {
  EXPECT_EQ(plan_check(http_every(kSecond))->timeout, std::chrono::seconds(10));
  pb::CheckDefinition script;
  script.add_script_args("/bin/true");
  script.set_interval_ns(60 * kSecond);
  EXPECT_EQ(plan_check(script)->timeout, std::chrono::seconds(30));
  EXPECT_EQ(plan_check(script)->kind, CheckKind::Script);
  script.set_timeout_ns(61 * kSecond);
  EXPECT_TRUE(plan_check(script)->slow_timeout);
}

TEST(CheckDefinition, KindsThatCannotRunAreRefusedByTheNameOfTheirField) {
  const auto refused_field = [](auto set) {
    pb::CheckDefinition definition;
    definition.set_interval_ns(kSecond);
    set(definition);
    const std::string text = refusal(definition);
    EXPECT_NE(text.find("not supported"), std::string::npos) << text;
    return text.substr(0, text.find(':'));
  };
  EXPECT_EQ(refused_field([](auto& d) { d.set_udp("127.0.0.1:1"); }), "UDP");
  EXPECT_EQ(refused_field([](auto& d) { d.set_h2ping("127.0.0.1:1"); }), "H2PING");
  EXPECT_EQ(refused_field([](auto& d) { d.set_os_service("cron"); }), "OSService");
  EXPECT_EQ(refused_field([](auto& d) {
              d.set_docker_container_id("x");
              d.add_script_args("/bin/true");
            }),
            "DockerContainerID");
}

TEST(CheckDefinition, IdsOfTheHouseAreReserved) {
  EXPECT_TRUE(is_reserved_check_id("serfHealth"));
  EXPECT_TRUE(is_reserved_check_id("_node_maintenance"));
  EXPECT_TRUE(is_reserved_check_id("_service_maintenance:web"));
  EXPECT_FALSE(is_reserved_check_id("service:web"));
}

}  // namespace
}  // namespace fyr::agent
