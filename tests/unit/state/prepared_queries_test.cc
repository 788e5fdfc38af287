#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::IsEmpty;
using Write = pb::PreparedQueryWrite;

class PreparedQueries : public StateTest {
 protected:
  static pb::Command write(Write::Verb verb, int id, const std::string& name = "",
                           const std::string& session = "", bool is_template = false) {
    pb::Command command;
    auto& request = *command.mutable_prepared_query();
    request.set_verb(verb);
    auto& query = *request.mutable_query();
    query.set_id(session_id(id));
    query.set_name(name);
    query.set_session(session);
    query.set_service("web");
    if (is_template) query.set_template_type("name_prefix_match");
    return command;
  }
};

TEST_F(PreparedQueries, AreFoundByIdAndByNameInAnyCase) {
  done(write(Write::CREATE, 1, "Web"));
  EXPECT_EQ(store_.query(session_id(1))->name(), "Web");
  EXPECT_EQ(store_.query_by_name("wEB")->id(), session_id(1));
  EXPECT_EQ(store_.query_by_name("other"), nullptr);
  EXPECT_EQ(store_.query_template("web"), nullptr);
}

TEST_F(PreparedQueries, NamesAreUniqueAndNoneStandsForAnId) {
  done(write(Write::CREATE, 1, "web"));
  EXPECT_EQ(refusal(write(Write::CREATE, 2, "WEB")), "name 'WEB' aliases an existing query name");
  EXPECT_EQ(refusal(write(Write::CREATE, 2, session_id(1))),
            "name '" + session_id(1) + "' aliases an existing query ID");
  EXPECT_EQ(refusal(write(Write::CREATE, 1, "x")), "query '" + session_id(1) + "' exists");
  done(write(Write::UPDATE, 1, "web"));
  done(write(Write::UPDATE, 1, "renamed"));
  done(write(Write::CREATE, 2, "web"));
  done(write(Write::CREATE, 3));
  done(write(Write::CREATE, 4));  // without a name as often as one likes
}

TEST_F(PreparedQueries, WhatIsNotThereCannotBeChanged) {
  for (const auto verb : {Write::UPDATE, Write::DELETE})
    EXPECT_EQ(refusal(write(verb, 1)),
              "Cannot modify non-existent prepared query: '" + session_id(1) + "'");
}

TEST_F(PreparedQueries, TheTemplateWithTheLongestPrefixCounts) {
  done(write(Write::CREATE, 1, "", "", true));
  done(write(Write::CREATE, 2, "geo-", "", true));
  done(write(Write::CREATE, 3, "geo-eu-", "", true));
  EXPECT_EQ(store_.query_template("GEO-eu-x")->id(), session_id(3));
  EXPECT_EQ(store_.query_template("geo-us")->id(), session_id(2));
  EXPECT_EQ(store_.query_template("geo")->id(), session_id(1));
  EXPECT_EQ(refusal(write(Write::CREATE, 4, "", "", true)),
            "a query template with an empty name already exists");
}

TEST_F(PreparedQueries, AQueryEndsWithItsSession) {
  done(node_command("n"));
  EXPECT_EQ(refusal(write(Write::CREATE, 1, "web", session_id(9))),
            "invalid session \"" + session_id(9) + "\"");
  done(session_command(9, "n"));
  done(write(Write::CREATE, 1, "web", session_id(9)));
  done(write(Write::CREATE, 2, "db", session_id(9)));
  done(write(Write::UPDATE, 2, "db"));  // bound no more
  done(destroy_command(9));
  EXPECT_EQ(store_.query(session_id(1)), nullptr);
  EXPECT_NE(store_.query(session_id(2)), nullptr);
  EXPECT_TRUE(touched(TopicKind::Query, session_id(1)));
}

TEST_F(PreparedQueries, IndexesMoveWithTheirOwnRowsAndSurviveALoad) {
  const StateIndex one = done(write(Write::CREATE, 1, "a"));
  const StateIndex two = done(write(Write::CREATE, 2, "b", "", true));
  EXPECT_EQ(index_of(TopicKind::Query, session_id(1)), one);
  EXPECT_EQ(store_.queries().index, two);
  const StateIndex gone = done(write(Write::DELETE, 1));
  EXPECT_EQ(index_of(TopicKind::Query, session_id(1)), gone);
  EXPECT_EQ(store_.queries().index, gone);
  done(kv_command(pb::KvWrite::SET, "k", "v"));
  const StateStore again = reloaded();
  EXPECT_EQ(again.queries().index, gone);
  EXPECT_EQ(again.index_of({TopicKind::Query, session_id(1)}), gone);
  EXPECT_EQ(again.query_by_name("B")->id(), session_id(2));
  EXPECT_EQ(again.query_template("bb")->id(), session_id(2));
  EXPECT_EQ(again.digest(), store_.digest());
}

}  // namespace
}  // namespace fyr::server
