#include "raft/identity_file.h"

#include <gtest/gtest.h>

#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

TEST(IdentityFile, SurvivesReopening) {
  TempFolder folder;
  const auto path = folder.path() / "identity";
  const Identity written{NodeId(0xfedcba9876543210), "00112233445566778899aabbccddeeff", true};
  ASSERT_TRUE(write_identity(path, written));
  const auto read = read_identity(path);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->node, written.node);
  EXPECT_EQ(read->cluster, written.cluster);
  EXPECT_TRUE(read->ready);
}

TEST(IdentityFile, SeesEveryFlippedBitAndEveryTruncation) {
  TempFolder folder;
  const auto path = folder.path() / "identity";
  ASSERT_TRUE(write_identity(path, {NodeId(7), "aa", false}));
  const std::string good = read_bytes(path);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 4;
    write_bytes(path, bad);
    const auto read = read_identity(path);
    ASSERT_FALSE(read) << at;
    EXPECT_NE(read.error().message.find(path.string()), std::string::npos);
    write_bytes(path, good.substr(0, at));
    ASSERT_FALSE(read_identity(path)) << at;
  }
}

TEST(IdentityFile, NamesALaterVersion) {
  TempFolder folder;
  const auto path = folder.path() / "identity";
  write_bytes(path, "fyr-raft 2\nnode 1\n");
  EXPECT_EQ(read_identity(path).error().code, ErrorCode::Unsupported);
}

}  // namespace
}  // namespace fyr::raft
