#include "agent/watch_view.h"

#include <gtest/gtest.h>

namespace fyr::agent {
namespace {

using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));
constexpr Duration kHold = seconds(30);

void add(pb::WatchEvent& event, const std::string& node, int port) {
  pb::ServiceEntry& entry = *event.add_set();
  entry.mutable_node()->set_name(node);
  entry.mutable_service()->set_id("web");
  entry.mutable_service()->set_port(port);
}

pb::WatchEvent snapshot(std::uint64_t index, std::initializer_list<const char*> nodes) {
  pb::WatchEvent event;
  event.set_index(index);
  event.set_epoch(7);
  event.set_snapshot(true);
  for (const char* node : nodes) add(event, node, 80);
  return event;
}

pb::WatchEvent delta(std::uint64_t index) {
  pb::WatchEvent event;
  event.set_index(index);
  event.set_epoch(7);
  return event;
}

class Watching : public ::testing::Test {
 protected:
  ViewPtr apply(const pb::WatchEvent& event, Instant at = kNow) {
    return view_.apply(at, event, broken_);
  }
  WatchView view_{kHold};
  bool broken_ = false;
};

TEST_F(Watching, ASnapshotThenDeltasMakeTheView) {
  view_.connected("a");
  ViewPtr view = apply(snapshot(10, {"n1", "n2"}));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->rows.size(), 2u);
  pb::WatchEvent change = delta(11);
  add(change, "n3", 80);
  change.add_removed()->set_node("n1");
  change.mutable_removed(0)->set_service_id("web");
  const ViewPtr next = apply(change);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->index, 11u);
  ASSERT_EQ(next->rows.size(), 2u);
  EXPECT_EQ(next->rows[0]->node().name(), "n2");
  EXPECT_EQ(next->rows[0], view->rows[1]) << "a row that did not change stays the same object";
  EXPECT_EQ(view_.resume_index(), 11u);
}

TEST_F(Watching, AnUnchangedSnapshotChangesNothing) {
  view_.connected("a");
  ASSERT_TRUE(apply(snapshot(10, {"n1"})));
  view_.connected("a");
  EXPECT_FALSE(apply(snapshot(10, {"n1"})));
}

TEST_F(Watching, AnOldDeltaIsDroppedAndOneWithoutBaseStartsOver) {
  view_.connected("a");
  apply(delta(5));
  EXPECT_TRUE(broken_);
  apply(snapshot(10, {"n1"}));
  EXPECT_FALSE(broken_);
  EXPECT_FALSE(apply(delta(9)));
  EXPECT_FALSE(broken_);
  EXPECT_EQ(view_.view()->index, 10u);
}

TEST_F(Watching, AResumedStreamMayBeginWithWhatChangedMeanwhile) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  view_.connected("b");
  pb::WatchEvent missed = delta(12);
  add(missed, "n2", 80);
  const ViewPtr view = apply(missed);
  EXPECT_FALSE(broken_);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->rows.size(), 2u);
  EXPECT_EQ(view_.resume_index(), 12u);
}

TEST_F(Watching, AfterAnEventThatDidNotFitTheNextStreamBeginsWithASnapshot) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  view_.forget_resume();
  EXPECT_EQ(view_.resume_index(), 0u);
  view_.connected("b");
  pb::WatchEvent change = delta(12);
  add(change, "n2", 80);
  EXPECT_FALSE(apply(change));
  EXPECT_TRUE(broken_) << "a snapshot was asked for";
  const ViewPtr view = apply(snapshot(12, {"n1", "n2"}));
  ASSERT_TRUE(view);
  EXPECT_EQ(view_.resume_index(), 12u);
}

TEST_F(Watching, AnEmptyingSnapshotAfterAReconnectIsHeld) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  view_.connected("a");
  EXPECT_FALSE(apply(snapshot(12, {})));
  EXPECT_TRUE(view_.holding());
  EXPECT_EQ(view_.view()->rows.size(), 1u);
  EXPECT_EQ(view_.resume_index(), 0u) << "nothing held is built on";
  EXPECT_FALSE(view_.tick(kNow + seconds(29)));
  const ViewPtr released = view_.tick(kNow + seconds(30));
  ASSERT_TRUE(released);
  EXPECT_TRUE(released->rows.empty());
}

TEST_F(Watching, ALowerIndexAfterAReconnectIsHeld) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  view_.connected("b");
  EXPECT_FALSE(apply(snapshot(3, {"n2"})));
  EXPECT_TRUE(view_.holding());
}

TEST_F(Watching, AServerThatCatchesUpEndsTheHolding) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  view_.connected("b");
  apply(snapshot(3, {}));
  pb::WatchEvent change = delta(11);
  add(change, "n1", 80);
  const ViewPtr view = apply(change);
  ASSERT_TRUE(view);
  EXPECT_FALSE(view_.holding());
  EXPECT_EQ(view->rows.size(), 1u);
}

TEST_F(Watching, ASecondServerThatAgreesEndsTheHolding) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  view_.connected("a");
  EXPECT_FALSE(apply(snapshot(12, {})));
  view_.connected("a");
  EXPECT_FALSE(apply(snapshot(12, {}))) << "the same server again is no second opinion";
  view_.connected("b");
  EXPECT_TRUE(apply(snapshot(12, {})));
}

TEST_F(Watching, AnEmptyingDeltaOnALiveStreamCountsAtOnce) {
  view_.connected("a");
  apply(snapshot(10, {"n1"}));
  pb::WatchEvent change = delta(11);
  change.add_removed()->set_node("n1");
  change.mutable_removed(0)->set_service_id("web");
  const ViewPtr view = apply(change);
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->rows.empty());
}

TEST_F(Watching, TheListFromDiskIsConfirmedByTheFirstSnapshotAndHeldAgainstAnEmptyOne) {
  auto last = std::make_shared<ServiceView>();
  last->index = 10;
  last->from_disk = true;
  auto row = std::make_shared<pb::ServiceEntry>();
  row->mutable_node()->set_name("n1");
  row->mutable_service()->set_id("web");
  row->mutable_service()->set_port(80);
  last->rows = {row};
  view_.load(last);
  EXPECT_EQ(view_.resume_index(), 0u);
  view_.connected("a");
  EXPECT_FALSE(apply(snapshot(10, {})));
  view_.connected("a");
  const ViewPtr view = apply(snapshot(10, {"n1"}));
  ASSERT_TRUE(view) << "readers learn that it is confirmed";
  EXPECT_FALSE(view->from_disk);
}

}  // namespace
}  // namespace fyr::agent
