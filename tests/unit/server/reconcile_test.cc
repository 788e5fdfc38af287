#include "server/leader/reconcile.h"

#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

class Reconcile : public StateTest {
 protected:
  static MemberFact member(Liveness liveness) {
    MemberFact fact;
    fact.name = "n";
    fact.id = "aaaa";
    fact.address = "10.0.0.1";
    fact.liveness = liveness;
    fact.version = "0.1.0";
    return fact;
  }
  // Applies what a fact asks for; false: nothing.
  bool write(const MemberFact& fact) {
    const auto command = reconcile_member(store_, fact);
    if (!command) return false;
    done(*command);
    EXPECT_FALSE(reconcile_member(store_, fact)) << "the same news again writes something";
    return true;
  }
  std::string health() const {
    for (const CheckRow& row : store_.node_checks("n").rows)
      if (row->check_id() == "serfHealth") return row->status() + ": " + row->output();
    return "(none)";
  }
};

TEST_F(Reconcile, AMemberThatLivesIsRegisteredWithItsGossipCheck) {
  EXPECT_TRUE(write(member(Liveness::Alive)));
  EXPECT_EQ(health(), "passing: Agent alive and reachable");
  EXPECT_EQ(store_.node("n")->id(), "aaaa");
  EXPECT_EQ(store_.node("n")->address(), "10.0.0.1");
  EXPECT_EQ(store_.service_count(), 0u);
}

TEST_F(Reconcile, AServerAlsoGetsTheConsulService) {
  MemberFact fact = member(Liveness::Alive);
  fact.server = true;
  fact.server_port = 8300;
  EXPECT_TRUE(write(fact));
  const auto consul = store_.service_nodes("consul");
  ASSERT_EQ(consul.rows.size(), 1u);
  EXPECT_EQ(consul.rows[0].service->port(), 8300);
  EXPECT_EQ(consul.rows[0].service->meta(6).value(), "0.1.0");
  fact.version = "0.2.0";
  EXPECT_TRUE(write(fact)) << "an upgrade is written";
}

TEST_F(Reconcile, AFailureTurnsTheCheckCriticalAndLeavesTheNodeAlone) {
  write(member(Liveness::Alive));
  const StateIndex index = store_.node("n")->modify_index();
  MemberFact failed = member(Liveness::Failed);
  failed.address = "10.0.0.99";
  EXPECT_TRUE(write(failed));
  EXPECT_EQ(health(), "critical: Agent not live or unreachable");
  EXPECT_EQ(store_.node("n")->modify_index(), index);
  EXPECT_TRUE(write(member(Liveness::Alive)));
  EXPECT_EQ(health(), "passing: Agent alive and reachable");
}

TEST_F(Reconcile, WhatTheAgentSaidAboutItsNodeStays) {
  write(member(Liveness::Alive));
  pb::Command own = node_command("n", "10.0.0.1", "aaaa");
  auto* meta = own.mutable_register_()->mutable_node()->add_meta();
  meta->set_key("rack");
  meta->set_value("7");
  done(own);
  EXPECT_FALSE(write(member(Liveness::Alive)));
  MemberFact moved = member(Liveness::Alive);
  moved.address = "10.0.0.2";
  EXPECT_TRUE(write(moved));
  EXPECT_EQ(store_.node("n")->meta_size(), 1);
  EXPECT_EQ(store_.node("n")->address(), "10.0.0.2");
}

TEST_F(Reconcile, AMemberThatLeftIsRemovedWithAllItHad) {
  write(member(Liveness::Alive));
  done(service_command("n", "s", "s"));
  EXPECT_TRUE(write(member(Liveness::Left)));
  EXPECT_EQ(store_.node("n"), nullptr);
  EXPECT_EQ(store_.service_count(), 0u);
}

TEST_F(Reconcile, NewsAboutAnEarlierMachineOfThatNameAreIgnored) {
  write(member(Liveness::Alive));
  MemberFact old = member(Liveness::Failed);
  old.id = "bbbb";
  EXPECT_FALSE(write(old));
  old.liveness = Liveness::Left;
  EXPECT_FALSE(write(old));
  EXPECT_EQ(health(), "passing: Agent alive and reachable");
}

TEST_F(Reconcile, AFailedMemberNobodyRegisteredStaysUnknown) {
  EXPECT_FALSE(write(member(Liveness::Failed)));
  EXPECT_FALSE(write(member(Liveness::Left)));
}

// One write at a time for each member: the last news wins, also while a write is on its way.
TEST(Reconciler, NewsDuringAWriteAreLookedAtAfterIt) {
  SharedGuarded<StateStore> state;
  StateIndex index = 0;
  std::vector<std::pair<pb::Command, std::function<void(Result<ApplyResult>)>>> proposed;
  Reconciler reconciler(state, [&](pb::Command command, auto done) {
    proposed.emplace_back(std::move(command), std::move(done));
  });
  const auto apply_next = [&] {
    auto [command, done] = std::move(proposed.front());
    proposed.erase(proposed.begin());
    ChangeList changes;
    done(state.write([&](StateStore& store) { return store.apply(++index, command, changes); }));
  };
  MemberFact fact;
  fact.name = "n";
  fact.address = "10.0.0.1";
  reconciler.update(fact);
  fact.liveness = Liveness::Failed;
  reconciler.update(fact);
  fact.liveness = Liveness::Alive;
  reconciler.update(fact);
  fact.liveness = Liveness::Failed;
  reconciler.update(fact);
  ASSERT_EQ(proposed.size(), 1u);
  apply_next();
  ASSERT_EQ(proposed.size(), 1u) << "the last news, once";
  apply_next();
  EXPECT_TRUE(proposed.empty());
  EXPECT_EQ(
      state.read([](const StateStore& store) { return store.node_checks("n").rows[0]->status(); }),
      "critical");
  // A failed write is not repeated by itself.
  fact.liveness = Liveness::Alive;
  reconciler.update(fact);
  proposed.front().second(fail(ErrorCode::NoLeader, "No cluster leader"));
  EXPECT_EQ(proposed.size(), 1u);
  proposed.clear();
  reconciler.update(fact);
  EXPECT_EQ(proposed.size(), 1u);
}

}  // namespace
}  // namespace fyr::server
