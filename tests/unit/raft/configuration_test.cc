#include "raft/configuration.h"

#include <gtest/gtest.h>

namespace fyr::raft {
namespace {

Configuration joint() {
  Configuration out;
  out.members = {{NodeId(1), "oslo-1", "10.0.0.1:8300", "oslo", 100},
                 {NodeId(2), "oslo-2", "[::1]:8300", "oslo", 0},
                 {NodeId(~0ull), std::string("\0\xff", 2), "", "", 255}};
  out.voters = {NodeId(1), NodeId(2)};
  out.outgoing = {NodeId(1)};
  out.learners = {NodeId(~0ull)};
  return out;
}

TEST(Configuration, SurvivesEncoding) {
  const auto decoded = decode_configuration(encode_configuration(joint()));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, joint());
}

TEST(Configuration, KeepsItsFormOnDisk) {
  // Log entries hold these bytes: if this fails, old logs cannot be read any more.
  const std::string expected(
      "\x01\0\x01\0\0\0\0\0\0\0\x07\0\x01n\0\x03h:1\0\0\x64\0\x01\0\0\0\0\0\0\0\x07\0\0\0\0", 36);
  EXPECT_EQ(encode_configuration(single_voter({NodeId(7), "n", "h:1", "", 100})), expected);
}

TEST(Configuration, KeepsTheKindsOfItsMembers) {
  Configuration c = joint();
  c.members[0].kind = MemberKind::Witness;
  c.members[2].kind = MemberKind::ReadServer;
  std::string bytes = encode_configuration(c);
  EXPECT_EQ(bytes[0], 2);
  const auto decoded = decode_configuration(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, c);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_configuration(bytes.substr(0, size))) << size;
  }
}

TEST(Configuration, NamesAKindItDoesNotKnow) {
  Member member{.id = NodeId(7), .name = "n", .address = "h:1", .site = {}};
  member.kind = static_cast<MemberKind>(3);
  const auto decoded = decode_configuration(encode_configuration(single_voter(member)));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, ErrorCode::Unsupported);
}

TEST(Configuration, RefusesEveryTruncationAndExtension) {
  const std::string whole = encode_configuration(joint());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_configuration(whole.substr(0, size))) << size;
  }
  const auto longer = decode_configuration(whole + "x");
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, ErrorCode::Corrupt);
}

TEST(Configuration, NamesAVersionItDoesNotKnow) {
  std::string bytes = encode_configuration(joint());
  bytes[0] = 9;
  const auto decoded = decode_configuration(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, ErrorCode::Unsupported);
  EXPECT_NE(decoded.error().message.find('9'), std::string::npos);
}

TEST(Configuration, CountsVotersOfBothSetsAsVotersButNoLearner) {
  Configuration c = joint();
  c.outgoing = {NodeId(5)};
  EXPECT_TRUE(c.is_voter(NodeId(1)));
  EXPECT_TRUE(c.is_voter(NodeId(5)));
  EXPECT_FALSE(c.is_voter(NodeId(~0ull)));
}

}  // namespace
}  // namespace fyr::raft
