#include "proto/registry_json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace fyr {
namespace {

template <class F>
std::string written(F&& encode) {
  std::string out;
  JsonWriter writer(out);
  encode(writer);
  return out;
}

boost::json::value parsed(std::string_view text) {
  return boost::json::parse(text);
}

TEST(RegistryJson, ShowsAbsentMapsOfANodeAsNullAndEmptyOnesAsObjects) {
  pb::Node node;
  node.set_name("n1");
  node.set_address("10.0.0.1");
  node.set_create_index(3);
  node.set_modify_index(4);
  EXPECT_EQ(written([&](JsonWriter& out) { encode_node(out, node, "dc1"); }),
            R"({"ID":"","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1",)"
            R"("TaggedAddresses":null,"Meta":null,"CreateIndex":3,"ModifyIndex":4})");
  node.set_has_meta(true);
  EXPECT_NE(written([&](JsonWriter& out) { encode_node(out, node, "dc1"); }).find("\"Meta\":{}"),
            std::string::npos);
}

TEST(RegistryJson, ShowsTheDefaultsOfAServiceWithOnlyAName) {
  auto service = decode_service(parsed(R"({"Service":"plain"})"), "Service", UnknownFields::Refuse);
  ASSERT_TRUE(service);
  service->set_id("plain");
  EXPECT_EQ(written([&](JsonWriter& out) { encode_service(out, *service); }),
            R"({"ID":"plain","Service":"plain","Tags":[],"Address":"","Meta":null,)"
            R"("Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,)"
            R"("Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},)"
            R"("CreateIndex":0,"ModifyIndex":0})");
}

TEST(RegistryJson, KeepsEveryFieldOfAServiceThroughDecodeAndEncode) {
  const std::string given =
      R"({"Kind":"connect-proxy","ID":"p1","Service":"web","Tags":["a","b"],"Address":"10.2.0.1",)"
      R"("TaggedAddresses":{"lan":{"Address":"10.2.0.1","Port":8080}},"Meta":{"team":"a"},)"
      R"("Port":8080,"SocketPath":"/s","Weights":{"Passing":5,"Warning":2},)"
      R"("EnableTagOverride":true,"Proxy":{"DestinationServiceName":"db","Mode":"",)"
      R"("MeshGateway":{},"Expose":{}},"Connect":{"Native":true},"CreateIndex":0,"ModifyIndex":0})";
  auto service = decode_service(parsed(given), "Service", UnknownFields::Refuse);
  ASSERT_TRUE(service) << service.error().message;
  EXPECT_EQ(parsed(written([&](JsonWriter& out) { encode_service(out, *service); })),
            parsed(given));
}

TEST(RegistryJson, TakesOtherSpellingsOfFieldNames) {
  auto spec = decode_service_spec(parsed(R"({"id":"x","name":"y","enable_tag_override":true,
                 "tagged_addresses":{"lan":{"address":"1.2.3.4","port":9}},
                 "check":{"check_id":"c","ttl":"30s","deregister_critical_service_after":"10m"},
                 "checks":[{"args":["/bin/true"],"interval":"5s"}]})"),
                                  "", UnknownFields::Refuse);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->service.service(), "y");
  EXPECT_TRUE(spec->service.enable_tag_override());
  EXPECT_EQ(spec->service.tagged_addresses(0).address().port(), 9);
  ASSERT_EQ(spec->checks.size(), 2u);
  EXPECT_EQ(spec->checks[0].check.check_id(), "c");
  EXPECT_EQ(spec->checks[0].check.definition().ttl_ns(), 30'000'000'000);
  EXPECT_EQ(spec->checks[0].check.definition().deregister_critical_after_ns(), 600'000'000'000);
  EXPECT_EQ(spec->checks[1].check.definition().script_args(0), "/bin/true");
  EXPECT_FALSE(spec->has_weights);
}

TEST(RegistryJson, NamesUnknownFieldsAndWrongTypes) {
  const auto error = [](std::string_view text) {
    auto service = decode_service(parsed(text), "NodeService", UnknownFields::Refuse);
    return service ? "" : service.error().message;
  };
  EXPECT_EQ(error(R"({"Nope":1})"), "json: unknown field \"Nope\"");
  EXPECT_NE(error(R"({"Port":"80"})").find("Port"), std::string::npos);
  EXPECT_NE(error(R"({"Weights":{"Passing":"x"}})").find("Passing"), std::string::npos);
  EXPECT_NE(error(R"({"TaggedAddresses":[]})").find("TaggedAddresses"), std::string::npos);
  EXPECT_NE(error(R"({"Proxy":{"Wrong":1}})").find("Wrong"), std::string::npos);
  EXPECT_NE(error(R"("x")").find("NodeService"), std::string::npos);
  auto check = decode_check_spec(parsed(R"({"TTL":"xx"})"), "", UnknownFields::Refuse);
  ASSERT_FALSE(check);
  EXPECT_EQ(check.error().message, "time: invalid duration \"xx\"");
}

TEST(RegistryJson, ShowsOnlyTheGivenPartsOfACheckDefinition) {
  auto check = decode_check(parsed(R"({"CheckID":"d","Name":"d","Status":"critical","Type":"http",
                 "Definition":{"HTTP":"http://x","Interval":"5s","Timeout":"1s",
                 "DeregisterCriticalServiceAfter":"30s","Method":"GET","TLSSkipVerify":true,
                 "Header":{"X":["1"]}}})"),
                            "Check", UnknownFields::Refuse);
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_EQ(written([&](JsonWriter& out) { encode_check(out, *check); }),
            R"({"Node":"","CheckID":"d","Name":"d","Status":"critical","Notes":"","Output":"",)"
            R"("ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"http","Interval":"",)"
            R"("Timeout":"","ExposedPort":0,"Definition":{"Interval":"5s","Timeout":"1s",)"
            R"("DeregisterCriticalServiceAfter":"30s","HTTP":"http://x","TLSSkipVerify":true,)"
            R"("Header":{"X":["1"]},"Method":"GET"},"CreateIndex":0,"ModifyIndex":0})");
}

TEST(RegistryJson, ShowsKeyValuesInBase64AndEmptyOnesAsNull) {
  pb::KvPair pair;
  pair.set_key("a");
  EXPECT_EQ(written([&](JsonWriter& out) { encode_kv(out, pair); }),
            R"({"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0})");
  pair.set_value("hello");
  pair.set_session("s");
  pair.set_flags(18446744073709551615u);
  EXPECT_EQ(written([&](JsonWriter& out) { encode_kv(out, pair); }),
            R"({"LockIndex":0,"Key":"a","Flags":18446744073709551615,"Value":"aGVsbG8=",)"
            R"("Session":"s","CreateIndex":0,"ModifyIndex":0})");
}

TEST(RegistryJson, EveryFilterSelectorOfARowIsAFieldOfItsJson) {
  pb::ServiceInstance service;
  service.set_service("web");
  service.set_id("w1");
  service.set_port(80);
  const auto row = parsed(written([&](JsonWriter& out) { encode_service(out, service); }));
  auto filter = Filter::parse("Service == web and Port == 80 and Kind == \"\" and Meta is empty",
                              service_filter_schema());
  ASSERT_TRUE(filter) << filter.error().message;
  EXPECT_TRUE(filter->matches(row));
}

}  // namespace
}  // namespace fyr
