#include "raft/commit_note.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

class CommitNoteTest : public ::testing::Test {
 protected:
  TempFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "committed";
};

TEST_F(CommitNoteTest, ANewFolderHasNone) {
  const CommitNote note(path_);
  EXPECT_FALSE(note.found());
  EXPECT_FALSE(note.is_complete());
}

TEST_F(CommitNoteTest, HasTheLastPositionAfterReopening) {
  {
    CommitNote note(path_);
    note.note({Index(7), Term(2)});
    note.note({Index(9), Term(3)});
    EXPECT_FALSE(note.found()) << "what an earlier life noted";
  }
  const CommitNote note(path_);
  EXPECT_EQ(note.found(), (LogPosition{Index(9), Term(3)}));
  EXPECT_TRUE(note.is_complete());
}

TEST_F(CommitNoteTest, AfterAnotherStartOfTheMachineItMayBeTooOld) {
  { CommitNote(path_).note({Index(9), Term(3)}); }
  std::string bytes = read_bytes(path_).substr(0, 60);
  ASSERT_EQ(bytes.size(), 60u);
  bytes[24] = bytes[24] == '0' ? '1' : '0';
  append_be32(bytes, crc32c(bytes));
  write_bytes(path_, bytes);
  const CommitNote note(path_);
  EXPECT_EQ(note.found(), (LogPosition{Index(9), Term(3)}));
  EXPECT_FALSE(note.is_complete());
}

TEST_F(CommitNoteTest, ADamagedOneCountsAsNone) {
  { CommitNote(path_).note({Index(9), Term(3)}); }
  const std::string whole = read_bytes(path_);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] ^= 4;
    write_bytes(path_, bytes);
    EXPECT_FALSE(CommitNote(path_).found()) << "byte " << at;
    write_bytes(path_, whole.substr(0, at));
    EXPECT_FALSE(CommitNote(path_).found()) << "cut at " << at;
  }
}

TEST_F(CommitNoteTest, AFolderThatCannotBeWrittenIsNoFailure) {
  CommitNote note(folder_.path() / "absent" / "committed");
  note.note({Index(1), Term(1)});
  EXPECT_FALSE(note.found());
}

}  // namespace
}  // namespace fyr::raft
