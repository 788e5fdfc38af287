// Costs in CPU time of this thread, so that a busy machine does not matter much. The bounds are
// wide (several times what is normal): they catch a wrong order of growth, not a slow day.
#include <time.h>

#include <cstdio>

#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kSlack = 20;
#else
constexpr double kSlack = 1;
#endif

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void report(const char* what, double microseconds) {
  std::printf("%-50s %10.2f us\n", what, microseconds);
}

class Timing : public StateTest {
 protected:
  // Like apply, without keeping the rows.
  void feed(const pb::Command& command) {
    changes_.clear();
    store_.apply(++index_, command, changes_);
  }
};

TEST_F(Timing, RemovingATreeOfAHundredThousandKeysIsOneShortStep) {
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i)
    feed(kv_command(pb::KvWrite::SET, "tree/of/keys/" + std::to_string(i), "value"));
  ASSERT_EQ(store_.kv_count(), kCount);
  changes_.clear();
  const double start = cpu_seconds();
  store_.change(++index_, kv_command(pb::KvWrite::DELETE_TREE, "tree/"), changes_);
  const double readers_wait = cpu_seconds() - start;
  EXPECT_EQ(store_.kv_count(), 0u);
  EXPECT_EQ(store_.tombstone_count(), 1u);
  store_.reduce_digest(changes_.complete());
  const double spent = cpu_seconds() - start;
  report("delete tree, 100000 keys", spent * 1e6);
  report("  of that while readers wait", readers_wait * 1e6);
  EXPECT_EQ(changes_.topics.size(), kCount);
  EXPECT_LT(spent, 0.4 * kSlack);
  EXPECT_LT(readers_wait, 0.06 * kSlack);
  feed(kv_command(pb::KvWrite::SET, "tree/of/keys/1", "again"));
  EXPECT_EQ(store_.kv_count(), 1u);
}

TEST_F(Timing, ARegistrationCostsTheSameInALargeCatalog) {
  const auto registration = [](int i) {
    const std::string id = "service-" + std::to_string(i);
    pb::Command command =
        service_command("node-" + std::to_string(i % 100), id, "name-" + std::to_string(i % 1000));
    command.mutable_register_()->set_skip_node_update(true);
    for (int k = 0; k < 5; ++k)
      add_check(command, id + ":" + std::to_string(k), "passing", id, "all is well");
    return command;
  };
  std::vector<pb::Command> commands;
  for (int i = 0; i < 10'000; ++i) commands.push_back(registration(i));
  double start = cpu_seconds();
  for (int i = 0; i < 1'000; ++i) feed(commands[static_cast<std::size_t>(i)]);
  const double early = (cpu_seconds() - start) / 1'000;
  for (int i = 1'000; i < 9'000; ++i) feed(commands[static_cast<std::size_t>(i)]);
  start = cpu_seconds();
  for (int i = 9'000; i < 10'000; ++i) feed(commands[static_cast<std::size_t>(i)]);
  const double late = (cpu_seconds() - start) / 1'000;
  report("register a service with 5 checks, early", early * 1e6);
  report("register a service with 5 checks, late", late * 1e6);
  EXPECT_LT(late, 200e-6 * kSlack);
  EXPECT_LT(late, early * 6 + 20e-6);

  pb::Command single = service_command("node-1", "one", "one");
  single.mutable_register_()->set_skip_node_update(true);
  add_check(single, "one:0", "passing", "one");
  start = cpu_seconds();
  for (int i = 0; i < 1'000; ++i) {
    single.mutable_register_()->mutable_service()->set_port(1000 + i);
    feed(single);
  }
  const double change = (cpu_seconds() - start) / 1'000;
  report("change one service", change * 1e6);
  EXPECT_LT(change, 60e-6 * kSlack);
}

TEST_F(Timing, TheHealthOfAHundredInstancesIsCollectedQuickly) {
  for (int i = 0; i < 100; ++i) {
    const std::string node = "node-" + std::to_string(i);
    pb::Command command = service_command(node, "web", "web");
    add_check(command, "serfHealth", "passing");
    add_check(command, "service:web", "passing", "web");
    feed(command);
  }
  const double start = cpu_seconds();
  std::size_t rows = 0;
  for (int i = 0; i < 200; ++i) rows += store_.service_health("web").rows.size();
  const double spent = (cpu_seconds() - start) / 200;
  report("service_health of 100 instances", spent * 1e6);
  EXPECT_EQ(rows, 20'000u);
  EXPECT_LT(spent, 100e-6 * kSlack);
}

}  // namespace
}  // namespace fyr::server
