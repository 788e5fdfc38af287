// The checks themselves must be able to fail.
#include "raft/invariants.h"

#include <gtest/gtest.h>

#include <functional>

namespace fyr::raft {
namespace {

CoreView healthy() {
  CoreView view;
  view.role = Role::Leader;
  view.hard = view.durable_hard = {Term(3), NodeId(1)};
  view.base = Index(10);
  view.durable_applied = Index(11);
  view.applied = Index(12);
  view.handed = Index(13);
  view.commit = Index(14);
  view.durable = Index(15);
  view.last = Index(16);
  view.last_term = Term(3);
  view.runs = {{Index(11), Term(2)}, {Index(14), Term(3)}};
  return view;
}

std::string broken_after(const std::function<void(CoreView&)>& damage) {
  Invariants invariants(CoreConfig{.self = NodeId(1)});
  EXPECT_EQ(invariants.check(healthy()), std::nullopt);
  CoreView view = healthy();
  damage(view);
  return invariants.check(view).value_or("");
}

TEST(Invariants, AcceptAHealthyCoreTwice) {
  EXPECT_EQ(broken_after([](CoreView&) {}), "");
}

TEST(Invariants, SeeEachBrokenShape) {
  const auto expect = [](const char* code, const std::function<void(CoreView&)>& damage) {
    EXPECT_TRUE(broken_after(damage).starts_with(code)) << code << ": " << broken_after(damage);
  };
  expect("I10", [](CoreView& v) { v.base = Index(12), v.runs[0].first = Index(13); });
  expect("I10", [](CoreView& v) { v.durable_applied = Index(13); });
  expect("I10", [](CoreView& v) { v.applied = Index(14); });
  expect("D5", [](CoreView& v) { v.handed = Index(15); });
  expect("D5", [](CoreView& v) { v.commit = Index(16), v.handed = Index(16); });
  expect("I10", [](CoreView& v) { v.commit = Index(17); });
  expect("I10", [](CoreView& v) { v.durable = Index(17); });
  expect("I10", [](CoreView& v) { v.last_term = Term(4); });
  expect("I10", [](CoreView& v) { v.runs[1].term = Term(2); });
  expect("I10", [](CoreView& v) { v.runs[0].first = Index(12); });
  expect("I10", [](CoreView& v) { v.runs.clear(); });
  expect("D2", [](CoreView& v) { v.durable_hard.term = Term(2); });
  expect("I18", [](CoreView& v) { v.unapplied_bytes = 1ull << 40; });
  expect("I18", [](CoreView& v) { v.waiting_reads = 10'001; });
}

TEST(Invariants, SeeEachStepBackwards) {
  const auto expect = [](const char* code, const std::function<void(CoreView&)>& damage) {
    EXPECT_TRUE(broken_after(damage).starts_with(code)) << code << ": " << broken_after(damage);
  };
  expect("I9",
         [](CoreView& v) { v.role = Role::Follower, v.hard.term = Term(2), v.last_term = {}; });
  expect("I9", [](CoreView& v) { v.role = Role::Follower, v.durable_hard.term = Term(2); });
  expect("I9", [](CoreView& v) { v.commit = Index(13); });
  expect("I9", [](CoreView& v) { v.applied = Index(11); });
  expect("I9", [](CoreView& v) { v.durable_applied = Index(10); });
  expect("I9", [](CoreView& v) { v.base = Index(9), v.runs[0].first = Index(10); });
  expect("I9", [](CoreView& v) { v.durable = Index(14); });
  expect("I2", [](CoreView& v) { v.hard.voted_for = NodeId(2); });
  expect("I3", [](CoreView& v) { v.last = Index(15); });
  expect("I3", [](CoreView& v) { v.runs[1].first = Index(13); });
}

}  // namespace
}  // namespace fyr::raft
