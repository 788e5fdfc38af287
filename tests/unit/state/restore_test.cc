// Saving all rows and restoring them, also into a state whose indexes are lower or higher.
#include "base/bytes.h"
#include "server/state/saved_rows.h"
#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

class Restore : public StateTest {
 protected:
  static pb::Command stage(const std::string& id, std::uint32_t part, const std::string& data) {
    pb::Command command;
    command.mutable_restore_stage()->set_id(id);
    command.mutable_restore_stage()->set_part(part);
    command.mutable_restore_stage()->set_data(data);
    return command;
  }
  static pb::Command commit(const std::string& id, std::uint32_t parts, const std::string& all) {
    pb::Command command;
    command.mutable_restore_commit()->set_id(id);
    command.mutable_restore_commit()->set_parts(parts);
    command.mutable_restore_commit()->set_sha256(sha256(all));
    return command;
  }
  // In two parts.
  StateIndex restore(const std::string& saved) {
    done(stage("r", 0, saved.substr(0, saved.size() / 2)));
    done(stage("r", 1, saved.substr(saved.size() / 2)));
    return done(commit("r", 2, saved));
  }
  void fill() {
    done(service_command("n", "s", "s", 80, {"t"}));
    done(check_command("n", "c", "passing", "s"));
    done(session_command(1, "n", {}, "release", 15));
    done(kv_command(pb::KvWrite::SET, "a", "one"));
    done(kv_command(pb::KvWrite::LOCK, "lock", "mine", 0, session_id(1)));
    done(kv_command(pb::KvWrite::SET, "gone", "x"));
    done(kv_command(pb::KvWrite::DELETE, "gone"));
    pb::Command query;
    query.mutable_prepared_query()->mutable_query()->set_id(session_id(7));
    query.mutable_prepared_query()->mutable_query()->set_name("q");
    done(query);
    pb::Command entry;
    entry.mutable_config_entry_set()->mutable_entry()->set_kind("k");
    entry.mutable_config_entry_set()->mutable_entry()->set_name("e");
    done(entry);
    pb::Command coordinate;
    coordinate.mutable_coordinate_update()->add_coordinates()->set_node("n");
    done(coordinate);
    pb::Command autopilot;
    autopilot.mutable_autopilot_set()->mutable_config()->set_max_trailing_logs(7);
    done(autopilot);
  }
  void expect_disk_to_agree() {
    const StateStore again = reloaded();
    EXPECT_EQ(again.digest(), store_.digest());
    EXPECT_EQ(rows_.size(), store_.all_rows().size());
    for (const Topic& topic : {Topic{TopicKind::Nodes, ""},
                               {TopicKind::Query, session_id(7)},
                               {TopicKind::ConfigEntries, "k"},
                               {TopicKind::ConfigEntries, ""},
                               {TopicKind::ConfigEntry, "k/e"},
                               {TopicKind::Coordinates, ""},
                               {TopicKind::ServiceNames, ""},
                               {TopicKind::Service, "s"},
                               {TopicKind::Node, "n"},
                               {TopicKind::NodeSessions, "n"},
                               {TopicKind::KvPrefix, ""},
                               {TopicKind::KvKey, "never"},
                               {TopicKind::CheckState, "critical"}})
      EXPECT_EQ(again.index_of(topic), store_.index_of(topic)) << static_cast<int>(topic.kind);
  }
};

TEST_F(Restore, AllRowsAreTheRowsOnDisk) {
  fill();
  Rows found;
  for (const StoredRow& row : store_.all_rows()) found[{row.table, row.key}] = row.value();
  EXPECT_EQ(found, rows_);
}

TEST_F(Restore, TestRestoreNoticesAnyRowThatDiffers) {
  fill();
  const auto rows = store_.all_rows();
  ASSERT_TRUE(test_restore(rows, encode_rows(rows), store_.applied()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].table == Table::Meta) continue;  // of indexes: a restore makes its own
    auto fewer = rows;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(test_restore(fewer, encode_rows(rows), store_.applied())) << i;
  }
  auto other = rows;
  for (StoredRow& row : other) {
    if (row.table != Table::Kv) continue;
    auto kv = static_cast<const pb::KvPair&>(*row.message);
    kv.set_value(kv.value() + "!");
    row.message = std::make_shared<const pb::KvPair>(kv);
    break;
  }
  const auto noticed = test_restore(rows, encode_rows(other), store_.applied());
  ASSERT_FALSE(noticed);
  EXPECT_EQ(noticed.error().code, ErrorCode::Corrupt);
}

TEST_F(Restore, BringsBackWhatWasSavedAndNothingElse) {
  fill();
  const std::string saved = encode_rows(store_.all_rows());
  done(kv_command(pb::KvWrite::SET, "a", "two"));
  done(kv_command(pb::KvWrite::SET, "b", "new"));
  done(deregister_command("n"));
  const StateIndex at = restore(saved);
  EXPECT_TRUE(changes_.everything);
  EXPECT_EQ(store_.kv("a")->value(), "one");
  EXPECT_EQ(store_.kv("b"), nullptr);
  EXPECT_EQ(store_.kv("lock")->session(), session_id(1));
  ASSERT_NE(store_.session(session_id(1)), nullptr);
  EXPECT_EQ(store_.session(session_id(1))->lock_delay_ns(), 15);
  EXPECT_EQ(store_.service_health("s").rows.size(), 1u);
  EXPECT_EQ(store_.autopilot()->max_trailing_logs(), 7u);
  EXPECT_EQ(store_.applied(), at);
  expect_disk_to_agree();
  // The lock is a lock: its session's end releases it.
  done(destroy_command(1));
  EXPECT_EQ(store_.kv("lock")->session(), "");
  expect_disk_to_agree();
}

TEST_F(Restore, NoIndexFallsAndNoneOfTheArchiveReturns) {
  fill();
  const std::string saved = encode_rows(store_.all_rows());
  for (int i = 0; i < 20; ++i) done(kv_command(pb::KvWrite::SET, "a", std::to_string(i)));
  done(service_command("other", "o", "o"));
  const StateIndex at = restore(saved);
  for (const Topic& topic : {Topic{TopicKind::Nodes, ""},
                             {TopicKind::ServiceNames, ""},
                             {TopicKind::Service, "s"},
                             {TopicKind::Service, "o"},
                             {TopicKind::Node, "other"},
                             {TopicKind::KvKey, "a"},
                             {TopicKind::KvKey, "gone"},
                             {TopicKind::KvKey, "never"},
                             {TopicKind::KvPrefix, ""},
                             {TopicKind::Sessions, ""},
                             {TopicKind::NodeChecks, "n"},
                             {TopicKind::Session, "x"},
                             {TopicKind::CheckState, "critical"},
                             {TopicKind::CheckState, "odd"},
                             {TopicKind::Instances, ""}})
    EXPECT_EQ(store_.index_of(topic), at) << static_cast<int>(topic.kind) << " " << topic.key;
  EXPECT_EQ(store_.kv("a")->modify_index(), at);
  EXPECT_LT(store_.kv("a")->create_index(), at);
  EXPECT_EQ(store_.checks_in_state("critical").index, at);
}

TEST_F(Restore, IntoAYoungerClusterLeavesNoIndexOfTheFuture) {
  fill();
  index_ = 5'000;
  done(kv_command(pb::KvWrite::SET, "late", "x"));
  const std::string saved = encode_rows(store_.all_rows());
  store_ = StateStore();
  rows_.clear();
  index_ = 3;
  const StateIndex at = restore(saved);
  EXPECT_EQ(at, 6u);
  EXPECT_EQ(store_.kv("late")->modify_index(), at);
  EXPECT_EQ(store_.kv("late")->create_index(), at);
  EXPECT_EQ(done(kv_command(pb::KvWrite::SET, "late", "y")), 7u);
  EXPECT_EQ(store_.kv_list("").index, 7u);
  expect_disk_to_agree();
}

TEST_F(Restore, AnythingBrokenIsRefusedAndChangesNothing) {
  fill();
  const std::string saved = encode_rows(store_.all_rows());
  const auto refused = [&](const std::string& bytes, const std::string& whole) {
    done(stage("r", 0, bytes));
    const std::string why = refusal(commit("r", 1, whole));
    EXPECT_NE(why, "(not refused)");
    EXPECT_TRUE(changes_.rows.empty());
    EXPECT_FALSE(changes_.everything);
    EXPECT_EQ(store_.kv("a")->value(), "one");
  };
  refused(saved, saved + "x");
  std::string flipped = saved;
  flipped[saved.size() / 2] ^= 1;
  refused(flipped, saved);
  for (std::size_t size :
       {std::size_t{0}, std::size_t{5}, std::size_t{9}, saved.size() / 2, saved.size() - 1})
    refused(saved.substr(0, size), saved.substr(0, size));
  // A row twice, under two keys or under one that is not its own.
  const auto rows = store_.all_rows();
  auto doubled = rows;
  doubled.push_back(rows.front());
  refused(encode_rows(doubled), encode_rows(doubled));
  auto misplaced = rows;
  misplaced.front().key += "x";
  refused(encode_rows(misplaced), encode_rows(misplaced));
  EXPECT_NE(refusal(commit("unknown", 1, saved)), "(not refused)");
  EXPECT_NE(refusal(commit("r", 2, saved)), "(not refused)") << "a part is missing";
}

TEST_F(Restore, ASecondOneDropsWhatAnotherStaged) {
  fill();
  const std::string saved = encode_rows(store_.all_rows());
  const std::size_t before = rows_.size();
  done(stage("one", 0, "first"));
  done(stage("one", 1, "second"));
  EXPECT_EQ(rows_.size(), before + 2);
  expect_disk_to_agree();
  EXPECT_EQ(encode_rows(store_.all_rows()), saved) << "staged parts are not saved";
  done(stage("two", 0, saved));
  EXPECT_EQ(rows_.size(), before + 1);
  EXPECT_NE(refusal(stage("one", 2, "third")), "(not refused)");
  EXPECT_NE(refusal(commit("one", 1, "first")), "(not refused)");
  done(commit("two", 1, saved));
  expect_disk_to_agree();
  done(stage("three", 0, "x"));
  done(stage("", 0, ""));
  EXPECT_EQ(rows_.size(), store_.all_rows().size());
  expect_disk_to_agree();
}

TEST_F(Restore, AnEmptyStateRestoresToAnEmptyOne) {
  const std::string saved = encode_rows(store_.all_rows());
  fill();
  restore(saved);
  EXPECT_EQ(store_.kv_count() + store_.node_count(), 0u);
  expect_disk_to_agree();
}

}  // namespace
}  // namespace fyr::server
