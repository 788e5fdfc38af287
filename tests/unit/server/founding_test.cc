#include "server/leader/founding.h"

#include <gtest/gtest.h>

namespace fyr::server {
namespace {

using raft::NodeId;

ServerFact fact(std::uint64_t id, int expect = 3) {
  ServerFact out;
  out.member.id = NodeId(id);
  out.member.name = "s" + std::to_string(id);
  out.member.address = "127.0.0.1:" + std::to_string(id);
  out.expect = expect;
  return out;
}

TEST(Founding, TheServerWithTheLowestIdFoundsOnceAllExpectedOnesAreThere) {
  EXPECT_FALSE(voters_to_found(NodeId(2), 3, {fact(2), fact(5)}));
  const auto voters = voters_to_found(NodeId(2), 3, {fact(5), fact(2), fact(9)});
  ASSERT_TRUE(voters);
  ASSERT_EQ(voters->size(), 3u);
  EXPECT_EQ(voters->front().id, NodeId(2));
  EXPECT_FALSE(voters_to_found(NodeId(5), 3, {fact(5), fact(2), fact(9)}));
}

TEST(Founding, NobodyFoundsASecondClusterBesideOneThatExists) {
  auto member = fact(9);
  member.in_cluster = true;
  EXPECT_FALSE(voters_to_found(NodeId(2), 3, {fact(2), fact(5), fact(7), member}));
}

TEST(Founding, ServersThatExpectAnotherNumberOrAreGoneDoNotCount) {
  EXPECT_FALSE(voters_to_found(NodeId(2), 3, {fact(2), fact(5), fact(9, 5)}));
  auto gone = fact(9);
  gone.alive = false;
  EXPECT_FALSE(voters_to_found(NodeId(2), 3, {fact(2), fact(5), gone}));
  EXPECT_FALSE(voters_to_found(NodeId(2), 0, {fact(2), fact(5), fact(9)}));
}

TEST(Founding, ReadServersAreNoVotersAndWitnessesAre) {
  auto reader = fact(1);
  reader.member.kind = raft::MemberKind::ReadServer;
  auto witness = fact(9);
  witness.member.kind = raft::MemberKind::Witness;
  EXPECT_FALSE(voters_to_found(NodeId(2), 3, {fact(2), fact(5), reader}));
  EXPECT_TRUE(voters_to_found(NodeId(2), 3, {fact(2), fact(5), witness}));
}

TEST(Consent, IsGivenToOneFounderUntilItsTimeIsOver) {
  Consent consent;
  const Instant start{std::chrono::hours(1)};
  EXPECT_TRUE(consent.give(NodeId(2), start));
  EXPECT_FALSE(consent.give(NodeId(3), start + Consent::kWord / 2));
  EXPECT_TRUE(consent.give(NodeId(2), start + Consent::kWord / 2));  // binds anew
  EXPECT_FALSE(consent.give(NodeId(3), start + Consent::kWord));
  EXPECT_TRUE(consent.give(NodeId(3), start + 2 * Consent::kWord));
  EXPECT_FALSE(consent.give(NodeId(2), start + 2 * Consent::kWord));
}

}  // namespace
}  // namespace fyr::server
