// Storage and processes (raft-verification.md C, 128-143) as far as the disk of the simulation
// goes; the real files are tested in tests/unit/raft.
#include "tests/sim/raft/scenarios.h"

namespace fyr::raft::sim {
namespace {

void frozen_leader_replaced() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const Term before = stage.term();
  stage.node(leads).freeze_disk(stage.now() + 60 * kSecond);
  stage.write(leads);
  const Nanos since = stage.now();
  const std::size_t now = stage.leader(6 * kSecond, before);
  Stage::expect(now != leads, "another one leads");
  stage.write_some();
  Stage::expect(stage.now() - since < 5 * kSecond, "within five seconds writes go on");
}

void frozen_follower_harmless() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  const Term before = stage.term();
  stage.node(stage.follower()).freeze_disk(stage.now() + 30 * kSecond);
  for (int i = 0; i < 40; ++i) {
    stage.write_some();
    stage.run(kSecond);
  }
  Stage::expect(stage.leader() == leads && stage.term() == before, "leader and term unchanged");
  stage.even(20 * kSecond);
}

void fsync_error_exits_without_ack() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.node(leads).fail_next_write();
  const SharedCall call = stage.write(leads);
  stage.until(
      "its process ends", [&] { return !stage.node(leads).alive(); }, kSecond);
  Stage::expect(!call->done(), "nothing is acknowledged");
  stage.leader(10 * kSecond);
  stage.write_some(3);
  stage.even();
}

void power_cuts_keep_what_was_acknowledged() {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Stage stage(3, {}, seed);
    for (int round = 0; round < 5; ++round) {
      stage.leader(10 * kSecond);
      stage.write_some(3);
      for (std::size_t i = 0; i < 3; ++i) stage.power_cut(i);
      for (std::size_t i = 0; i < 3; ++i) stage.start(i);
    }
    stage.leader(10 * kSecond);
    stage.write_some();
    stage.even();
  }
}

void state_lost_rebuilt_from_log() {
  Stage stage(3);
  stage.leader();
  stage.write_some(10);
  stage.even();
  const std::size_t one = stage.follower();
  Stage::expect(stage.node(one).disk().durable_state().applied == Index{},
                "its state was never flushed");
  stage.power_cut(one);
  stage.start(one);
  stage.even();
}

void leader_killed_in_turn() {
  Stage stage(5);
  for (int i = 0; i < 20; ++i) {
    const std::size_t leads = stage.leader(10 * kSecond);
    stage.write_some(2);
    const Term before = stage.term();
    stage.kill(leads);
    stage.leader(10 * kSecond, before);
    stage.start(leads);
  }
  stage.even();
}

}  // namespace

std::vector<Scenario> fault_scenarios() {
  return {
      {"st-frozen-leader-replaced", frozen_leader_replaced},
      {"st-frozen-follower-harmless", frozen_follower_harmless},
      {"st-fsync-error-exits-no-ack", fsync_error_exits_without_ack},
      {"st-power-cuts-lose-nothing-acknowledged", power_cuts_keep_what_was_acknowledged},
      {"st-state-lost-rebuilt-from-log", state_lost_rebuilt_from_log},
      {"st-leader-killed-in-turn", leader_killed_in_turn},
  };
}

}  // namespace fyr::raft::sim
