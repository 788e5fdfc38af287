#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::IsEmpty;

class Coordinates : public StateTest {
 protected:
  static pb::Command update(const std::string& node, double x, const std::string& segment = "") {
    pb::Command command;
    auto& given = *command.mutable_coordinate_update()->add_coordinates();
    given.set_node(node);
    given.set_segment(segment);
    given.add_vec(x);
    given.set_height(1e-5);
    return command;
  }
};

TEST_F(Coordinates, BelongToNodesAndGoWithThem) {
  done(update("n", 1));
  EXPECT_THAT(store_.coordinates().rows, IsEmpty()) << "no such node";
  done(node_command("n"));
  done(node_command("n2"));
  done(update("N", 1));
  done(update("n", 2, "s"));
  const StateIndex last = done(update("n2", 3));
  ASSERT_EQ(store_.node_coordinates("n").size(), 2u);
  EXPECT_EQ(store_.node_coordinates("n")[0]->vec(0), 1);
  EXPECT_EQ(store_.coordinates().rows.size(), 3u);
  EXPECT_EQ(store_.coordinates().index, last);
  const StateIndex gone = done(deregister_command("n"));
  EXPECT_EQ(store_.coordinates().rows.size(), 1u);
  EXPECT_EQ(store_.coordinates().index, gone);
  const StateStore again = reloaded();
  EXPECT_EQ(again.coordinates().index, gone);
  EXPECT_EQ(again.coordinates().rows.size(), 1u);
  EXPECT_EQ(again.digest(), store_.digest());
}

TEST_F(Coordinates, TheSameAgainChangesNothing) {
  done(node_command("n"));
  const StateIndex made = done(update("n", 1));
  done(update("n", 1));
  EXPECT_THAT(changes_.rows, IsEmpty());
  EXPECT_EQ(store_.coordinates().index, made);
  done(update("n", 1.5));
  EXPECT_TRUE(touched(TopicKind::Coordinates));
}

}  // namespace
}  // namespace fyr::server
