#include <random>

#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kv = pb::TxnKv;

class TxnTest : public StateTest {
 public:
  TxnTest& kv(Kv::Verb verb, const std::string& key, const std::string& value = "",
              std::uint64_t index = 0, const std::string& session = "") {
    auto& op = *command_.mutable_txn()->add_ops()->mutable_kv();
    op.set_verb(verb);
    op.mutable_pair()->set_key(key);
    op.mutable_pair()->set_value(value);
    op.mutable_pair()->set_modify_index(index);
    op.mutable_pair()->set_session(session);
    return *this;
  }
  TxnTest& node(pb::TxnVerb verb, const std::string& name, std::uint64_t index = 0) {
    auto& op = *command_.mutable_txn()->add_ops()->mutable_node();
    op.set_verb(verb);
    op.mutable_node()->set_name(name);
    op.mutable_node()->set_address("10.0.0.9");
    op.mutable_node()->set_modify_index(index);
    return *this;
  }
  TxnTest& service(pb::TxnVerb verb, const std::string& on, const std::string& id,
                   std::uint64_t index = 0) {
    auto& op = *command_.mutable_txn()->add_ops()->mutable_service();
    op.set_verb(verb);
    op.set_node(on);
    op.mutable_service()->set_id(id);
    op.mutable_service()->set_service(id);
    op.mutable_service()->set_modify_index(index);
    return *this;
  }
  TxnTest& check(pb::TxnVerb verb, const std::string& on, const std::string& id,
                 const std::string& status = "passing", std::uint64_t index = 0) {
    auto& op = *command_.mutable_txn()->add_ops()->mutable_check();
    op.set_verb(verb);
    op.mutable_check()->set_node(on);
    op.mutable_check()->set_check_id(id);
    op.mutable_check()->set_status(status);
    op.mutable_check()->set_modify_index(index);
    return *this;
  }

  TxnOutcome run() {
    const pb::Command command = std::exchange(command_, {});
    EXPECT_TRUE(StateStore::understands(command));
    const std::uint64_t before = store_.digest();
    const ApplyResult result = apply(command);
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.done, result.txn->errors.empty());
    if (!result.done) {
      EXPECT_EQ(store_.digest(), before) << "a failed transaction changed something";
      EXPECT_THAT(changes_.rows, IsEmpty());
      EXPECT_THAT(changes_.topics, IsEmpty());
      EXPECT_THAT(result.txn->rows, IsEmpty());
    }
    EXPECT_EQ(reloaded().digest(), store_.digest());
    return *result.txn;
  }
  // "0: text" of each error.
  std::vector<std::string> errors() {
    std::vector<std::string> out;
    for (const TxnError& error : run().errors)
      out.push_back(std::to_string(error.op) + ": " + error.what);
    return out;
  }

  pb::Command command_;
};

TEST_F(TxnTest, OperationsSeeWhatThoseBeforeThemDid) {
  kv(Kv::SET, "a", "1").kv(Kv::GET, "a").kv(Kv::CAS, "a", "2", index_ + 1).kv(Kv::GET_TREE, "");
  const TxnOutcome outcome = run();
  ASSERT_EQ(outcome.rows.size(), 4u);
  EXPECT_FALSE(outcome.rows[0].with_value);
  EXPECT_EQ(outcome.rows[1].kv->value(), "1");
  EXPECT_EQ(outcome.rows[3].kv->value(), "2");
  EXPECT_EQ(outcome.rows[3].kv->modify_index(), index_);
  EXPECT_TRUE(touched(TopicKind::KvKey, "a"));
}

TEST_F(TxnTest, EveryFailingOperationIsReportedAndNothingIsDone) {
  done(kv_command(pb::KvWrite::SET, "a", "old"));
  kv(Kv::SET, "a", "new")
      .kv(Kv::CHECK_INDEX, "a", "", 1)
      .kv(Kv::GET, "none")
      .kv(Kv::CHECK_NOT_EXISTS, "a")
      .kv(Kv::CAS, "a", "x", 3)
      .kv(Kv::DELETE_CAS, "a", "", 3)
      .kv(Kv::LOCK, "a", "", 0, session_id(9))
      .kv(Kv::UNLOCK, "a", "", 0, session_id(9))
      .kv(Kv::CHECK_SESSION, "a", "", 0, session_id(9));
  const std::string at = std::to_string(index_ + 1);
  EXPECT_THAT(
      errors(),
      ElementsAre("1: failed index check for key \"a\", current modify index " + at + " != 1",
                  "2: key \"none\" doesn't exist", "3: key \"a\" exists",
                  "4: failed to set key \"a\", index is stale",
                  "5: failed to delete key \"a\", index is stale",
                  "6: invalid session \"" + session_id(9) + "\"",
                  "7: failed to unlock key \"a\", lock isn't held, or is held by another session",
                  "8: failed session check for key \"a\", current session \"\" != \"" +
                      session_id(9) + "\""));
  EXPECT_EQ(store_.kv("a")->value(), "old");
}

TEST_F(TxnTest, TheCatalogTakesPart) {
  node(pb::TXN_SET, "n").service(pb::TXN_SET, "n", "web").check(pb::TXN_SET, "n", "c");
  TxnOutcome outcome = run();
  ASSERT_EQ(outcome.rows.size(), 3u);
  EXPECT_EQ(outcome.rows[0].node->name(), "n");
  EXPECT_EQ(outcome.rows[1].service->service(), "web");
  EXPECT_EQ(outcome.rows[2].check->status(), "passing");
  const StateIndex made = index_;
  node(pb::TXN_GET, "n").service(pb::TXN_GET, "n", "web").check(pb::TXN_GET, "n", "c");
  EXPECT_EQ(run().rows.size(), 3u);
  service(pb::TXN_CAS, "n", "web", made + 7).check(pb::TXN_DELETE_CAS, "n", "c", "", made + 7);
  EXPECT_THAT(errors(),
              ElementsAre("0: failed to set service \"web\" on node \"n\", index is stale",
                          "1: failed to delete check \"c\" on node \"n\", index is stale"));
  check(pb::TXN_DELETE_CAS, "n", "c", "", made).service(pb::TXN_DELETE, "n", "web");
  EXPECT_THAT(run().rows, IsEmpty());
  EXPECT_THAT(store_.node_services("n").services, IsEmpty());
  node(pb::TXN_DELETE, "n");
  run();
  EXPECT_EQ(store_.node("n"), nullptr);
}

TEST_F(TxnTest, AFailureUndoesCatalogChangesAndWhatFollowedFromThem) {
  done(service_command("n", "web", "web"));
  done(check_command("n", "c", "passing"));
  done(session_command(1, "n", {"c"}, "delete"));
  done(kv_command(pb::KvWrite::LOCK, "held", "v", 0, session_id(1)));
  // The critical check ends the session, which deletes its key.
  check(pb::TXN_SET, "n", "c", "critical").kv(Kv::GET, "held");
  EXPECT_THAT(errors(), ElementsAre("1: key \"held\" doesn't exist"));
  EXPECT_NE(store_.session(session_id(1)), nullptr);
  EXPECT_NE(store_.kv("held"), nullptr);
  node(pb::TXN_DELETE, "n").node(pb::TXN_GET, "n");
  EXPECT_THAT(errors(), ElementsAre("1: node \"n\" doesn't exist"));
  EXPECT_EQ(store_.service_nodes("web").rows.size(), 1u);
  check(pb::TXN_SET, "n", "c", "critical").kv(Kv::CHECK_NOT_EXISTS, "held");
  EXPECT_THAT(errors(), IsEmpty());
  EXPECT_EQ(store_.session(session_id(1)), nullptr);
}

TEST_F(TxnTest, AServiceNeedsItsNode) {
  service(pb::TXN_SET, "none", "web").check(pb::TXN_SET, "none", "c");
  EXPECT_THAT(errors(),
              ElementsAre("0: Missing node registration", "1: Missing node registration"));
  EXPECT_EQ(store_.node("none"), nullptr);
}

TEST_F(TxnTest, ReadsRunWithoutACommandAndWritesDoNot) {
  done(kv_command(pb::KvWrite::SET, "a", "1"));
  kv(Kv::GET, "a").kv(Kv::CHECK_INDEX, "a", "", index_);
  EXPECT_EQ(store_.read_txn(command_.txn()).rows.size(), 2u);
  kv(Kv::DELETE, "a");
  EXPECT_EQ(store_.read_txn(command_.txn()).errors.size(), 1u);
  EXPECT_NE(store_.kv("a"), nullptr);
}

// run() checks that failures leave no trace and that the disk agrees; the rehearsal's own promise
// (what it lets through does not fail) is a CHECK.
TEST_F(TxnTest, AnyTransactionIsAllOrNothing) {
  std::minstd_rand random(7);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int i = 1; i <= 3; ++i) {
    const std::string name = "n" + std::to_string(i);
    done(service_command(name, "s1", "web"));
    done(check_command(name, "c1", "passing"));
    done(session_command(i, name, {"c1"}, i == 1 ? "delete" : "release", 1000));
  }
  int failed = 0;
  for (int round = 0; round < 600; ++round) {
    command_.set_stamp_ns(round * 300);
    for (int n = 1 + pick(5); n > 0; --n) {
      const std::string on = "n" + std::to_string(1 + pick(3));
      const std::string key = "k/" + std::to_string(pick(4));
      const auto verb = static_cast<pb::TxnVerb>(pick(5));
      const StateIndex index = pick(2) == 0 ? 0 : index_;
      switch (pick(5)) {
        case 0:
          node(verb, on, index);
          break;
        case 1:
          service(verb, on, "s" + std::to_string(pick(3)), index);
          break;
        case 2:
          check(verb, on, "c" + std::to_string(pick(2)), pick(3) == 0 ? "critical" : "passing",
                index);
          break;
        default:
          kv(static_cast<Kv::Verb>(pick(12)), pick(8) == 0 ? "k/" : key, std::to_string(round),
             index, session_id(1 + pick(4)));
      }
    }
    failed += run().errors.empty() ? 0 : 1;
    const int back = 1 + pick(3);
    if (!store_.session(session_id(back)) && store_.node("n" + std::to_string(back)))
      apply(session_command(back, "n" + std::to_string(back), {}, "delete", 1000));
  }
  EXPECT_GT(failed, 100);
  EXPECT_LT(failed, 580);
}

}  // namespace
}  // namespace fyr::server
