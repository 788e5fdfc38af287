#include "base/io/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/id.h"

namespace fyr::io {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() : folder_(fs::path(testing::TempDir()) / make_uuid()) { fs::create_directory(folder_); }
  ~Files() override { fs::remove_all(folder_); }
  const fs::path folder_;
};

TEST_F(Files, AreReadBackAsWritten) {
  const std::string content("a\0b\nc", 5);
  ASSERT_TRUE(write_file_atomically(folder_ / "a", content));
  EXPECT_EQ(*read_file(folder_ / "a"), content);
  ASSERT_TRUE(write_file_atomically(folder_ / "a", "", 0600, false));
  EXPECT_EQ(*read_file(folder_ / "a"), "");
}

TEST_F(Files, HaveTheModeAskedForWhateverTheUmask) {
  const auto old = ::umask(0077);
  const auto written = write_file_atomically(folder_ / "a", "x", 0644);
  ::umask(old);
  ASSERT_TRUE(written);
  EXPECT_EQ(static_cast<unsigned>(fs::status(folder_ / "a").permissions()), 0644u);
}

TEST_F(Files, LeaveTheOldContentAndNoLitterWhenWritingFails) {
  fs::create_directory(folder_ / "taken");
  const auto written = write_file_atomically(folder_ / "taken", "x");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("taken"), std::string::npos);
  EXPECT_TRUE(list_files(folder_)->empty());
}

TEST_F(Files, ErrorsNameThePathAndTheReason) {
  const auto absent = read_file(folder_ / "absent");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::NotFound);
  EXPECT_EQ(absent.error().message, (folder_ / "absent").string() + ": No such file or directory");
  const auto nowhere = write_file_atomically(folder_ / "no" / "a", "x");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::NotFound);
}

TEST_F(Files, AreNotReadBeyondTheLimit) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a", std::string(5000, 'x')));
  EXPECT_TRUE(read_file(folder_ / "a", 5000));
  const auto cut = read_file(folder_ / "a", 4999);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::ResourceExhausted);
}

TEST_F(Files, AreListedSortedWithoutFolders) {
  for (const auto* name : {"b", "a", "c"}) {
    ASSERT_TRUE(write_file_atomically(folder_ / name, "x"));
  }
  fs::create_directory(folder_ / "d");
  EXPECT_EQ(*list_files(folder_), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_FALSE(list_files(folder_ / "absent"));
}

TEST_F(Files, CanBeRemovedTwice) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a", "x"));
  EXPECT_TRUE(remove_file(folder_ / "a"));
  EXPECT_TRUE(remove_file(folder_ / "a"));
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_F(Files, FoldersAreMadeWithTheirParents) {
  ASSERT_TRUE(make_directories(folder_ / "x" / "y" / "z"));
  EXPECT_TRUE(make_directories(folder_ / "x" / "y" / "z"));
  EXPECT_EQ(static_cast<unsigned>(fs::status(folder_ / "x").permissions()), 0700u);
  ASSERT_TRUE(write_file_atomically(folder_ / "f", "x"));
  EXPECT_FALSE(make_directories(folder_ / "f" / "g"));
}

TEST_F(Files, LockIsHeldByOneAtATime) {
  auto first = FileLock::acquire(folder_ / "lock");
  ASSERT_TRUE(first);
  const auto second = FileLock::acquire(folder_ / "lock");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::Conflict);
  EXPECT_NE(second.error().message.find("another process"), std::string::npos);
  { const FileLock moved = std::move(*first); }
  EXPECT_TRUE(FileLock::acquire(folder_ / "lock"));
}

}  // namespace
}  // namespace fyr::io
