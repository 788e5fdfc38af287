#include "raft/space_watch.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

constexpr std::uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

TEST(SpaceWatch, LowIsFivePercentAtMostOneGibibyte) {
  EXPECT_EQ((io::DiskSpace{100 * kMiB, 0}).low_mark(), 5 * kMiB);
  EXPECT_EQ((io::DiskSpace{4096 * kGiB, 0}).low_mark(), kGiB);
  EXPECT_FALSE((io::DiskSpace{100 * kMiB, 5 * kMiB}).is_low());
  EXPECT_TRUE((io::DiskSpace{100 * kMiB, 5 * kMiB - 1}).is_low());
}

TEST(SpaceWatch, WhatWasLowIsGoodOnlyWithAQuarterMore) {
  EXPECT_TRUE(is_low_now(true, {100 * kMiB, 6 * kMiB}));
  EXPECT_FALSE(is_low_now(false, {100 * kMiB, 6 * kMiB}));
  EXPECT_FALSE(is_low_now(true, {100 * kMiB, 7 * kMiB}));
}

TEST(SpaceWatch, SaysTheFirstFindingAtOnceAndEndsWhenToldTo) {
  TempFolder folder{Medium::Memory};
  std::promise<bool> found;
  SpaceWatch watch(folder.path(), [&](bool low) { found.set_value(low); });
  ASSERT_EQ(found.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  watch.stop();
}

}  // namespace
}  // namespace fyr::raft
