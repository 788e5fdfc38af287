#include "server/api/config_schema.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace fyr::server {
namespace {

// The entry's JSON, or why it is refused.
std::string keep(const char* text) {
  const auto entry = decode_config_entry(boost::json::parse(text));
  if (!entry) return entry.error().message;
  if (const auto good = check_config_entry(*entry); !good) return good.error().message;
  return entry->json();
}

TEST(ConfigSchema, ServiceDefaultsAreShownAsConsulShowsThem) {
  EXPECT_EQ(
      keep(
          R"({"Kind":"service-defaults","Name":"web","Protocol":"http","Meta":{"b":"2","a":"1"}})"),
      R"({"Kind":"service-defaults","Name":"web","Protocol":"http","TransparentProxy":{},)"
      R"("MeshGateway":{},"Expose":{},"Meta":{"a":"1","b":"2"}})");
}

TEST(ConfigSchema, NamesAreTakenInEitherSpelling) {
  EXPECT_EQ(keep(R"({"kind":"service-defaults","name":"web","mesh_gateway":{"mode":"local"}})"),
            R"({"Kind":"service-defaults","Name":"web","Protocol":"","TransparentProxy":{},)"
            R"("MeshGateway":{"Mode":"local"},"Expose":{}})");
}

TEST(ConfigSchema, TheProxysDefaultsAreAlwaysGlobal) {
  EXPECT_EQ(keep(R"({"Kind":"proxy-defaults","Name":"other"})"),
            R"({"Kind":"proxy-defaults","Name":"global","Config":null,"TransparentProxy":{},)"
            R"("MeshGateway":{},"Expose":{}})");
}

TEST(ConfigSchema, WhatIsNoEntryIsRefusedByName) {
  EXPECT_EQ(keep(R"({"Name":"x"})"), "Payload does not contain a kind/Kind key at the top level");
  EXPECT_EQ(keep(R"({"Kind":"nope","Name":"x"})"), "invalid config entry kind: nope");
  EXPECT_EQ(keep(R"({"Kind":"service-defaults"})"), "Name is required");
  EXPECT_EQ(keep(R"({"Kind":"service-defaults","Name":"x","Wrong":1})"),
            "invalid config key \"Wrong\"");
  EXPECT_EQ(keep(R"({"Kind":"service-defaults","Name":"x","Expose":{"Wrong":1}})"),
            "invalid config key \"Expose.Wrong\"");
  EXPECT_EQ(keep(R"({"Kind":"service-defaults","Name":"x","Protocol":1})"),
            "'Protocol' expected type 'string'");
}

TEST(ConfigSchema, SplitsAddUpToAHundred) {
  EXPECT_EQ(keep(R"({"Kind":"service-splitter","Name":"x"})"), "no splits configured");
  EXPECT_EQ(keep(R"({"Kind":"service-splitter","Name":"x","Splits":[{"Weight":60},
                     {"Weight":30,"Service":"y"}]})"),
            "the sum of all split weights must be 100, not 90.000000");
  EXPECT_EQ(keep(R"({"Kind":"service-splitter","Name":"x","Splits":[{"Weight":50},
                     {"Weight":50,"Service":"x"}]})"),
            "split destination occurs more than once: service=\"x\", subset=\"\"");
  EXPECT_EQ(keep(R"({"Kind":"service-splitter","Name":"x","splits":[{"weight":90},
                     {"weight":10,"service_subset":"v2"}]})"),
            R"({"Kind":"service-splitter","Name":"x","Splits":[{"Weight":90},)"
            R"({"Weight":10,"ServiceSubset":"v2"}]})");
}

TEST(ConfigSchema, AResolverNamesOnlySubsetsItHas) {
  EXPECT_EQ(keep(R"({"Kind":"service-resolver","Name":"x","DefaultSubset":"v1"})"),
            "DefaultSubset \"v1\" is not a valid subset");
  EXPECT_EQ(
      keep(R"({"Kind":"service-resolver","Name":"x","ConnectTimeout":"15s","DefaultSubset":"v1",
                     "Subsets":{"v1":{"Filter":"Service.Meta.version == v1"}}})"),
      R"({"Kind":"service-resolver","Name":"x","DefaultSubset":"v1",)"
      R"("Subsets":{"v1":{"Filter":"Service.Meta.version == v1"}},"ConnectTimeout":"15s"})");
  EXPECT_NE(keep(R"({"Kind":"service-resolver","Name":"x","Subsets":{"v1":{"Filter":"Nope =="}}})")
                .find("Filter for subset \"v1\" is not a valid expression"),
            std::string::npos);
  EXPECT_NE(keep(R"({"Kind":"service-resolver","Name":"x","Failover":{"v9":{"Service":"y"}}})")
                .find("not a valid subset"),
            std::string::npos);
}

TEST(ConfigSchema, ARouteMatchesByOnePathAtMost) {
  EXPECT_EQ(keep(R"({"Kind":"service-router","Name":"x","Routes":[{"Match":{"HTTP":
                     {"PathExact":"/a","PathPrefix":"/b"}}}]})"),
            "Route[0] should only contain at most one of PathExact, PathPrefix, or PathRegex");
  EXPECT_EQ(keep(R"({"Kind":"service-router","Name":"x","Routes":[{"Match":{"HTTP":
                     {"PathPrefix":"b"}}}]})"),
            "Route[0] PathPrefix doesn't start with '/': \"b\"");
}

}  // namespace
}  // namespace fyr::server
