#include "agent/local/local_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "proto/node_digest.h"

namespace fyr::agent {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));

pb::Node own_node() {
  pb::Node node;
  node.set_name("n1");
  node.set_address("10.0.0.1");
  return node;
}

LocalService service(const std::string& id, int port = 80) {
  LocalService out;
  out.row.set_node("n1");
  out.row.set_id(id);
  out.row.set_service(id);
  out.row.set_port(port);
  out.row.mutable_weights()->set_passing(1);
  out.row.mutable_weights()->set_warning(1);
  return out;
}

LocalCheck check(const std::string& id, const std::string& service_id = "") {
  LocalCheck out;
  out.row.set_node("n1");
  out.row.set_check_id(id);
  out.row.set_name(id);
  out.row.set_service_id(service_id);
  out.row.set_status("critical");
  return out;
}

// A catalog that does what it is told, as far as one node goes.
class Catalog {
 public:
  pb::PushResponse apply(const pb::PushRequest& request) {
    pb::PushResponse response;
    response.set_index(++index_);
    for (const pb::PushItem& item : request.items()) {
      pb::ItemResult& result = *response.add_results();
      if (item.token() == "denied") {
        result.set_code(1 + static_cast<int>(ErrorCode::PermissionDenied));
        continue;
      }
      if (item.has_register_()) {
        add(item.register_());
      } else {
        remove(item.deregister());
      }
    }
    return response;
  }
  pb::NodeStateResponse state(const std::string& digest) const {
    pb::NodeStateResponse out;
    out.set_index(index_);
    out.set_known(known_);
    NodeDigest own;
    if (known_) own.node(hash_node(node_));
    for (const auto& [id, row] : services_) own.service(id, hash_service(row));
    for (const auto& [id, row] : checks_) own.check(id, hash_check(row));
    if (own.value() == digest) {
      out.set_same(true);
      return out;
    }
    *out.mutable_node() = node_;
    for (const auto& [id, row] : services_) *out.add_services() = row;
    for (const auto& [id, row] : checks_) *out.add_checks() = row;
    return out;
  }
  std::map<std::string, pb::ServiceInstance> services_;
  std::map<std::string, pb::HealthCheck> checks_;
  pb::Node node_;
  bool known_ = false;

 private:
  void add(const pb::Register& request) {
    if (!request.skip_node_update() || !known_) node_ = request.node();
    known_ = true;
    if (request.has_service()) services_[request.service().id()] = request.service();
    for (const auto& row : request.checks()) checks_[row.check_id()] = row;
  }
  void remove(const pb::Deregister& request) {
    if (!request.check_id().empty()) {
      checks_.erase(request.check_id());
    } else {
      services_.erase(request.service_id());
      std::erase_if(checks_, [&](const auto& item) {
        return item.second.service_id() == request.service_id();
      });
    }
  }
  std::uint64_t index_ = 0;
};

LocalState::Compared compare(LocalState& state, const Catalog& catalog) {
  const auto mark = state.change_count();
  return state.compare(catalog.state(state.digest()), mark, kNow + minutes(5));
}

// Compares, then pushes until nothing is left; gives the number of pushes.
int sync(LocalState& state, Catalog& catalog) {
  compare(state, catalog);
  int pushes = 0;
  while (state.wants_push(kNow) && pushes < 100) {
    const auto batch = state.next_batch(kNow);
    EXPECT_LE(batch.request.items_size(), LocalState::kMaxBatch);
    state.pushed(kNow, batch, catalog.apply(batch.request));
    ++pushes;
  }
  return pushes;
}

TEST(LocalState, PushesNothingBeforeItKnowsWhatTheCatalogHolds) {
  LocalState state(own_node(), 1);
  state.set_service(service("web"));
  EXPECT_FALSE(state.wants_push(kNow));
  Catalog catalog;
  compare(state, catalog);
  EXPECT_TRUE(state.wants_push(kNow));
}

TEST(LocalState, AServiceGoesTogetherWithItsChecks) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  EXPECT_EQ(sync(state, catalog), 1);  // the node
  state.set_service(service("web"));
  state.set_check(check("web:1", "web"));
  state.set_check(check("web:2", "web"));
  state.set_check(check("disk"));
  const auto batch = state.next_batch(kNow);
  ASSERT_EQ(batch.request.items_size(), 2);
  EXPECT_EQ(batch.request.items(0).register_().service().id(), "web");
  EXPECT_EQ(batch.request.items(0).register_().checks_size(), 2);
  EXPECT_TRUE(batch.request.items(0).register_().skip_node_update());
  EXPECT_EQ(batch.request.items(1).register_().checks(0).check_id(), "disk");
}

TEST(LocalState, ManyItemsGoInBatchesOf64) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  for (int i = 0; i < 200; ++i) state.set_service(service("s" + std::to_string(i)));
  EXPECT_EQ(sync(state, catalog), 4);  // 201 items
  EXPECT_EQ(catalog.services_.size(), 200u);
  EXPECT_EQ(state.counts().out_of_sync, 0u);
}

TEST(LocalState, LargeItemsGoInBatchesThatFitALogEntry) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  EXPECT_EQ(sync(state, catalog), 1);  // the node
  for (int i = 0; i < 10; ++i) {
    LocalService large = service("s" + std::to_string(i));
    large.row.add_tags(std::string(400'000, 'x'));
    state.set_service(large);
  }
  const auto batch = state.next_batch(kNow);
  EXPECT_LT(batch.request.ByteSizeLong(), 2 * LocalState::kMaxBatchBytes);
  EXPECT_EQ(sync(state, catalog), 4);  // three of them a batch
  EXPECT_EQ(catalog.services_.size(), 10u);
}

TEST(LocalState, ChecksThatDoNotFitWithTheirServiceFollowInTheNextBatch) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  EXPECT_EQ(sync(state, catalog), 1);  // the node
  state.set_service(service("web"));
  for (int i = 0; i < 10; ++i) {
    LocalCheck large = check("web:" + std::to_string(i), "web");
    large.row.set_notes(std::string(300'000, 'x'));
    state.set_check(large);
  }
  EXPECT_LT(state.next_batch(kNow).request.ByteSizeLong(), 2 * LocalState::kMaxBatchBytes);
  EXPECT_LE(sync(state, catalog), 4);
  EXPECT_EQ(catalog.checks_.size(), 10u);
}

TEST(LocalState, APushRefusedAsAWholeIsHalvedAndWhatIsRefusedAloneIsSetAside) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  EXPECT_EQ(sync(state, catalog), 1);  // the node
  for (int i = 0; i < 40; ++i) state.set_service(service("s" + std::to_string(i)));
  for (int i = 0; i < 5; ++i) state.set_check(check("c" + std::to_string(i), "s7"));
  const auto is_bad = [](const pb::PushItem& item) {
    return item.register_().service().id() == "s7";
  };
  int pushes = 0, set_aside = 0;
  while (state.wants_push(kNow) && pushes < 200) {
    ++pushes;
    const auto batch = state.next_batch(kNow);
    const auto& items = batch.request.items();
    if (std::any_of(items.begin(), items.end(), is_bad)) {
      set_aside += state.push_refused(kNow, batch, "too large") ? 1 : 0;
    } else {
      state.pushed(kNow, batch, catalog.apply(batch.request));
    }
  }
  EXPECT_EQ(set_aside, 1);
  EXPECT_LT(pushes, 30);
  EXPECT_EQ(catalog.services_.size(), 39u);
  EXPECT_EQ(state.counts().blocked, 1u);
  EXPECT_FALSE(state.wants_push(kNow + seconds(29)));
  EXPECT_TRUE(state.wants_push(kNow + seconds(30)));
}

TEST(LocalState, TheSameRegistrationAgainIsNotPushed) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web"));
  state.set_check(check("c", "web"));
  sync(state, catalog);
  state.set_service(service("web"));
  state.set_check(check("c", "web"));
  EXPECT_FALSE(state.wants_push(kNow));
  state.set_service(service("web", 81));
  EXPECT_TRUE(state.wants_push(kNow));
}

TEST(LocalState, AnAnswerToAnOlderPushDoesNotCountForANewerChange) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  sync(state, catalog);
  state.set_service(service("web", 80));
  const auto batch = state.next_batch(kNow);
  state.set_service(service("web", 81));
  state.pushed(kNow, batch, catalog.apply(batch.request));
  EXPECT_TRUE(state.wants_push(kNow));
  sync(state, catalog);
  EXPECT_EQ(catalog.services_["web"].port(), 81);
}

TEST(LocalState, ChangedBackWhileAPushWasOnItsWayIsPushedAgain) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web", 80));
  sync(state, catalog);
  state.set_service(service("web", 81));
  const auto batch = state.next_batch(kNow);
  const auto answer = catalog.apply(batch.request);
  state.set_service(service("web", 80));
  state.pushed(kNow, batch, answer);
  while (state.wants_push(kNow)) {
    const auto next = state.next_batch(kNow);
    state.pushed(kNow, next, catalog.apply(next.request));
  }
  EXPECT_EQ(catalog.services_["web"].port(), 80);
}

TEST(LocalState, AfterALostAnswerTheItemIsPushedAgain) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web", 80));
  sync(state, catalog);
  state.set_service(service("web", 81));
  const auto batch = state.next_batch(kNow);
  catalog.apply(batch.request);
  state.set_service(service("web", 80));  // what the catalog had before
  state.push_failed(batch);
  ASSERT_TRUE(state.wants_push(kNow));
  const auto next = state.next_batch(kNow);
  state.pushed(kNow, next, catalog.apply(next.request));
  EXPECT_EQ(catalog.services_["web"].port(), 80);
}

TEST(LocalState, AfterALostAnswerNothingIsTakenToBeInTheCatalog) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web", 80));
  sync(state, catalog);
  state.set_service(service("web", 81));
  const auto batch = state.next_batch(kNow);
  catalog.apply(batch.request);
  state.push_failed(batch);
  state.set_service(service("web", 80));
  EXPECT_TRUE(state.wants_push(kNow));
}

TEST(LocalState, PushNumbersOnlyGrow) {
  LocalState state(own_node(), 100);
  Catalog catalog;
  state.set_service(service("web"));
  state.set_check(check("disk"));
  compare(state, catalog);
  std::uint64_t last = 100;
  const auto batch = state.next_batch(kNow);
  for (const auto& item : batch.request.items()) {
    EXPECT_GT(item.register_().agent_sequence(), last);
    last = item.register_().agent_sequence();
  }
}

TEST(LocalState, AClockThatWentBackIsNoticedByTheComparison) {
  Catalog catalog;
  LocalState before(own_node(), 1000);
  before.set_service(service("web"));
  sync(before, catalog);
  catalog.services_["web"].set_agent_sequence(1002);
  LocalState after(own_node(), 5);
  after.set_service(service("web", 81));
  compare(after, catalog);
  const auto batch = after.next_batch(kNow);
  ASSERT_EQ(batch.request.items_size(), 1);
  EXPECT_GT(batch.request.items(0).register_().agent_sequence(), 1002u);
}

TEST(LocalState, RemovedItemsLeaveTheCatalogAndThenTheMemory) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web"));
  state.set_check(check("c", "web"));
  state.set_check(check("disk"));
  sync(state, catalog);
  state.remove_service("web");
  state.remove_check("disk");
  EXPECT_EQ(state.check_count(), 0u);
  const auto batch = state.next_batch(kNow);
  EXPECT_EQ(batch.request.items_size(), 2);  // the service's check goes with it
  state.pushed(kNow, batch, catalog.apply(batch.request));
  EXPECT_TRUE(catalog.services_.empty());
  EXPECT_TRUE(catalog.checks_.empty());
  EXPECT_EQ(state.counts().out_of_sync, 0u);
  EXPECT_FALSE(state.wants_push(kNow));
}

TEST(LocalState, AnItemThatCameBackBeforeItsRemovalWasPushedStays) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web"));
  sync(state, catalog);
  state.remove_service("web");
  const auto batch = state.next_batch(kNow);
  state.set_service(service("web"));
  state.pushed(kNow, batch, catalog.apply(batch.request));
  sync(state, catalog);
  EXPECT_TRUE(catalog.services_.contains("web"));
}

TEST(LocalState, AnItemRemovedAndAddedBetweenTwoPushesStays) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web"));
  state.set_check(check("c", "web"));
  sync(state, catalog);
  state.remove_service("web");
  state.set_service(service("web"));
  state.set_check(check("c", "web"));
  sync(state, catalog);
  EXPECT_TRUE(catalog.services_.contains("web"));
  EXPECT_TRUE(catalog.checks_.contains("c"));
}

TEST(LocalState, WhatOnlyTheCatalogKnowsIsRemovedFromIt) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  sync(state, catalog);
  catalog.services_["ghost"] = service("ghost").row;
  catalog.checks_["ghost:1"] = check("ghost:1", "ghost").row;
  catalog.checks_["old"] = check("old").row;
  EXPECT_EQ(compare(state, catalog).ghosts, 3);
  sync(state, catalog);
  EXPECT_TRUE(catalog.services_.empty());
  EXPECT_TRUE(catalog.checks_.empty());
}

TEST(LocalState, TheServersOwnRowsAreLeftAlone) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  sync(state, catalog);
  catalog.services_["consul"] = service("consul").row;
  catalog.checks_["serfHealth"] = check("serfHealth").row;
  EXPECT_TRUE(catalog.state(state.digest()).same());
  catalog.services_["ghost"] = service("ghost").row;
  EXPECT_EQ(compare(state, catalog).ghosts, 1);
  sync(state, catalog);
  EXPECT_EQ(catalog.services_.size(), 1u);
  EXPECT_EQ(catalog.checks_.size(), 1u);
}

TEST(LocalState, ARestartThatFindsEverythingInPlacePushesNothing) {
  Catalog catalog;
  LocalState before(own_node(), 1);
  before.set_service(service("web"));
  before.set_check(check("c", "web"));
  sync(before, catalog);
  LocalState after(own_node(), 50);
  after.set_service(service("web"));
  after.set_check(check("c", "web"));
  EXPECT_EQ(sync(after, catalog), 0);
  EXPECT_EQ(after.counts().out_of_sync, 0u);
}

TEST(LocalState, ALostCatalogIsFilledAgain) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web"));
  state.set_check(check("c", "web"));
  sync(state, catalog);
  Catalog empty;
  EXPECT_EQ(sync(state, empty), 1);
  EXPECT_EQ(empty.services_.size(), 1u);
  EXPECT_EQ(empty.checks_.size(), 1u);
  EXPECT_EQ(empty.node_.address(), "10.0.0.1");
}

TEST(LocalState, OutputAloneWaitsAndAStatusTakesItAlong) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_check(check("disk"));
  sync(state, catalog);
  const Instant due = kNow + minutes(5);
  state.update_check("disk", "critical", "90 %", due);
  state.update_check("disk", "critical", "91 %", due + minutes(1));
  EXPECT_FALSE(state.wants_push(kNow));
  EXPECT_EQ(*state.next_due(), due);
  EXPECT_TRUE(catalog.state(state.digest()).same()) << "deferred output is no difference";
  EXPECT_TRUE(state.wants_push(due));
  state.update_check("disk", "passing", "10 %", due);
  EXPECT_TRUE(state.wants_push(kNow));
  sync(state, catalog);
  EXPECT_EQ(catalog.checks_["disk"].output(), "10 %");
}

TEST(LocalState, ADifferenceInOutputFoundByComparisonIsDeferredToo) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_check(check("disk"));
  sync(state, catalog);
  catalog.checks_["disk"].set_output("from before");
  EXPECT_EQ(compare(state, catalog).out_of_sync, 0);
  EXPECT_FALSE(state.wants_push(kNow));
  EXPECT_EQ(*state.next_due(), kNow + minutes(5));
}

TEST(LocalState, ARefusedItemIsBlockedAndTheOthersPass) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  LocalService bad = service("bad");
  bad.token = "denied";
  state.set_service(bad);
  state.set_service(service("good"));
  sync(state, catalog);
  EXPECT_TRUE(catalog.services_.contains("good"));
  EXPECT_EQ(state.counts().blocked, 1u);
  EXPECT_EQ(*state.next_due(), kNow + seconds(30));
  EXPECT_TRUE(state.wants_push(kNow + seconds(30)));
  bad.token = "";
  state.set_service(bad);  // a change is worth another try at once
  EXPECT_TRUE(state.wants_push(kNow));
}

TEST(LocalState, AnotherMachinesNodeOfTheSameNameIsLeftAlone) {
  pb::Node node = own_node();
  node.set_id("00000000-0000-4000-8000-000000000001");
  LocalState state(node, 1);
  state.set_service(service("mine"));
  state.set_service(service("gone"));
  state.remove_service("gone");
  Catalog catalog;
  catalog.known_ = true;
  catalog.node_ = own_node();
  catalog.node_.set_id("00000000-0000-4000-8000-000000000002");
  catalog.services_["theirs"] = service("theirs").row;
  EXPECT_EQ(compare(state, catalog).ghosts, 0);
  const auto batch = state.next_batch(kNow);
  ASSERT_EQ(batch.request.items_size(), 2);  // node and service, no removal
  pb::PushResponse refused;
  for (const auto& item : batch.request.items()) {
    EXPECT_TRUE(item.has_register_());
    EXPECT_FALSE(item.register_().skip_node_update()) << "each is held to the node's being ours";
    refused.add_results()->set_code(1 + static_cast<int>(ErrorCode::Conflict));
  }
  state.pushed(kNow, batch, refused);
  EXPECT_FALSE(state.wants_push(kNow));
  EXPECT_TRUE(state.wants_push(kNow + seconds(30)));
}

TEST(LocalState, TagsUnderEnableTagOverrideAreTheCatalogs) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  LocalService mine = service("web");
  mine.row.set_enable_tag_override(true);
  mine.row.add_tags("own");
  state.set_service(mine);
  sync(state, catalog);
  *catalog.services_["web"].mutable_tags(0) = "foreign";
  EXPECT_TRUE(catalog.state(state.digest()).same());
  catalog.services_["ghost"] = service("ghost").row;  // so that rows are compared
  sync(state, catalog);
  EXPECT_EQ(state.service("web")->row.tags(0), "foreign");
  EXPECT_EQ(catalog.services_["web"].tags(0), "foreign");
}

TEST(LocalState, AChangeDuringAComparisonIsNotUndoneByIt) {
  LocalState state(own_node(), 1);
  Catalog catalog;
  state.set_service(service("web", 80));
  sync(state, catalog);
  const auto mark = state.change_count();
  catalog.services_["ghost"] = service("ghost").row;
  const auto answer = catalog.state(state.digest());
  state.set_service(service("web", 81));
  state.compare(answer, mark, kNow);
  sync(state, catalog);
  EXPECT_EQ(catalog.services_["web"].port(), 81);
}

}  // namespace
}  // namespace fyr::agent
