#include "proxy/endpoint_set.h"

#include <gtest/gtest.h>

namespace fyr::proxy {
namespace {

using Verdict = EndpointSet::Verdict;
const Instant kStart{std::chrono::seconds(1000)};

EndpointInfo info(const std::string& id, std::uint16_t port = 80) {
  EndpointInfo out;
  out.id = id;
  out.address = "10.0.0.1";
  out.port = port;
  return out;
}

EndpointUpdate update(std::uint64_t index, std::vector<EndpointInfo> endpoints,
                      bool from_disk = false) {
  return {index, std::move(endpoints), from_disk};
}

TEST(EndpointSet, UnchangedResendChangesNothing) {
  EndpointSet set;
  EXPECT_EQ(set.offer(kStart, update(5, {info("b"), info("a")})), Verdict::Applied);
  EXPECT_EQ(set.offer(kStart, update(5, {info("a"), info("b")})), Verdict::Unchanged);
  EXPECT_EQ(set.offer(kStart, update(6, {info("a"), info("b")})), Verdict::Unchanged);
  EXPECT_EQ(set.index(), 6u);
  ASSERT_EQ(set.members().size(), 2u);
  EXPECT_EQ(set.members()[0].key, "a@10.0.0.1:80");
}

TEST(EndpointSet, AnotherPortIsAnotherEndpoint) {
  EndpointSet set;
  set.offer(kStart, update(5, {info("a", 80)}));
  EXPECT_EQ(set.offer(kStart, update(6, {info("a", 81)})), Verdict::Applied);
  EXPECT_EQ(set.members()[0].key, "a@10.0.0.1:81");
}

TEST(EndpointSet, WeightFollowsStatus) {
  EndpointInfo passing = info("a");
  passing.weight_passing = 10;
  EndpointInfo warning = info("b");
  warning.status = CatalogStatus::Warning;
  warning.weight_passing = 10;
  warning.weight_warning = 3;
  EndpointInfo critical = info("c");
  critical.status = CatalogStatus::Critical;
  EndpointInfo maintenance = info("d");
  maintenance.status = CatalogStatus::Maintenance;
  EndpointInfo zero = info("e");
  zero.weight_passing = 0;
  EndpointInfo negative = info("f");
  negative.weight_passing = -4;
  EndpointSet set;
  set.offer(kStart, update(1, {passing, warning, critical, maintenance, zero, negative}));
  const auto& m = set.members();
  EXPECT_EQ(m[0].weight, 10);
  EXPECT_EQ(m[1].weight, 3);
  EXPECT_EQ(m[2].weight, 0);
  EXPECT_EQ(m[2].excluded, "critical");
  EXPECT_EQ(m[3].excluded, "maintenance");
  EXPECT_EQ(m[4].excluded, "weight");
  EXPECT_EQ(m[5].weight, 0);
  EndpointSetConfig rules;
  rules.only_passing = true;
  EndpointSet strict(rules);
  strict.offer(kStart, update(1, {warning}));
  EXPECT_EQ(strict.members()[0].weight, 0);
  EXPECT_EQ(strict.members()[0].excluded, "warning");
}

TEST(EndpointSet, OlderUpdateThatArrivesLateIsDropped) {
  EndpointSet set;
  set.offer(kStart, update(9, {info("a")}));
  EXPECT_EQ(set.offer(kStart, update(7, {info("b")})), Verdict::Held);
  EXPECT_EQ(set.members()[0].info.id, "a");
  // Something newer settles it.
  EXPECT_EQ(set.offer(kStart, update(10, {info("c")})), Verdict::Applied);
  EXPECT_FALSE(set.next_deadline());
  EXPECT_FALSE(set.tick(kStart + std::chrono::seconds(60)));
}

TEST(EndpointSet, LowerIndexIsBelievedAfterTheHold) {
  EndpointSet set;
  set.offer(kStart, update(900, {info("a")}));
  set.offer(kStart, update(2, {info("b")}));
  ASSERT_TRUE(set.next_deadline());
  EXPECT_FALSE(set.tick(kStart + std::chrono::seconds(29)));
  EXPECT_TRUE(set.tick(kStart + std::chrono::seconds(30)));
  EXPECT_EQ(set.members()[0].info.id, "b");
  EXPECT_EQ(set.index(), 2u);
}

TEST(EndpointSet, empty_snapshot) {
  EndpointSet set;
  set.offer(kStart, update(900, {info("a")}, true));
  EXPECT_TRUE(set.from_disk());
  EXPECT_EQ(set.offer(kStart, update(3, {})), Verdict::Held);
  EXPECT_EQ(set.members().size(), 1u);
  EXPECT_TRUE(set.tick(kStart + std::chrono::seconds(30)));
  EXPECT_TRUE(set.members().empty());
}

TEST(EndpointSet, ServerBeatsDiskWhateverTheIndex) {
  EndpointSet set;
  set.offer(kStart, update(900, {info("a")}, true));
  EXPECT_EQ(set.offer(kStart, update(3, {info("b")})), Verdict::Applied);
  EXPECT_FALSE(set.from_disk());
  EXPECT_EQ(set.offer(kStart, update(900, {info("a")}, true)), Verdict::Unchanged);
  EXPECT_EQ(set.members()[0].info.id, "b");
}

TEST(EndpointSet, DeregisteringTheLastOneIsApplied) {
  EndpointSet set;
  set.offer(kStart, update(5, {info("a")}));
  EXPECT_EQ(set.offer(kStart, update(6, {})), Verdict::Applied);
  EXPECT_TRUE(set.members().empty());
}

TEST(EndpointSet, DuplicatesCountOnce) {
  EndpointSet set;
  set.offer(kStart, update(5, {info("a"), info("a")}));
  EXPECT_EQ(set.members().size(), 1u);
}

TEST(EndpointSet, SubsetNeedsTagsMetaAndFilter) {
  ListenerConfig listener;
  listener.subset = {.tags = {"v2"}, .meta = {{"k", "1"}}, .filter = "Service.Port == 80"};
  EndpointSet set(endpoint_rules(listener, ""));
  auto good = info("a");
  good.tags = {"v2", "x"};
  good.meta = {{"k", "1"}};
  auto no_tag = good;
  no_tag.id = "b";
  no_tag.tags = {"x"};
  auto no_meta = good;
  no_meta.id = "c";
  no_meta.meta = {{"k", "2"}};
  auto other_port = good;
  other_port.id = "d";
  other_port.port = 81;
  set.offer(kStart, update(1, {good, no_tag, no_meta, other_port}));
  EXPECT_EQ(set.members()[0].excluded, "");
  for (const std::size_t i : {1u, 2u, 3u}) {
    EXPECT_EQ(set.members()[i].excluded, "subset") << i;
    EXPECT_EQ(set.members()[i].weight, 0) << i;
  }
}

TEST(EndpointSet, ResidencyHoldsWhateverTheCatalogSaysAndUnknownSitesAreElsewhere) {
  ListenerConfig listener;
  listener.allowed_sites = {"oslo"};
  EndpointSet set(endpoint_rules(listener, "oslo"));
  auto here = info("a");
  here.site = "oslo";
  auto there = info("b");
  there.site = "frankfurt";
  there.status = CatalogStatus::Critical;
  auto both = info("d");
  both.site = "oslo";
  both.meta["proxy.allowed_sites"] = "frankfurt";
  set.offer(kStart, update(1, {here, there, info("c"), both}));
  EXPECT_EQ(set.members()[0].excluded, "");
  for (const std::size_t i : {1u, 2u, 3u}) EXPECT_EQ(set.members()[i].excluded, "residency") << i;
}

TEST(EndpointSet, SitesAndTagsHaveTheirPlaceInTheOrder) {
  ListenerConfig listener;
  listener.prefer_tags = {"primary", "standby"};
  auto a = info("a");
  a.site = "oslo";
  a.tags = {"standby", "primary"};
  auto b = info("b");
  b.site = "frankfurt";
  b.tags = {"standby"};
  const auto c = info("c");
  const auto places = [&](const std::string& own) {
    EndpointSet set(endpoint_rules(listener, own));
    set.offer(kStart, update(1, {a, b, c}));
    std::vector<std::pair<int, int>> out;
    for (const auto& member : set.members()) out.emplace_back(member.tier, member.rank);
    return out;
  };
  using Places = std::vector<std::pair<int, int>>;
  EXPECT_EQ(places("frankfurt"), (Places{{1, 0}, {0, 1}, {1, 2}}));
  EXPECT_EQ(places(""), (Places{{0, 0}, {0, 1}, {0, 2}}));
  listener.locality.order = {"oslo", "frankfurt"};
  EXPECT_EQ(places("frankfurt"), (Places{{0, 0}, {1, 1}, {2, 2}}));
  listener.locality.ignore = true;
  EXPECT_EQ(places("frankfurt"), (Places{{0, 0}, {0, 1}, {0, 2}}));
}

}  // namespace
}  // namespace fyr::proxy
