#include "base/log.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <mutex>
#include <vector>

#include "base/id.h"

namespace fyr::log {
namespace {

// A log file of its own; the default output is restored at the end.
class LogFile : public testing::Test {
 protected:
  void SetUp() override { path_ = testing::TempDir() + make_uuid() + ".log"; }
  void TearDown() override {
    configure({});
    std::remove(path_.c_str());
  }
  void configure_file(Level level, bool json = false) { configure({level, path_, json}); }
  std::vector<std::string> lines() {
    flush();
    std::ifstream in(path_);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  std::string path_;
};

TEST_F(LogFile, HoldsOneLineAFactWithLevelAndComponent) {
  configure_file(Level::Info);
  info("raft", "became leader in term {}", 7);
  error("raft", "two {} {}", "a", 1, "surplus");
  const auto all = lines();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(all[0].ends_with("Z [INFO]  raft: became leader in term 7")) << all[0];
  EXPECT_TRUE(all[1].ends_with("Z [ERROR] raft: two a 1")) << all[1];
}

TEST_F(LogFile, LeavesOutWhatIsBelowTheLevel) {
  configure_file(Level::Warn);
  info("a", "quiet");
  warn("a", "loud");
  set_level(Level::Debug);
  debug("a", "now too");
  EXPECT_EQ(lines().size(), 2u);
}

TEST_F(LogFile, NeverLetsForeignTextStartALine) {
  configure_file(Level::Info);
  info("http", "path {}", "/a\n2030-01-01 [ERROR] fake\x1b[0m");
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_NE(all[0].find("/a\\n2030"), std::string::npos);
  EXPECT_EQ(all[0].find('\x1b'), std::string::npos);
}

TEST_F(LogFile, CutsLinesThatAreTooLong) {
  configure_file(Level::Info);
  info("a", "{}", std::string(100000, 'x'));
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_LT(all[0].size(), 9000u);
  EXPECT_TRUE(all[0].ends_with("(cut)"));
}

TEST_F(LogFile, WritesOneJsonObjectALine) {
  configure_file(Level::Info, true);
  warn("dns", "odd \"name\"");
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_NE(all[0].find(R"("@level":"warn","@message":"odd \"name\"","@module":"dns")"),
            std::string::npos)
      << all[0];
}

TEST_F(LogFile, TapSeesItsOwnLevel) {
  configure_file(Level::Warn);
  std::vector<std::string> seen;
  const auto id =
      add_tap([&seen](Level, std::string_view line) { seen.emplace_back(line); }, Level::Debug);
  ASSERT_NE(id, 0u);
  debug("a", "for the tap");
  trace("a", "for nobody");
  remove_tap(id);
  debug("a", "too late");
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_NE(seen[0].find("[DEBUG] a: for the tap"), std::string::npos);
  EXPECT_TRUE(lines().empty());
  EXPECT_FALSE(enabled(Level::Debug));
}

TEST(LogLevel, IsReadInTheSpellingsOfConsul) {
  Level level = Level::Trace;
  EXPECT_TRUE(parse_level("INFO", level));
  EXPECT_EQ(level, Level::Info);
  EXPECT_TRUE(parse_level("err", level));
  EXPECT_EQ(level, Level::Error);
  EXPECT_TRUE(parse_level("Warn", level));
  EXPECT_EQ(level, Level::Warn);
  EXPECT_FALSE(parse_level("loud", level));
  EXPECT_EQ(level, Level::Warn);
}

}  // namespace
}  // namespace fyr::log
