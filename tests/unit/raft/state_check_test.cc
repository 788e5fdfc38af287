#include "raft/state_check.h"

#include <gtest/gtest.h>

namespace fyr::raft {
namespace {

StateVerdict of(std::vector<std::uint64_t> digests) {
  std::vector<StateDigest> reports;
  for (const std::uint64_t digest : digests)
    reports.push_back({NodeId(reports.size() + 1), digest});
  return judge(reports);
}

TEST(StateCheck, EqualStatesAreWell) {
  for (const auto& digests : {std::vector<std::uint64_t>{}, {7}, {7, 7}, {7, 7, 7}}) {
    const auto verdict = of(digests);
    EXPECT_FALSE(verdict.differ);
    EXPECT_FALSE(verdict.agreed);
  }
}

TEST(StateCheck, WhoDiffersFromTheMajorityIsOdd) {
  const auto verdict = of({7, 8, 7});
  EXPECT_TRUE(verdict.differ);
  EXPECT_EQ(verdict.agreed, 7u);
  EXPECT_EQ(verdict.odd, std::vector<NodeId>{NodeId(2)});
  EXPECT_EQ(of({9, 8, 8, 8, 9}).odd, (std::vector<NodeId>{NodeId(1), NodeId(5)}));
}

TEST(StateCheck, WithoutAMajorityOfThreeNobodyIsOdd) {
  for (const auto& digests : {std::vector<std::uint64_t>{7, 8}, {7, 8, 9}, {7, 7, 8, 8}}) {
    const auto verdict = of(digests);
    EXPECT_TRUE(verdict.differ);
    EXPECT_FALSE(verdict.agreed);
    EXPECT_TRUE(verdict.odd.empty());
  }
}

TEST(StateCheck, WhatWasAgreedIsRead) {
  const auto back = decode_agreed(encode(AgreedDigest{Index(77), 0xffeeddccbbaa9988u}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->check, Index(77));
  EXPECT_EQ(back->digest, 0xffeeddccbbaa9988u);
  EXPECT_FALSE(decode_agreed(""));
  EXPECT_FALSE(decode_agreed("seventeen letters"));
}

}  // namespace
}  // namespace fyr::raft
