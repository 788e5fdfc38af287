// Runs every named scenario as a test of its name.
#include "tests/sim/raft/scenarios.h"

#include <gtest/gtest.h>

namespace fyr::raft::sim {
namespace {

class Play : public testing::Test {
 public:
  explicit Play(Scenario scenario) : scenario_(scenario) {}
  void TestBody() override {
    try {
      scenario_.play();
    } catch (const Broken& broken) {
      FAIL() << broken.rule << ": " << broken.what;
    }
  }

 private:
  Scenario scenario_;
};

void add(const std::vector<Scenario>& scenarios) {
  for (const Scenario& scenario : scenarios) {
    testing::RegisterTest("Raft", scenario.name, nullptr, nullptr, __FILE__, __LINE__,
                          [scenario]() -> Play* { return new Play(scenario); });
  }
}

}  // namespace
}  // namespace fyr::raft::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  using namespace fyr::raft::sim;
  add(election_scenarios());
  add(replication_scenarios());
  add(read_scenarios());
  add(membership_scenarios());
  add(snapshot_scenarios());
  add(fault_scenarios());
  return RUN_ALL_TESTS();
}
