#include "raft/driver.h"

#include <gtest/gtest.h>

#include "tests/unit/raft/core_harness.h"

namespace fyr::raft {
namespace {

// A driver that leads, with nothing under way.
class DriverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    step();
    step();
    step();
    step();
    ASSERT_EQ(out_.soft.role, Role::Leader);
    ASSERT_EQ(out_.soft.applied, Index(2));
    ASSERT_EQ(out_.persist.size(), 0u);
  }

  // One step; the disk and the state then do at once what was asked.
  void step() {
    out_ = driver_.step(at_ms(0), input_);
    if (!out_.persist.empty()) input_.written = out_.persist.back().id;
    if (out_.apply && out_.apply->applies()) {
      input_.applied = DriverInput::AppliedTo{out_.apply->range.last, Index{}};
    }
  }
  void add_proposals(int count, std::size_t bytes) {
    for (int i = 0; i < count; ++i) {
      input_.proposals.push_back(
          {std::make_shared<const std::string>(bytes, 'x'),
           [this](Result<Node::Applied> r) { codes_.push_back(r.error().code); }});
    }
  }
  void add_read(ReadMode mode) {
    input_.reads.push_back({mode, [](Result<Index>) {}});
  }

  Driver driver_{CoreConfig{.self = kSelf}, fresh_voter()};
  DriverInput input_;
  DriverOutput out_;
  std::vector<ErrorCode> codes_;
};

TEST_F(DriverTest, TakesAtMost1024ProposalsAStep) {
  add_proposals(3'000, 1);
  step();
  EXPECT_EQ(out_.persist.at(0).entries.size(), 1'024u);
  EXPECT_EQ(input_.proposals.size(), 3'000u - 1'024u);
}

TEST_F(DriverTest, TakesAboutOneMebibyteAStep) {
  add_proposals(10, 400 << 10);
  step();
  EXPECT_EQ(out_.persist.at(0).entries.size(), 3u);
}

TEST_F(DriverTest, WaitersGoWithTheEntriesTheyWaitFor) {
  add_proposals(2, 1);
  step();
  EXPECT_FALSE(out_.apply);
  add_proposals(1, 1);
  step();
  ASSERT_TRUE(out_.apply);
  ASSERT_EQ(out_.apply->waiters.size(), 2u);
  EXPECT_EQ(out_.apply->waiters[0].index, Index(3));
  EXPECT_EQ(out_.apply->waiters[1].index, Index(4));
  EXPECT_EQ(out_.apply->entries.size(), 2u);
}

TEST_F(DriverTest, RefusalsGoToTheApplySideWithTheirReason) {
  add_proposals(1, 1);
  add_proposals(1, 5 << 20);
  step();
  ASSERT_TRUE(out_.apply);
  ASSERT_EQ(out_.apply->refused.size(), 1u);
  EXPECT_EQ(out_.apply->refused[0].error.code, ErrorCode::InvalidArgument);
  EXPECT_EQ(out_.persist.at(0).entries.size(), 1u);
}

TEST_F(DriverTest, ReadsComeBackWithTheirCallback) {
  add_read(ReadMode::Consistent);
  step();
  ASSERT_EQ(out_.reads.size(), 1u);
  EXPECT_EQ(*out_.reads[0].second, Index(2));
}

// D9: what may be in the log is unknown, what cannot be is not.
TEST_F(DriverTest, D9_AbandonTellsUnknownFromNeverHappened) {
  add_proposals(1, 1);
  step();
  add_proposals(1, 1);
  add_read(ReadMode::Consistent);
  DriverOutput rest = driver_.abandon(input_);
  ASSERT_TRUE(rest.apply);
  ASSERT_EQ(rest.apply->refused.size(), 2u);
  EXPECT_EQ(rest.apply->refused[0].error.code, ErrorCode::CommitUnknown);
  EXPECT_EQ(rest.apply->refused[1].error.code, ErrorCode::Stopped);
  ASSERT_EQ(rest.reads.size(), 1u);
  EXPECT_EQ(rest.reads[0].second.error().code, ErrorCode::Stopped);
}

TEST(DriverInput, MergeKeepsOrderAndTheLatestProgress) {
  DriverInput a, b;
  const auto data = [](const char* text) { return std::make_shared<const std::string>(text); };
  a.proposals.push_back({data("1"), nullptr});
  b.proposals.push_back({data("2"), nullptr});
  a.written = WriteId(3);
  a.applied = DriverInput::AppliedTo{Index(1), Index(0)};
  b.written = WriteId(4);
  a.merge(b);
  EXPECT_EQ(*a.proposals.at(1).data, "2");
  EXPECT_EQ(a.written, WriteId(4));
  EXPECT_EQ(a.applied->applied, Index(1));
  EXPECT_TRUE(b.proposals.empty());
}

}  // namespace
}  // namespace fyr::raft
