#include "server/api/snapshot_schedule.h"

#include <fstream>

#include "base/io/file.h"
#include "server/api/snapshot_archive.h"
#include "server/state/saved_rows.h"
#include "tests/unit/api/api_fixture.h"

namespace fyr::server {
namespace {

TEST(SnapshotNameTest, SaysWhenAndAtWhichIndexAndSortsByTime) {
  const std::string name = to_file_name({1'795'391'501, 1234});
  EXPECT_EQ(name, "fyr-20261122T235141Z-1234.snap");
  const auto parsed = parse_file_name(name);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->made, 1'795'391'501);
  EXPECT_EQ(parsed->index, 1234u);
  EXPECT_LT(to_file_name({1'795'391'501, 9}), to_file_name({1'795'391'502, 10}));
}

TEST(SnapshotNameTest, OtherFilesAreNotOurs) {
  for (const char* name : {"", "fyr-.snap", "backup.snap", "fyr-20261122T235141Z-1234.snap.tmp-1",
                           "fyr-20261122T235141Z-.snap", "fyr-20261122T235141Z-12x.snap",
                           "fyr-20261322T235141Z-1234.snap", "fyr-20261122T235141Z-01234.snap",
                           "fyr-20261122X235141Z-1234.snap", "x-fyr-20261122T235141Z-1234.snap"})
    EXPECT_FALSE(parse_file_name(name)) << name;
}

class SnapshotScheduleTest : public ApiTest {
 protected:
  void SetUp() override {
    char name[] = "/tmp/fyr-schedule-test-XXXXXX";
    kept_ = ::mkdtemp(name);
  }
  void TearDown() override {
    ApiTest::TearDown();
    std::filesystem::remove_all(kept_);
  }
  void start(Duration interval, std::size_t retain) {
    ApiOptions options;
    options.snapshot_schedule = {interval, retain, false, kept_};
    open(true, options);
    EXPECT_EQ(client().ask("GET", "/v1/catalog/nodes").status, 200);
  }
  json::object status() const {
    return client().ask("GET", "/v1/snapshot/schedule").value().as_object();
  }
  // Polled: a thread of the server makes them.
  json::object wait_for(const std::function<bool(const json::object&)>& condition) const {
    const auto deadline = now() + std::chrono::seconds(20);
    json::object last = status();
    while (!condition(last) && now() < deadline) last = status();
    EXPECT_TRUE(condition(last)) << json::serialize(last);
    return last;
  }

  std::filesystem::path kept_;
};

TEST_F(SnapshotScheduleTest, OldestGoesWhenANewOneIsVerifiedAndOtherFilesStay) {
  for (const char* name : {"fyr-20200101T000000Z-7.snap", "fyr-20200102T000000Z-8.snap", "mine"})
    std::ofstream(kept_ / name) << "x";
  std::ofstream(kept_ / "fyr-20200101T000000Z-7.snap.tmp-abc") << "a remnant";
  start(std::chrono::hours(1), 2);
  put("/v1/kv/a", "1");
  // The newest is years old: one is due at once.
  const auto state = wait_for([](const json::object& s) { return !s.at("LastSuccess").is_null(); });
  const auto& files = state.at("Snapshots").as_array();
  ASSERT_EQ(files.size(), 2u);
  const std::string newest(files[1].at("File").as_string());
  EXPECT_EQ(files[0].at("File").as_string(), "fyr-20200102T000000Z-8.snap");
  const auto names = io::list_files(kept_);
  ASSERT_TRUE(names);
  EXPECT_EQ(*names,
            (std::vector<std::string>{files[0].at("File").as_string().c_str(), newest, "mine"}));
  const auto bytes = io::read_file(kept_ / newest);
  ASSERT_TRUE(bytes);
  const auto archive = read_archive(*bytes);
  ASSERT_TRUE(archive) << archive.error().message;
  EXPECT_TRUE(restored_state(archive->state, archive->index));
}

TEST_F(SnapshotScheduleTest, MakesOneEachInterval) {
  start(std::chrono::milliseconds(300), 5);
  std::uint64_t first = 0;
  wait_for([&](const json::object& s) {
    if (s.at("Snapshots").as_array().empty()) return false;
    first = s.at("Snapshots").as_array()[0].at("Index").to_number<std::uint64_t>();
    return true;
  });
  put("/v1/kv/a", "1");
  wait_for([&](const json::object& s) {
    return s.at("Snapshots").as_array().back().at("Index").to_number<std::uint64_t>() > first;
  });
}

TEST_F(SnapshotScheduleTest, SaysWhyThereIsNone) {
  std::ofstream(kept_ / "file") << "x";
  ApiOptions options;
  options.snapshot_schedule = {std::chrono::hours(1), 2, false, kept_ / "file" / "folder"};
  open(true, options);
  const auto state =
      wait_for([](const json::object& s) { return !s.at("LastError").as_string().empty(); });
  EXPECT_NE(state.at("LastError").as_string().find("file"), std::string::npos);
  EXPECT_TRUE(state.at("LastSuccess").is_null());
}

TEST_F(SnapshotScheduleTest, WithoutAnIntervalNothingIsMade) {
  start(Duration::zero(), 2);
  EXPECT_EQ(status().at("Interval").as_string(), "0s");
  EXPECT_TRUE(std::filesystem::is_empty(kept_));
}

TEST_F(SnapshotScheduleTest, ProgressOfNothingIsNothing) {
  start(Duration::zero(), 2);
  EXPECT_EQ(client().ask("GET", "/v1/snapshot/progress").body,
            R"({"Busy":false,"Step":"","Done":0,"Total":0})");
}

}  // namespace
}  // namespace fyr::server
