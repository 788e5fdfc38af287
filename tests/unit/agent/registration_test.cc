#include "agent/registration.h"

#include <gtest/gtest.h>

namespace fyr::agent {
namespace {

RegistrationRules rules() {
  RegistrationRules out;
  out.node_name = "n1";
  return out;
}

Result<PlannedService> service(const std::string& json) {
  auto spec = decode_service_spec(*parse_json(json), "", UnknownFields::Refuse);
  if (!spec) return spec.error();
  return plan_service(std::move(*spec), Source::Api, rules());
}

Result<PlannedCheck> check(const std::string& json, const LocalService* owner = nullptr,
                           RegistrationRules with = rules(), Source source = Source::Api) {
  auto spec = decode_check_spec(*parse_json(json), "", UnknownFields::Refuse);
  if (!spec) return spec.error();
  return plan_check_spec(std::move(*spec), owner, source, with);
}

std::string refusal(const std::string& json) {
  const auto planned = service(json);
  return planned ? "accepted" : planned.error().message;
}

TEST(ServiceRegistration, FillsInWhatWasNotSaid) {
  const auto planned = service(R"({"Name":"web"})");
  ASSERT_TRUE(planned);
  const auto& row = planned->service.row;
  EXPECT_EQ(row.id(), "web");
  EXPECT_EQ(row.node(), "n1");
  EXPECT_EQ(row.weights().passing(), 1);
  EXPECT_FALSE(row.has_meta());
  EXPECT_EQ(row.tagged_addresses_size(), 0);
}

TEST(ServiceRegistration, ALiteralAddressIsTaggedWithItsFamily) {
  auto planned = service(R"({"Name":"web","Address":"10.0.0.1","Port":8})");
  ASSERT_EQ(planned->service.row.tagged_addresses_size(), 2);
  EXPECT_EQ(planned->service.row.tagged_addresses(0).name(), "lan_ipv4");
  EXPECT_EQ(planned->service.row.tagged_addresses(1).address().port(), 8);
  planned = service(R"({"Name":"web","Address":"fd00::1"})");
  EXPECT_EQ(planned->service.row.tagged_addresses(0).name(), "lan_ipv6");
  planned = service(R"({"Name":"web","Address":"db.internal"})");
  EXPECT_EQ(planned->service.row.tagged_addresses_size(), 0);
}

TEST(ServiceRegistration, ChecksGetIdsNamesAndTheServicesTags) {
  const auto planned = service(
      R"({"Name":"web","Tags":["t"],"Check":{"TTL":"9s"},"Checks":[{"TTL":"9s","Name":"second"}]})");
  ASSERT_TRUE(planned);
  ASSERT_EQ(planned->checks.size(), 2u);
  const auto& first = planned->checks[0].check.row;
  EXPECT_EQ(first.check_id(), "service:web:1");
  EXPECT_EQ(first.name(), "Service 'web' check");
  EXPECT_EQ(first.service_tags(0), "t");
  EXPECT_EQ(first.type(), "ttl");
  EXPECT_EQ(first.status(), "critical");
  EXPECT_EQ(first.interval(), "");
  EXPECT_EQ(planned->checks[1].check.row.check_id(), "service:web:2");
  EXPECT_EQ(service(R"({"Name":"web","Check":{"TTL":"9s"}})")->checks[0].check.row.check_id(),
            "service:web");
}

TEST(ServiceRegistration, RefusesInTheWordsClientsKnow) {
  EXPECT_EQ(refusal("{}"), "Missing service name");
  EXPECT_EQ(refusal(R"({"Name":"w","Address":"0.0.0.0"})"), "Invalid service address");
  EXPECT_EQ(refusal(R"({"Name":"w","Address":"::"})"), "Invalid service address");
  EXPECT_EQ(refusal(R"({"Name":"w","Weights":{"Passing":0,"Warning":1}})"),
            "Invalid Weights: Passing must be greater than 0");
  EXPECT_EQ(refusal(R"({"Name":"w","Meta":{"bad key!":"x"}})"),
            "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains "
            "invalid characters");
  EXPECT_EQ(refusal(R"({"Name":"w","Check":{"Interval":"10s"}})"),
            "Invalid check: TTL must be > 0 for TTL checks");
  EXPECT_EQ(refusal(R"({"Name":"w","Checks":[{"TTL":"1s","Status":"bogus"}]})"),
            "Status for checks must 'passing', 'warning', 'critical'");
  EXPECT_EQ(refusal(R"({"Name":"w","Port":70000})"), "Invalid service port 70000");
  EXPECT_NE(refusal(R"({"Name":"w","Check":{"TTL":"1s","CheckID":"serfHealth"}})"), "accepted");
}

TEST(CheckRegistration, ShowsItsTimesAsText) {
  const auto planned = check(R"({"Name":"c","TCP":"127.0.0.1:1","Interval":"300ms"})");
  ASSERT_TRUE(planned);
  EXPECT_EQ(planned->check.row.check_id(), "c");
  EXPECT_EQ(planned->check.row.interval(), "300ms");
  EXPECT_EQ(planned->check.row.timeout(), "0s");
  EXPECT_EQ(planned->plan.rules.interval, std::chrono::seconds(1));
}

TEST(CheckRegistration, NamesTheServiceItIsFor) {
  EXPECT_EQ(check(R"({"Name":"c","TTL":"1s","ServiceID":"web"})").error().message,
            "ServiceID \"web\" does not exist");
  LocalService web;
  web.row.set_id("web");
  web.row.set_service("the-web");
  web.token = "t";
  const auto planned = check(R"({"Name":"c","TTL":"1s","ServiceID":"web"})", &web);
  ASSERT_TRUE(planned);
  EXPECT_EQ(planned->check.row.service_name(), "the-web");
  EXPECT_EQ(planned->check.token, "t");
}

TEST(CheckRegistration, ProgramsNeedTheOperatorsLeave) {
  const std::string script = R"({"Name":"c","Args":["/bin/true"],"Interval":"10s"})";
  const auto refused = check(script);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Internal);
  EXPECT_NE(refused.error().message.find("remote calls"), std::string::npos);
  RegistrationRules files = rules();
  files.scripts_from_files = true;
  EXPECT_FALSE(check(script, nullptr, files, Source::Api));
  EXPECT_TRUE(check(script, nullptr, files, Source::File));
  RegistrationRules all = files;
  all.scripts_from_api = true;
  EXPECT_TRUE(check(script, nullptr, all, Source::Api));
}

TEST(ContentHash, FollowsWhatIsShown) {
  auto one = service(R"({"Name":"web","Port":1})")->service.row;
  auto two = one;
  EXPECT_EQ(content_hash(one, "dc1"), content_hash(two, "dc1"));
  two.set_port(2);
  EXPECT_NE(content_hash(one, "dc1"), content_hash(two, "dc1"));
  EXPECT_EQ(content_hash(one, "dc1").size(), 16u);
}

TEST(MaintenanceCheck, HasAReasonEvenIfNoneWasGiven) {
  const auto node = maintenance_check("n1", nullptr, "disk", "");
  EXPECT_EQ(node.row.check_id(), "_node_maintenance");
  EXPECT_EQ(node.row.notes(), "disk");
  LocalService web;
  web.row.set_id("w/1");
  const auto service = maintenance_check("n1", &web, "", "");
  EXPECT_EQ(service.row.check_id(), "_service_maintenance:w/1");
  EXPECT_NE(service.row.notes().find("no reason was provided"), std::string::npos);
}

}  // namespace
}  // namespace fyr::agent
