#include "tests/unit/api/api_fixture.h"

namespace fyr::server {
namespace {

class TxnApi : public ApiTest {
 protected:
  Reply txn(const std::string& body, const std::string& query = "") {
    return client().ask("PUT", "/v1/txn" + query, body);
  }
};

TEST_F(TxnApi, WritesAreOneStepAndShowTheirRows) {
  const auto reply = txn(R"([{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}},
                             {"kv":{"verb":"get","key":"a"}},
                             {"Node":{"Verb":"set","Node":{"Node":"n","Address":"10.0.0.1"}}}])");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto rows = reply.value().at("Results").as_array();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_TRUE(rows[0].at("KV").at("Value").is_null());
  EXPECT_EQ(rows[1].at("KV").at("Value").as_string(), "MQ==");
  EXPECT_EQ(rows[2].at("Node").at("Datacenter").as_string(), "dc1");
  EXPECT_EQ(rows[0].at("KV").at("ModifyIndex"), rows[2].at("Node").at("ModifyIndex"));
}

TEST_F(TxnApi, AFailureIs409AndNamesTheOperations) {
  const auto reply = txn(R"([{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}},
                             {"KV":{"Verb":"get","Key":"none"}}])");
  EXPECT_EQ(reply.status, 409);
  EXPECT_TRUE(reply.value().at("Results").is_null());
  EXPECT_EQ(reply.value().at("Errors").at(0).at("OpIndex").as_int64(), 1);
  EXPECT_EQ(client().ask("GET", "/v1/kv/a").status, 404);
}

TEST_F(TxnApi, OperationsThatCannotRunAreRefusedBeforeAnyRuns) {
  EXPECT_EQ(txn(R"([{"KV":{"Verb":"set","Key":"a"}},{"KV":{"Verb":"nope","Key":"b"}}])").status,
            409);
  EXPECT_EQ(txn(R"([{"KV":{"Verb":"set","Key":""}}])").status, 409);
  EXPECT_EQ(txn(R"([{"Service":{"Verb":"delete","Node":"n","Service":{"ID":"x"}}}])").status, 409);
  EXPECT_EQ(
      txn(R"([{"Check":{"Verb":"set","Check":{"Node":"n","Name":"c","Status":"ok"}}}])").status,
      409);
  EXPECT_EQ(txn(R"([{"KV":{"Verb":"set","Key":"a","Value":"%"}}])").status, 400);
  EXPECT_EQ(txn("{}").status, 400);
  EXPECT_EQ(client().ask("GET", "/v1/kv/a").status, 404);
}

TEST_F(TxnApi, ReadsTakeAConsistencyAndCommandsDoNotGrowTheLog) {
  put("/v1/kv/a", "1");
  const auto before = server_->read([](const StateStore& store) { return store.applied(); });
  for (const auto* query : {"", "?stale", "?consistent"}) {
    const auto reply = txn(R"([{"KV":{"Verb":"get-tree","Key":"a"}}])", query);
    EXPECT_EQ(reply.value().at("Results").as_array().size(), 1u) << query;
    EXPECT_EQ(reply.headers.at("x-consul-knownleader"), "true");
  }
  EXPECT_EQ(server_->read([](const StateStore& store) { return store.applied(); }), before);
}

TEST_F(TxnApi, SixtyFourOperationsAreTheLimit) {
  std::string body = "[";
  for (int i = 0; i < 64; ++i) body += R"({"KV":{"Verb":"set","Key":"a","Value":""}},)";
  EXPECT_EQ(txn(body.substr(0, body.size() - 1) + "]").status, 200);
  EXPECT_EQ(txn(body + R"({"KV":{"Verb":"get","Key":"a"}}])").status, 413);
}

}  // namespace
}  // namespace fyr::server
