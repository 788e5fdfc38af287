#include "server/query/execute.h"

#include <set>

#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class ExecuteQuery : public StateTest {
 protected:
  void SetUp() override {
    add("n1", "passing", {"a"});
    add("n2", "warning", {"b"});
    add("n3", "critical", {"a", "b"});
    query_.set_service("web");
  }
  void add(const std::string& node, const std::string& status,
           const std::vector<std::string>& tags) {
    pb::Command command = service_command(node, "web", "web", 80, tags);
    add_check(command, "c-" + node, status, "web");
    auto& meta = *command.mutable_register_()->mutable_node()->add_meta();
    meta.set_key("rack");
    meta.set_value(node);
    done(command);
  }
  Execution execute(const std::string& near = "") {
    return execute_query(store_, std::make_shared<pb::PreparedQuery>(query_), near, "n2");
  }
  std::vector<std::string> found() {
    std::vector<std::string> out;
    for (const auto& row : execute().rows) out.push_back(row.node->name());
    return out;
  }
  void keep(int id, const std::string& name, bool is_template = false) {
    pb::Command command;
    auto& query = *command.mutable_prepared_query()->mutable_query();
    query.set_id(session_id(id));
    query.set_name(name);
    query.set_service(is_template ? "${name.suffix}" : "web");
    if (is_template) query.set_template_type("name_prefix_match");
    done(command);
  }

  pb::PreparedQuery query_;
};

TEST_F(ExecuteQuery, LeavesOutTheCriticalAndIfWantedTheWarned) {
  EXPECT_THAT(found(), UnorderedElementsAre("n1", "n2"));
  query_.set_only_passing(true);
  EXPECT_THAT(found(), UnorderedElementsAre("n1"));
}

TEST_F(ExecuteQuery, AnIgnoredCheckHidesNothing) {
  query_.add_ignore_check_ids("c-n3");
  EXPECT_THAT(found(), UnorderedElementsAre("n1", "n2", "n3"));
}

TEST_F(ExecuteQuery, TagsMustBeThereAndThoseWithAMarkMustNot) {
  query_.add_tags("B");
  EXPECT_THAT(found(), UnorderedElementsAre("n2"));
  query_.add_tags("!b");
  EXPECT_THAT(found(), testing::IsEmpty());
}

TEST_F(ExecuteQuery, MetadataMustMatch) {
  auto& meta = *query_.add_node_meta();
  meta.set_key("rack");
  meta.set_value("n2");
  EXPECT_THAT(found(), UnorderedElementsAre("n2"));
  query_.add_service_meta()->set_key("x");
  EXPECT_THAT(found(), testing::IsEmpty());
}

TEST_F(ExecuteQuery, TheOrderIsDrawnAndTheNodeAskedForComesFirst) {
  Random random(1);
  std::set<std::string> first;
  for (int i = 0; i < 50; ++i) {
    Execution run = execute();
    order_rows(run, random, 1);
    ASSERT_EQ(run.rows.size(), 1u);
    first.insert(run.rows[0].node->name());
  }
  EXPECT_EQ(first.size(), 2u);
  for (int i = 0; i < 20; ++i) {
    Execution run = execute("_agent");
    order_rows(run, random, 0);
    EXPECT_EQ(run.rows[0].node->name(), "n2");
    EXPECT_EQ(run.rows.size(), 2u);
  }
}

TEST_F(ExecuteQuery, AreResolvedByIdThenNameThenPrefix) {
  keep(1, "plain");
  keep(2, "pre-", true);
  EXPECT_EQ((*resolve_query(store_, session_id(1)))->name(), "plain");
  EXPECT_EQ((*resolve_query(store_, "PLAIN"))->name(), "plain");
  EXPECT_EQ((*resolve_query(store_, "pre-web"))->service(), "web");
  EXPECT_EQ((*resolve_query(store_, "pre-"))->service(), "");
  EXPECT_EQ(resolve_query(store_, session_id(2)).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(resolve_query(store_, "none").error().code, ErrorCode::NotFound);
}

TEST_F(ExecuteQuery, RefusesWhatConsulRefuses) {
  const auto why = [&] {
    const auto good = check_query(query_);
    return good ? std::string() : good.error().message;
  };
  EXPECT_EQ(why(), "Invalid prepared query: Must be bound to a session");
  query_.set_name("q");
  EXPECT_EQ(why(), "");
  query_.set_dns_ttl("zz");
  EXPECT_EQ(why().substr(0, 41), "Invalid prepared query: Bad DNS TTL 'zz':");
  query_.set_dns_ttl("-1s");
  EXPECT_EQ(why(), "Invalid prepared query: DNS TTL '-1s', must be >=0");
  query_.set_dns_ttl("10s");
  query_.set_failover_nearest_n(-1);
  EXPECT_EQ(why(), "Invalid prepared query: Bad NearestN '-1', must be >= 0");
  query_.set_failover_nearest_n(0);
  query_.clear_service();
  EXPECT_EQ(why(), "Invalid prepared query: Must provide a Service name to query");
}

}  // namespace
}  // namespace fyr::server
