// Snapshots (raft-verification.md C, 93-111).
#include "tests/sim/raft/scenarios.h"

namespace fyr::raft::sim {
namespace {

Stage short_logs(std::size_t voters, std::uint64_t seed = 1) {
  return Stage(
      voters,
      [](Knobs& knobs) {
        knobs.core.retention.entries = 20;
        knobs.core.retention.step_entries = 10;
        knobs.core.cache_bytes = 2'000;
      },
      seed);
}

// Writes until the leader's log begins behind what `behind` has.
void outrun(Stage& stage, std::size_t behind) {
  const Index has = stage.node(behind).disk().log().last();
  for (int i = 0; i < 400 && stage.view(stage.leader()).base <= has; ++i) stage.write_some();
  Stage::expect(stage.view(stage.leader()).base > has, "the leader's log begins later");
}

void lagging_follower_installs_then_follows() {
  Stage stage = short_logs(3);
  stage.leader();
  stage.write_some(5);
  stage.even();
  const std::size_t behind = stage.follower();
  stage.isolate(behind);
  outrun(stage, behind);
  stage.heal();
  stage.even();
  Stage::expect(stage.world().marks().count(Mark::SnapshotInstalled) >= 1, "by a snapshot");
  stage.write_some(5);
  stage.even();
}

void install_over_conflicting_log() {
  Stage stage = short_logs(3);
  stage.leader();
  stage.write_some(5);
  stage.even();
  const std::size_t old = stage.leader();
  stage.isolate(old);
  for (int i = 0; i < 10; ++i) stage.write(old);
  const Term before = stage.term();
  stage.run(50 * kMilli);
  stage.leader(10 * kSecond, before);
  outrun(stage, old);
  stage.heal();
  stage.even();
  stage.write_some(3);
  stage.even();
}

void killed_while_installing() {
  for (std::size_t point = 0; point < 16; ++point) {
    Stage stage = short_logs(3);
    stage.leader();
    stage.write_some(5);
    stage.even();
    const std::size_t behind = stage.follower();
    stage.kill(behind);
    outrun(stage, behind);
    stage.start(behind);
    stage.run(static_cast<Nanos>(point) * 5 * kMilli);
    stage.power_cut(behind);
    stage.run(100 * kMilli);
    stage.start(behind);
    stage.even(20 * kSecond);
  }
}

void resume_after_receiver_crash() {
  Stage stage = short_logs(3);
  stage.leader();
  stage.write_some(5);
  stage.even();
  const std::size_t behind = stage.follower();
  stage.kill(behind);
  outrun(stage, behind);
  stage.start(behind);
  stage.until(
      "some pieces are there",
      [&] { return stage.node(behind).disk().partial_snapshot().second >= 3; }, 5 * kSecond);
  stage.power_cut(behind);
  stage.start(behind);
  stage.even(20 * kSecond);
  Stage::expect(stage.world().marks().count(Mark::SnapshotResumed) >= 1, "it goes on where it was");
}

void leader_change_mid_transfer() {
  Stage stage = short_logs(3);
  stage.leader();
  stage.write_some(5);
  stage.even();
  const std::size_t behind = stage.follower();
  stage.kill(behind);
  outrun(stage, behind);
  stage.start(behind);
  const Term before = stage.term();
  stage.until(
      "some pieces are there",
      [&] { return stage.node(behind).disk().partial_snapshot().second >= 2; }, 5 * kSecond);
  const std::size_t old = stage.leader();
  stage.kill(old);
  stage.leader(10 * kSecond, before);
  stage.write_some(3);
  stage.even(20 * kSecond);
}

void frequent_compaction_does_not_restart_transfer() {
  Stage stage = short_logs(3);
  stage.leader();
  stage.write_some(5);
  stage.even();
  const std::size_t behind = stage.follower();
  stage.kill(behind);
  outrun(stage, behind);
  stage.start(behind);
  for (int i = 0; i < 100; ++i) stage.write_some(3);
  stage.even(20 * kSecond);
  Stage::expect(stage.world().marks().count(Mark::SnapshotInstalled) <= 2,
                "one snapshot, at most two");
}

void to_offline_peer_not_started() {
  Stage stage = short_logs(3);
  stage.leader();
  stage.write_some(5);
  stage.even();
  const std::size_t away = stage.follower();
  stage.kill(away);
  outrun(stage, away);
  const std::uint64_t before = stage.world().marks().count(Mark::SnapshotMade);
  stage.run(30 * kSecond);
  Stage::expect(stage.world().marks().count(Mark::SnapshotMade) <= before + 1,
                "not one after the other for somebody who is away");
}

void new_node_starts_from_a_snapshot() {
  Stage stage(3, [](Knobs& knobs) {
    knobs.spares = 1;
    knobs.core.retention.entries = 20;
    knobs.core.retention.step_entries = 10;
  });
  stage.leader();
  outrun(stage, 3);
  ConfigChange change;
  Member member;
  member.id = NodeId(4);
  member.name = "n4";
  member.address = "n4:1";
  change.put.push_back(std::move(member));
  const SharedCall call = stage.change(stage.leader(), std::move(change));
  stage.until(
      "the change is made", [&] { return call->done(); }, 5 * kSecond);
  stage.even(20 * kSecond);
}

}  // namespace

std::vector<Scenario> snapshot_scenarios() {
  return {
      {"sn-lagging-follower-installs-then-follows", lagging_follower_installs_then_follows},
      {"sn-install-over-conflicting-log", install_over_conflicting_log},
      {"sn-crash-at-each-install-step", killed_while_installing},
      {"sn-resume-after-receiver-crash", resume_after_receiver_crash},
      {"sn-leader-change-mid-transfer", leader_change_mid_transfer},
      {"sn-frequent-snapshots-do-not-restart-transfer",
       frequent_compaction_does_not_restart_transfer},
      {"sn-to-offline-peer-not-started", to_offline_peer_not_started},
      {"sn-new-node-starts-from-a-snapshot", new_node_starts_from_a_snapshot},
  };
}

}  // namespace fyr::raft::sim
