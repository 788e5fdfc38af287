#include <gtest/gtest.h>

#include "agent/checks/output.h"

namespace fyr::agent {
namespace {

TEST(CheckOutputText, ReplacesWhatIsNotUtf8AndDropsNul) {
  EXPECT_EQ(clean_text(std::string_view("a\0b", 3)), "ab");
  EXPECT_EQ(clean_text("caf\xC3\xA9"), "caf\xC3\xA9");
  EXPECT_EQ(clean_text("x\xFFy"), "x\xEF\xBF\xBDy");
  EXPECT_EQ(clean_text("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
  EXPECT_EQ(clean_text("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(clean_text("\xF0\x9F\x98"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(CheckOutputText, ScriptsKeepTheirLastBytesAndSaySo) {
  EXPECT_EQ(script_output("fine\n", 5, 4096), "fine\n");
  EXPECT_EQ(script_output("567890", 10, 6), "Captured 6 of 10 bytes\n...\n567890");
  EXPECT_EQ(script_output("1234567890", 10, 4), "Captured 4 of 10 bytes\n...\n7890");
}

TEST(CheckOutputText, NotesKeepTheirFirstBytesAndSaySo) {
  EXPECT_EQ(note_output("short", 10), "short");
  EXPECT_EQ(note_output("1234567890", 4), "1234 ... (captured 4 of 10 bytes)");
}

TEST(CheckOutputText, ACutNeverSplitsACharacter) {
  EXPECT_EQ(body_output("a\xC3\xA9z", 2), "z");
  EXPECT_EQ(body_output("a\xC3\xA9z", 3), "\xC3\xA9z");
  EXPECT_EQ(note_output("a\xC3\xA9z", 2), "a ... (captured 2 of 4 bytes)");
}

}  // namespace
}  // namespace fyr::agent
