#include "agent/local/persistence.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "agent/watch_store.h"
#include "tests/unit/agent/folder.h"

namespace fyr::agent {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

LocalService service(const std::string& id) {
  LocalService out;
  out.row.set_id(id);
  out.row.set_service("web");
  out.row.set_port(80);
  out.row.add_tags("v1");
  out.token = "secret";
  return out;
}

LocalCheck check(const std::string& id) {
  LocalCheck out;
  out.row.set_check_id(id);
  out.row.set_name("a check");
  out.row.set_service_id("scope/web");
  out.row.set_status("passing");
  out.definition.set_http("http://127.0.0.1/");
  out.definition.set_interval_ns(1'000'000'000);
  return out;
}

fs::path only_file(const fs::path& folder) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) found = entry.path();
  }
  return found;
}

TEST(Persistence, ItemsComeBackAsTheyWere) {
  Folder folder;
  auto disk = Persistence::open(folder.path());
  ASSERT_TRUE(disk);
  ASSERT_TRUE(disk->save_service(service("scope/web")));
  ASSERT_TRUE(disk->save_check(check("c:1")));
  auto again = Persistence::open(folder.path());
  auto loaded = again->load();
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->services.size(), 1u);
  EXPECT_EQ(loaded->services[0].row.SerializeAsString(),
            service("scope/web").row.SerializeAsString());
  EXPECT_EQ(loaded->services[0].token, "secret");
  ASSERT_EQ(loaded->checks.size(), 1u);
  EXPECT_EQ(loaded->checks[0].definition.http(), "http://127.0.0.1/");
  EXPECT_TRUE(loaded->set_aside.empty());
}

TEST(Persistence, FilesAreForTheOwnerOnly) {
  Folder folder;
  auto disk = Persistence::open(folder.path());
  ASSERT_TRUE(disk->save_service(service("web")));
  struct stat mode {};
  ASSERT_EQ(stat(only_file(folder.path() / "services").c_str(), &mode), 0);
  EXPECT_EQ(mode.st_mode & 0777, 0600u);
}

TEST(Persistence, RemovedItemsStayRemoved) {
  Folder folder;
  auto disk = Persistence::open(folder.path());
  ASSERT_TRUE(disk->save_service(service("web")));
  ASSERT_TRUE(disk->save_check(check("c")));
  ASSERT_TRUE(disk->save_state("c", CheckMemory{}));
  ASSERT_TRUE(disk->remove_service("web"));
  ASSERT_TRUE(disk->remove_check("c"));
  ASSERT_TRUE(disk->remove_check("never there"));
  auto loaded = disk->load();
  EXPECT_TRUE(loaded->services.empty());
  EXPECT_TRUE(loaded->checks.empty());
  EXPECT_TRUE(loaded->states.empty());
}

// Every way to cut or change a byte of the file must be noticed.
TEST(Persistence, WhatAKilledProcessLeftHalfWrittenIsRemovedAtTheStart) {
  Folder folder;
  ASSERT_TRUE(Persistence::open(folder.path()));
  for (const char* name : {"services", "checks", "checks/state"}) {
    std::ofstream(folder.path() / name / "0123.tmp-0123456789ab") << "{";
    std::ofstream(folder.path() / name / "4567.bad") << "{";
  }
  ASSERT_TRUE(Persistence::open(folder.path()));
  for (const char* name : {"services", "checks", "checks/state"}) {
    EXPECT_FALSE(fs::exists(folder.path() / name / "0123.tmp-0123456789ab")) << name;
    EXPECT_TRUE(fs::exists(folder.path() / name / "4567.bad")) << name;
  }
}

TEST(Persistence, ATornOrChangedFileIsSetAsideAndTheOthersAreRead) {
  Folder folder;
  auto disk = Persistence::open(folder.path());
  ASSERT_TRUE(disk->save_service(service("web")));
  const fs::path file = only_file(folder.path() / "services");
  std::stringstream content;
  content << std::ifstream(file).rdbuf();
  const std::string whole = content.str();
  ASSERT_GT(whole.size(), 50u);
  std::vector<std::string> damaged;
  for (std::size_t cut = 0; cut + 2 < whole.size(); cut += 7)
    damaged.push_back(whole.substr(0, cut));
  const auto row = whole.find("\"row\":\"") + 7;
  std::string changed = whole;
  changed[row + 4] = changed[row + 4] == 'A' ? 'B' : 'A';
  damaged.push_back(changed);
  ASSERT_TRUE(disk->save_service(service("other")));
  for (const std::string& bytes : damaged) {
    fs::remove(file.string() + ".bad");
    std::ofstream(file, std::ios::trunc) << bytes;
    auto loaded = disk->load();
    ASSERT_TRUE(loaded);
    ASSERT_EQ(loaded->services.size(), 1u) << bytes;
    EXPECT_EQ(loaded->services[0].row.id(), "other");
    ASSERT_EQ(loaded->set_aside.size(), 1u);
    EXPECT_TRUE(fs::exists(file.string() + ".bad"));
    EXPECT_FALSE(fs::exists(file));
  }
}

TEST(Persistence, ATtlRunsOnWhileTheAgentIsAwayAndOtherStatesAreAsFreshAsItsLife) {
  Folder folder;
  auto disk = Persistence::open(folder.path());
  CheckMemory ttl;
  ttl.status = CheckStatus::Passing;
  ttl.output = "ok";
  ttl.ttl_left = seconds(20);
  ASSERT_TRUE(disk->save_state("ttl", ttl));
  CheckMemory critical;
  critical.status = CheckStatus::Critical;
  critical.critical_for = seconds(7);
  ASSERT_TRUE(disk->save_state("http", critical));
  ASSERT_TRUE(disk->touch());
  auto loaded = disk->load();
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->states.size(), 2u);
  EXPECT_EQ(loaded->states["ttl"].ttl_left, seconds(20));
  EXPECT_EQ(loaded->states["ttl"].output, "ok");
  EXPECT_LT(loaded->states["ttl"].age, seconds(10));
  EXPECT_GE(loaded->states["http"].critical_for, seconds(7));
}

TEST(Persistence, WithoutAFolderNothingIsKept) {
  auto disk = Persistence::open({});
  ASSERT_TRUE(disk);
  EXPECT_TRUE(disk->save_service(service("web")));
  EXPECT_TRUE(disk->touch());
  EXPECT_TRUE(disk->load()->services.empty());
}

TEST(Persistence, AFolderThatCannotBeMadeIsNamed) {
  auto disk = Persistence::open("/proc/no-such-place");
  ASSERT_FALSE(disk);
  EXPECT_NE(disk.error().message.find("/proc/no-such-place"), std::string::npos);
}

TEST(WatchStore, TheLastListComesBackUnlessItIsDamaged) {
  Folder folder;
  ServiceView view;
  view.index = 42;
  auto entry = std::make_shared<pb::ServiceEntry>();
  entry->mutable_node()->set_name("n1");
  entry->mutable_service()->set_id("web");
  view.rows = {entry};
  ASSERT_TRUE(save_view(folder.path(), "web", view));
  const ViewPtr back = load_view(folder.path(), "web");
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->from_disk);
  EXPECT_EQ(back->index, 42u);
  ASSERT_EQ(back->rows.size(), 1u);
  EXPECT_EQ(back->rows[0]->node().name(), "n1");
  EXPECT_FALSE(load_view(folder.path(), "other"));
  const fs::path file = only_file(folder.path());
  std::ofstream(file, std::ios::app) << "x";
  EXPECT_FALSE(load_view(folder.path(), "web"));
}

}  // namespace
}  // namespace fyr::agent
