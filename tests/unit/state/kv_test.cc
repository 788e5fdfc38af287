#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Verb = pb::KvWrite;

class Kv : public StateTest {
 protected:
  bool write(Verb::Verb verb, const std::string& key, const std::string& value = "",
             std::uint64_t index = 0, const std::string& session = "") {
    const ApplyResult result = apply(kv_command(verb, key, value, index, session));
    EXPECT_FALSE(result.error) << result.error->message;
    return result.done;
  }
  std::vector<std::string> keys(const std::string& prefix, const std::string& separator = "") {
    return store_.kv_keys(prefix, separator).rows;
  }
};

TEST_F(Kv, CheckAndSetFollowsItsTable) {
  struct Row {
    const char* key;
    std::uint64_t index;  // 1: the key's own, 2: a stale one
    bool done;
  };
  ASSERT_TRUE(write(Verb::SET, "there", "1"));
  for (const Row& row : {Row{"new", 0, true}, Row{"there", 0, false}, Row{"there", 2, false},
                         Row{"there", 1, true}, Row{"absent", 2, false}}) {
    const std::uint64_t own = store_.kv("there")->modify_index();
    const std::uint64_t index = row.index == 0 ? 0 : row.index == 1 ? own : own + 1000;
    EXPECT_EQ(write(Verb::CAS, row.key, "2", index), row.done) << row.key << " " << row.index;
  }
  EXPECT_EQ(store_.kv("there")->value(), "2");
  EXPECT_EQ(store_.kv("absent"), nullptr);
}

TEST_F(Kv, ConditionalDeleteFollowsItsTable) {
  ASSERT_TRUE(write(Verb::SET, "a", "1"));
  const std::uint64_t own = store_.kv("a")->modify_index();
  EXPECT_FALSE(write(Verb::DELETE_CAS, "a", "", own + 1));
  EXPECT_FALSE(write(Verb::DELETE_CAS, "a", "", 0));
  EXPECT_NE(store_.kv("a"), nullptr);
  EXPECT_TRUE(write(Verb::DELETE_CAS, "a", "", own));
  EXPECT_EQ(store_.kv("a"), nullptr);
  EXPECT_TRUE(write(Verb::DELETE_CAS, "a", "", own)) << "already gone";
  EXPECT_THAT(changes_.rows, IsEmpty());
}

TEST_F(Kv, TheSameValueAndFlagsAgainChangeNothing) {
  write(Verb::SET, "a", "1");
  const StateIndex index = index_;
  write(Verb::SET, "a", "1");
  EXPECT_THAT(changes_.rows, IsEmpty());
  EXPECT_THAT(changes_.topics, IsEmpty());
  EXPECT_EQ(store_.kv("a")->modify_index(), index);
  pb::Command flags = kv_command(Verb::SET, "a", "1");
  flags.mutable_kv()->mutable_pair()->set_flags(7);
  done(flags);
  EXPECT_EQ(store_.kv("a")->modify_index(), index_);
  EXPECT_EQ(store_.kv("a")->create_index(), index);
}

TEST_F(Kv, AnEmptyKeyIsRefusedExceptAsTheWholeTree) {
  EXPECT_EQ(refusal(kv_command(Verb::SET, "", "x")), "Missing key name");
  EXPECT_EQ(refusal(kv_command(Verb::DELETE, "")), "Missing key name");
  write(Verb::SET, "z", "1");
  write(Verb::SET, "\xff\xff", "1");
  EXPECT_TRUE(write(Verb::DELETE_TREE, ""));
  EXPECT_EQ(store_.kv_count(), 0u);
}

TEST_F(Kv, KeysAreGroupedAtTheSeparator) {
  for (const char* key : {"kk/a/1", "kk/a/2", "kk/b", "kk/c/d/e", "kk/"})
    write(Verb::SET, key, "x");
  EXPECT_THAT(keys("kk/"), ElementsAre("kk/", "kk/a/1", "kk/a/2", "kk/b", "kk/c/d/e"));
  EXPECT_THAT(keys("kk/", "/"), ElementsAre("kk/", "kk/a/", "kk/b", "kk/c/"));
  EXPECT_THAT(keys("kk/a", "/"), ElementsAre("kk/a/"));
  EXPECT_THAT(keys("kk", "/"), ElementsAre("kk/"));
  EXPECT_THAT(keys("kk/", "-"), ElementsAre("kk/", "kk/a/1", "kk/a/2", "kk/b", "kk/c/d/e"));
  EXPECT_THAT(keys("nothing", "/"), IsEmpty());
  write(Verb::SET, "m--1", "x");
  write(Verb::SET, "m--2", "x");
  EXPECT_THAT(keys("m", "--"), ElementsAre("m--"));
  write(Verb::SET, "f\xff\xff", "x");
  write(Verb::SET,
        "f\xff\xff"
        "2",
        "x");
  EXPECT_THAT(keys("f", "\xff"), ElementsAre("f\xff"));
}

TEST_F(Kv, ATreeIsRemovedWholeAndNothingBesideIt) {
  for (const char* key : {"t", "t/", "t/1", "t/2/3", "t0", "s"}) write(Verb::SET, key, "x");
  const StateIndex index = done(kv_command(Verb::DELETE_TREE, "t/"));
  EXPECT_THAT(keys(""), ElementsAre("s", "t", "t0"));
  EXPECT_TRUE(touched(TopicKind::KvKey, "t/2/3"));
  EXPECT_FALSE(touched(TopicKind::KvKey, "t"));
  EXPECT_EQ(index_of(TopicKind::KvKey, "t/1"), index);
  EXPECT_EQ(index_of(TopicKind::KvPrefix, "t/"), index);
  EXPECT_EQ(index_of(TopicKind::KvPrefix, "t/2"), index);
  EXPECT_EQ(index_of(TopicKind::KvPrefix, ""), index);
  EXPECT_LT(index_of(TopicKind::KvPrefix, "s"), index);
  EXPECT_LE(store_.tombstone_count(), 2u) << "one for the tree, not one for each key";
}

TEST_F(Kv, TheTombstoneOfATreeReplacesThoseInsideIt) {
  for (const char* key : {"t/1", "t/2", "t/3/a", "t/3/b", "u"}) write(Verb::SET, key, "x");
  write(Verb::DELETE, "t/1");
  write(Verb::DELETE, "u");
  done(kv_command(Verb::DELETE_TREE, "t/3/"));
  ASSERT_EQ(store_.tombstone_count(), 3u);
  write(Verb::SET, "t/4", "x");
  const StateIndex index = done(kv_command(Verb::DELETE_TREE, "t/"));
  EXPECT_EQ(store_.tombstone_count(), 2u);
  for (const char* key : {"t/1", "t/2", "t/3/a"}) EXPECT_EQ(index_of(TopicKind::KvKey, key), index);
}

TEST_F(Kv, IndexesSurviveDeletionAndNeverGoBack) {
  write(Verb::SET, "p/a", "1");
  write(Verb::SET, "p/b", "1");
  const StateIndex deleted = done(kv_command(Verb::DELETE, "p/b"));
  EXPECT_EQ(index_of(TopicKind::KvKey, "p/b"), deleted);
  EXPECT_EQ(index_of(TopicKind::KvPrefix, "p/"), deleted);
  EXPECT_EQ(store_.kv_list("p/").index, deleted);
  EXPECT_EQ(store_.kv_list("p/").rows.size(), 1u);
  write(Verb::SET, "p/b", "2");
  EXPECT_EQ(index_of(TopicKind::KvKey, "p/b"), index_);
  EXPECT_EQ(store_.tombstone_count(), 0u);
}

TEST_F(Kv, AMissingKeyHasAnIndexThatUnrelatedWritesLeaveAlone) {
  const StateIndex before = index_of(TopicKind::KvKey, "p/missing");
  EXPECT_GE(before, 1u);
  write(Verb::SET, "p/other", "1");
  write(Verb::DELETE, "p/other");
  write(Verb::SET, "q", "1");
  EXPECT_EQ(index_of(TopicKind::KvKey, "p/missing"), before);
  write(Verb::SET, "p/missing", "1");
  EXPECT_EQ(index_of(TopicKind::KvKey, "p/missing"), index_);
}

TEST_F(Kv, ReapedTombstonesLeaveAFloorSoThatNoIndexGoesBack) {
  for (int i = 0; i < 100; ++i) {
    write(Verb::SET, "k" + std::to_string(i), "x");
    write(Verb::DELETE, "k" + std::to_string(i));
  }
  ASSERT_EQ(store_.tombstone_count(), 100u);
  std::map<std::string, StateIndex> before;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "k" + std::to_string(i);
    before[key] = index_of(TopicKind::KvKey, key);
  }
  const StateIndex list_before = store_.kv_list("k").index;
  const StateIndex upto = store_.reap_index(30);
  pb::Command reap;
  reap.mutable_tombstone_reap()->set_upto_index(upto);
  done(reap);
  EXPECT_EQ(store_.tombstone_count(), 30u);
  EXPECT_THAT(changes_.topics, IsEmpty()) << "reaping wakes nobody";
  for (const auto& [key, index] : before) EXPECT_GE(index_of(TopicKind::KvKey, key), index) << key;
  EXPECT_EQ(store_.kv_list("k").index, list_before);
  const StateStore again = reloaded();
  EXPECT_EQ(again.digest(), store_.digest());
  for (const auto& [key, index] : before)
    EXPECT_EQ(again.index_of({TopicKind::KvKey, key}), index_of(TopicKind::KvKey, key));
  EXPECT_EQ(store_.reap_index(30), 0u);
}

class Locks : public Kv {
 protected:
  void SetUp() override {
    done(node_command("n"));
    done(session_command(1, "n"));
    done(session_command(2, "n"));
  }
};

TEST_F(Locks, AcquireContendReleaseFollowConsul) {
  const std::string one = session_id(1), two = session_id(2);
  EXPECT_TRUE(write(Verb::LOCK, "l", "me", 0, one));
  EXPECT_EQ(store_.kv("l")->lock_index(), 1u);
  EXPECT_EQ(store_.kv("l")->session(), one);
  EXPECT_FALSE(write(Verb::LOCK, "l", "you", 0, two));
  EXPECT_THAT(changes_.topics, IsEmpty());
  EXPECT_TRUE(write(Verb::LOCK, "l", "me again", 0, one));
  EXPECT_EQ(store_.kv("l")->lock_index(), 1u) << "taking again what one holds counts no new hold";
  EXPECT_TRUE(write(Verb::SET, "l", "by anyone"));
  EXPECT_EQ(store_.kv("l")->session(), one) << "a plain write leaves the holder";
  EXPECT_EQ(store_.kv("l")->lock_index(), 0u);
  EXPECT_FALSE(write(Verb::UNLOCK, "l", "x", 0, two));
  EXPECT_TRUE(write(Verb::UNLOCK, "l", "done", 0, one));
  EXPECT_EQ(store_.kv("l")->session(), "");
  EXPECT_EQ(store_.kv("l")->value(), "done");
  EXPECT_FALSE(write(Verb::UNLOCK, "l", "done", 0, one)) << "not held any more";
  EXPECT_TRUE(write(Verb::LOCK, "l", "you", 0, two));
  EXPECT_EQ(store_.kv("l")->lock_index(), 1u);
  EXPECT_FALSE(write(Verb::UNLOCK, "absent", "x", 0, one));
}

TEST_F(Locks, AcquiringWithoutALivingSessionIsRefused) {
  EXPECT_EQ(refusal(kv_command(Verb::LOCK, "k", "x", 0, "")), "missing session");
  EXPECT_EQ(refusal(kv_command(Verb::LOCK, "k", "x", 0, "nonsense")),
            "failed session lookup: index error: UUID must be 36 characters");
  EXPECT_EQ(refusal(kv_command(Verb::LOCK, "k", "x", 0, session_id(9))),
            "invalid session \"" + session_id(9) + "\"");
  EXPECT_EQ(refusal(kv_command(Verb::UNLOCK, "k", "x", 0, "")), "missing session");
}

TEST_F(Locks, ALeaderMayRefuseALockWhoseDelayItKnows) {
  pb::Command command = kv_command(Verb::LOCK, "k", "x", 0, session_id(1));
  command.mutable_kv()->set_lock_delayed(true);
  EXPECT_FALSE(apply(command).done);
  EXPECT_EQ(store_.kv("k"), nullptr);
}

TEST_F(Locks, DeletingALockedKeyFreesItsSessionFromIt) {
  write(Verb::LOCK, "k", "x", 0, session_id(1));
  write(Verb::DELETE, "k");
  write(Verb::SET, "k", "plain");
  const StateIndex index = index_;
  done(destroy_command(1));
  EXPECT_EQ(store_.kv("k")->modify_index(), index) << "the new key was never locked";
}

TEST_F(Kv, ReadersOfARemovedTreeWaitForNoRowOfIt) {
  for (const char* key : {"t/1", "t/2", "t/3", "u"}) write(Verb::SET, key, "x");
  ChangeList changes;
  store_.change(++index_, kv_command(Verb::DELETE_TREE, "t/"), changes);
  EXPECT_THAT(keys(""), ElementsAre("u"));
  EXPECT_THAT(changes.topics, IsEmpty());
  ASSERT_EQ(changes.rows.size(), 1u) << "the tombstone";
  ASSERT_EQ(changes.removed.size(), 1u);
  EXPECT_EQ(changes.removed[0].rows.size(), 3u);
  store_.reduce_digest(changes.complete());
  EXPECT_EQ(changes.rows.size(), 4u);
  EXPECT_THAT(changes.topics,
              ElementsAre(Topic{TopicKind::KvKey, "t/1"}, Topic{TopicKind::KvKey, "t/2"},
                          Topic{TopicKind::KvKey, "t/3"}));
  EXPECT_THAT(changes.removed, IsEmpty());
}

TEST_F(Kv, ATreeRemovedBetweenOtherWritesOfOneEntryKeepsItsPlace) {
  for (const char* key : {"t/1", "t/2"}) write(Verb::SET, key, "x");
  pb::Command batch;
  for (const pb::Command& item :
       {kv_command(Verb::SET, "t/3", "early"), kv_command(Verb::DELETE_TREE, "t/"),
        kv_command(Verb::SET, "t/1", "late"), kv_command(Verb::SET, "t/4", "late"),
        kv_command(Verb::DELETE_TREE, "t/"), kv_command(Verb::SET, "t/2", "last")})
    *batch.mutable_batch()->add_commands() = item;
  done(batch);
  EXPECT_THAT(keys(""), ElementsAre("t/2"));
  const StateStore again = reloaded();
  EXPECT_EQ(again.kv("t/1"), nullptr);
  ASSERT_NE(again.kv("t/2"), nullptr);
  EXPECT_EQ(again.kv("t/2")->value(), "last");
  EXPECT_EQ(again.digest(), store_.digest());
  EXPECT_EQ(changes_.topics.size(), 4u) << "each key once";
}

}  // namespace
}  // namespace fyr::server
