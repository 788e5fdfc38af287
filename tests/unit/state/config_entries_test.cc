#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::IsEmpty;

class ConfigEntries : public StateTest {
 protected:
  static pb::Command set(const std::string& kind, const std::string& name, const std::string& json,
                         std::optional<StateIndex> cas = {}) {
    pb::Command command;
    auto& request = *command.mutable_config_entry_set();
    request.mutable_entry()->set_kind(kind);
    request.mutable_entry()->set_name(name);
    request.mutable_entry()->set_json(json);
    request.set_cas(cas.has_value());
    request.mutable_entry()->set_modify_index(cas.value_or(0));
    return command;
  }
  static pb::Command remove(const std::string& kind, const std::string& name) {
    pb::Command command;
    command.mutable_config_entry_delete()->set_kind(kind);
    command.mutable_config_entry_delete()->set_name(name);
    return command;
  }
  std::size_t count(const std::string& kind) { return store_.config_entries(kind).rows.size(); }
};

TEST_F(ConfigEntries, AreListedByKindOrAltogether) {
  done(set("a", "x", "{}"));
  done(set("ab", "x", "{}"));
  done(set("a", "y/z", "{}"));
  EXPECT_EQ(count("a"), 2u);
  EXPECT_EQ(count("ab"), 1u);
  EXPECT_EQ(count(""), 3u);
  EXPECT_EQ(count("none"), 0u);
  EXPECT_EQ(store_.config_entry("a", "y/z")->json(), "{}");
  EXPECT_EQ(store_.config_entry("a", "y"), nullptr);
}

TEST_F(ConfigEntries, TheSameAgainChangesNothing) {
  const StateIndex made = done(set("a", "x", "{}"));
  done(set("a", "x", "{}"));
  EXPECT_THAT(changes_.rows, IsEmpty());
  EXPECT_EQ(store_.config_entry("a", "x")->modify_index(), made);
}

TEST_F(ConfigEntries, CompareAndSetFollowsTheIndex) {
  const StateIndex made = done(set("a", "x", "1", 0));
  EXPECT_FALSE(apply(set("a", "x", "2", 0)).done);
  EXPECT_FALSE(apply(set("a", "x", "2", made + 100)).done);
  EXPECT_EQ(store_.config_entry("a", "x")->json(), "1");
  done(set("a", "x", "2", made));
  EXPECT_EQ(store_.config_entry("a", "x")->create_index(), made);
  pb::Command stale = remove("a", "x");
  stale.mutable_config_entry_delete()->set_cas(true);
  stale.mutable_config_entry_delete()->set_modify_index(made);
  EXPECT_FALSE(apply(stale).done);
  EXPECT_EQ(count("a"), 1u);
}

TEST_F(ConfigEntries, IndexesNeverGoBackAlsoNotOverALoad) {
  done(set("a", "x", "{}"));
  const StateIndex other = done(set("b", "x", "{}"));
  const StateIndex gone = done(remove("a", "x"));
  done(remove("a", "x"));
  for (const StateStore* store : {&store_}) {
    EXPECT_EQ(store->config_entries("a").index, gone);
    EXPECT_EQ(store->config_entries("b").index, other);
    EXPECT_EQ(store->config_entries("").index, gone);
    EXPECT_EQ(store->index_of({TopicKind::ConfigEntry, "a/x"}), gone);
  }
  const StateStore again = reloaded();
  EXPECT_EQ(again.config_entries("a").index, gone);
  EXPECT_EQ(again.config_entries("b").index, other);
  EXPECT_EQ(again.config_entries("").index, gone);
  EXPECT_EQ(again.index_of({TopicKind::ConfigEntry, "a/x"}), gone);
  EXPECT_EQ(again.digest(), store_.digest());
  const StateIndex back = done(set("a", "x", "{}"));
  EXPECT_EQ(index_of(TopicKind::ConfigEntry, "a/x"), back);
  EXPECT_EQ(reloaded().digest(), store_.digest());
}

}  // namespace
}  // namespace fyr::server
