#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::IsEmpty;
using Verb = pb::KvWrite;

constexpr std::int64_t kSecond = 1'000'000'000;

class Sessions : public StateTest {
 protected:
  void SetUp() override {
    done(node_command("n"));
    done(check_command("n", "serfHealth", "passing"));
  }
  bool lock(const std::string& key, int session, std::int64_t stamp_ns = 0) {
    pb::Command command = kv_command(Verb::LOCK, key, "v", 0, session_id(session));
    command.set_stamp_ns(stamp_ns);
    const ApplyResult result = apply(command);
    EXPECT_FALSE(result.error);
    return result.done;
  }
};

TEST_F(Sessions, CreationIsRefusedWithConsulsWords) {
  EXPECT_EQ(refusal(session_command(1, "nowhere")), "Missing node registration");
  EXPECT_EQ(refusal(session_command(1, "n", {"absent"})), "Missing check 'absent' registration");
  done(check_command("n", "serfHealth", "critical"));
  EXPECT_EQ(refusal(session_command(1, "n", {"serfHealth"})),
            "Check 'serfHealth' is in critical state");
  EXPECT_EQ(refusal(session_command(1, "n", {}, "explode")), "Invalid session behavior: explode");
  done(session_command(1, "n"));
  EXPECT_EQ(refusal(session_command(1, "n")), "session \"" + session_id(1) + "\" exists already");
  pb::Command malformed;
  malformed.mutable_session_destroy()->set_id("notauuid");
  EXPECT_EQ(refusal(malformed), "failed session lookup: index error: UUID must be 36 characters");
}

TEST_F(Sessions, DestroyingReleasesOrDeletesWhatItHeld) {
  done(session_command(1, "n"));
  done(session_command(2, "n", {}, "delete"));
  ASSERT_TRUE(lock("released", 1));
  ASSERT_TRUE(lock("deleted", 2));
  done(kv_command(Verb::SET, "deleted-other", "v"));
  StateIndex index = done(destroy_command(1));
  EXPECT_EQ(store_.kv("released")->session(), "");
  EXPECT_EQ(store_.kv("released")->lock_index(), 1u);
  EXPECT_EQ(store_.kv("released")->modify_index(), index);
  EXPECT_TRUE(touched(TopicKind::KvKey, "released"));
  index = done(destroy_command(2));
  EXPECT_EQ(store_.kv("deleted"), nullptr);
  EXPECT_EQ(index_of(TopicKind::KvKey, "deleted"), index);
  EXPECT_NE(store_.kv("deleted-other"), nullptr);
  done(destroy_command(2));
  EXPECT_THAT(changes_.rows, IsEmpty()) << "already gone";
}

TEST_F(Sessions, ACriticalOrRemovedCheckEndsTheSessionInTheSameIndex) {
  done(check_command("n", "c", "passing"));
  done(session_command(1, "n", {"c"}));
  done(session_command(2, "n", {"serfHealth"}));
  ASSERT_TRUE(lock("k", 1));
  done(check_command("n", "c", "warning"));
  EXPECT_NE(store_.session(session_id(1)), nullptr) << "warning is not enough";
  const StateIndex index = done(check_command("n", "c", "critical"));
  EXPECT_EQ(store_.session(session_id(1)), nullptr);
  EXPECT_NE(store_.session(session_id(2)), nullptr);
  EXPECT_EQ(store_.kv("k")->modify_index(), index);
  EXPECT_EQ(index_of(TopicKind::Session, session_id(1)), index);
  EXPECT_TRUE(touched(TopicKind::Session, session_id(1)));
  EXPECT_FALSE(touched(TopicKind::Session, session_id(2)));
  EXPECT_TRUE(touched(TopicKind::NodeSessions, "n"));
  done(deregister_command("n", "", "SERFHEALTH"));
  EXPECT_EQ(store_.session(session_id(2)), nullptr);
}

TEST_F(Sessions, AServiceCheckEndsTheSessionThatNamesIt) {
  pb::Command service = service_command("n", "s", "s");
  add_check(service, "sc", "passing", "s");
  done(service);
  pb::Command create = session_command(1, "n");
  create.mutable_session_create()->mutable_session()->add_service_checks("sc");
  done(create);
  done(deregister_command("n", "s"));
  EXPECT_EQ(store_.session(session_id(1)), nullptr);
}

TEST_F(Sessions, ASessionWithoutChecksOutlivesEverythingButItsNode) {
  done(session_command(1, "n"));
  done(check_command("n", "serfHealth", "critical"));
  EXPECT_NE(store_.session(session_id(1)), nullptr);
  done(deregister_command("n"));
  EXPECT_EQ(store_.session(session_id(1)), nullptr);
  EXPECT_TRUE(store_.node_sessions("n").rows.empty());
  EXPECT_EQ(store_.node_sessions("n").index, index_);
}

TEST_F(Sessions, LockDelayRunsOnTheStampsOfTheCommandsAlone) {
  done(session_command(1, "n", {}, "release", 15 * kSecond));
  done(session_command(2, "n"));
  ASSERT_TRUE(lock("k", 1, 100 * kSecond));
  pb::Command destroy = destroy_command(1);
  destroy.set_stamp_ns(200 * kSecond);
  done(destroy);
  EXPECT_TRUE(store_.lock_delayed("k", 214 * kSecond));
  EXPECT_FALSE(lock("k", 2, 200 * kSecond + 1));
  EXPECT_FALSE(lock("k", 2, 215 * kSecond - 1));
  StateStore again = reloaded();
  EXPECT_TRUE(again.lock_delayed("k", 214 * kSecond)) << "a restart shortens no delay";
  EXPECT_EQ(again.digest(), store_.digest());
  EXPECT_TRUE(lock("k", 2, 215 * kSecond));
  EXPECT_FALSE(store_.lock_delayed("k", 200 * kSecond)) << "forgotten once it is over";
}

TEST_F(Sessions, ARenewedDelayCountsFromTheLastLoss) {
  done(session_command(1, "n", {}, "delete", 10 * kSecond));
  done(session_command(2, "n", {}, "delete", 10 * kSecond));
  done(session_command(3, "n"));
  ASSERT_TRUE(lock("k", 1, 1 * kSecond));
  pb::Command first = destroy_command(1);
  first.set_stamp_ns(2 * kSecond);
  done(first);
  ASSERT_TRUE(lock("k", 2, 12 * kSecond));
  pb::Command second = destroy_command(2);
  second.set_stamp_ns(13 * kSecond);
  done(second);
  EXPECT_FALSE(lock("k", 3, 22 * kSecond));
  EXPECT_TRUE(lock("k", 3, 23 * kSecond));
}

TEST_F(Sessions, ADelayThatIsOverButNotYetForgottenDoesNotShortenTheNextOne) {
  done(session_command(1, "n", {}, "release", 10 * kSecond));
  done(session_command(2, "n", {}, "release", 10 * kSecond));
  done(session_command(3, "n"));
  // More than are forgotten with one command; the last key is among the late ones.
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(lock("k" + std::to_string(1000 + i), 1));
  done(destroy_command(1));
  ASSERT_TRUE(lock("k1199", 2, 10 * kSecond));
  pb::Command again = destroy_command(2);
  again.set_stamp_ns(11 * kSecond);
  done(again);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(lock("k1199", 3, 20 * kSecond));
  EXPECT_TRUE(lock("k1199", 3, 21 * kSecond));
}

TEST_F(Sessions, AVoluntaryReleaseHasNoDelay) {
  done(session_command(1, "n", {}, "release", 15 * kSecond));
  done(session_command(2, "n"));
  ASSERT_TRUE(lock("k", 1, 1));
  done(kv_command(Verb::UNLOCK, "k", "v", 0, session_id(1)));
  EXPECT_TRUE(lock("k", 2, 2));
}

}  // namespace
}  // namespace fyr::server
