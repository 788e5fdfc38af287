#include "server/api/snapshot_archive.h"

#include <gtest/gtest.h>

#include "base/io/http_router.h"
#include "base/random.h"

namespace fyr::server {
namespace {

SnapshotArchive example() {
  return {"2-12", 12, 2, std::string("state\0bytes", 11) + std::string(2'000, 'x')};
}

TEST(SnapshotArchiveTest, WhatIsWrittenIsRead) {
  for (const std::size_t size : {0u, 1u, 512u, 100'000u}) {
    SnapshotArchive in = example();
    in.state.assign(size, 'y');
    const auto out = read_archive(write_archive(in));
    ASSERT_TRUE(out) << out.error().message;
    EXPECT_EQ(out->id, "2-12");
    EXPECT_EQ(out->index, 12u);
    EXPECT_EQ(out->term, 2u);
    EXPECT_EQ(out->state, in.state);
  }
}

TEST(SnapshotArchiveTest, WhatIsNoArchiveIsRefusedInConsulsWords) {
  EXPECT_EQ(read_archive("").error().message, "failed to decompress snapshot: EOF");
  EXPECT_EQ(read_archive("this is no archive").error().message,
            "failed to decompress snapshot: gzip: invalid header");
  EXPECT_FALSE(read_archive(io::gzip("")));
  EXPECT_FALSE(read_archive(io::gzip("no tar")));
  EXPECT_FALSE(read_archive(io::gzip(std::string(5'000, 'x'))));
}

TEST(SnapshotArchiveTest, AnyCutAndAnyFlippedBitIsNoticedOrHarmless) {
  const std::string whole = write_archive(example());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_archive(std::string_view(whole).substr(0, size))) << size;
  EXPECT_FALSE(read_archive(whole + "x"));
  Random random(1);
  std::size_t refused = 0;
  constexpr std::size_t kGzipHead = 10;  // time and system: nobody reads them
  for (std::size_t at = kGzipHead; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.below(8)));
    // A changed reference into a run of equal bytes says the same.
    const auto out = read_archive(damaged);
    refused += out ? 0u : 1u;
    if (out) {
      EXPECT_EQ(out->state, example().state) << at;
      EXPECT_EQ(out->index, 12u) << at;
    }
  }
  EXPECT_GT(refused, whole.size() * 8 / 10);
}

}  // namespace
}  // namespace fyr::server
