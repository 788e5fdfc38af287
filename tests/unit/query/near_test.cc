#include "server/query/near.h"

#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;

class Near : public StateTest {
 protected:
  void at(const std::string& node, double x, const std::string& segment = "") {
    pb::Command command;
    auto& row = *command.mutable_coordinate_update()->add_coordinates();
    row.set_node(node);
    row.set_segment(segment);
    row.add_vec(x);
    row.add_vec(0);
    row.set_height(0.001);
    done(command);
  }
  std::vector<std::string> sorted(const std::string& from) {
    std::vector<std::string> names;
    for (const auto& node : store_.nodes().rows) names.push_back(node->name());
    Distances(store_, from).sort(names, [](const std::string& name) { return name; });
    return names;
  }
};

TEST_F(Near, TheRoundTripIsDistanceHeightsAndAdjustments) {
  pb::Coordinate a, b;
  for (auto* row : {&a, &b}) {
    row->add_vec(0);
    row->add_vec(0);
    row->set_height(0.5);
  }
  b.set_vec(0, 3);
  b.set_vec(1, 4);
  EXPECT_DOUBLE_EQ(round_trip(a, b), 6);
  a.set_adjustment(-1);
  EXPECT_DOUBLE_EQ(round_trip(a, b), 5);
  a.set_adjustment(-100);
  EXPECT_DOUBLE_EQ(round_trip(a, b), 6) << "never below zero";
  b.add_vec(0);
  EXPECT_TRUE(std::isinf(round_trip(a, b)));
}

TEST_F(Near, TheNearestComeFirstAndTheUnknownLast) {
  for (const auto* name : {"a", "b", "c", "d"}) done(node_command(name));
  at("a", 0.001);
  at("b", 0.1);
  at("c", 0.01);
  EXPECT_THAT(sorted("a"), ElementsAre("a", "c", "b", "d"));
  EXPECT_THAT(sorted("B"), ElementsAre("b", "c", "a", "d"));
  EXPECT_THAT(sorted("d"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(sorted("none"), ElementsAre("a", "b", "c", "d"));
}

TEST_F(Near, CoordinatesOfOtherSegmentsSayNothing) {
  for (const auto* name : {"a", "b", "c"}) done(node_command(name));
  at("a", 0, "s");
  at("b", 0, "t");
  at("c", 5, "s");
  EXPECT_THAT(sorted("a"), ElementsAre("a", "c", "b"));
}

}  // namespace
}  // namespace fyr::server
