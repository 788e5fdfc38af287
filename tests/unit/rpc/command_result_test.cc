#include "server/rpc/command_result.h"

#include <gtest/gtest.h>

namespace fyr::server {
namespace {

TEST(CommandResult, ATransactionsOutcomeTravelsWithoutTheValuesNobodySees) {
  auto outcome = std::make_shared<TxnOutcome>();
  auto pair = std::make_shared<pb::KvPair>();
  pair->set_key("k");
  pair->set_value("value");
  pair->set_flags(7);
  pair->set_session("s");
  pair->set_lock_index(2);
  pair->set_create_index(3);
  pair->set_modify_index(4);
  outcome->rows.push_back({pair, nullptr, nullptr, nullptr, true});
  outcome->rows.push_back({pair, nullptr, nullptr, nullptr, false});
  auto node = std::make_shared<pb::Node>();
  node->set_name("n");
  outcome->rows.push_back({nullptr, node, nullptr, nullptr, false});
  outcome->errors.push_back({2, "why"});
  ApplyResult result;
  result.txn = outcome;
  pb::CommandResult wire;
  encode_result(result, wire);
  const ApplyResult back = decode_result(wire);
  ASSERT_TRUE(back.txn);
  ASSERT_EQ(back.txn->rows.size(), 3u);
  EXPECT_EQ(back.txn->rows[0].kv->SerializeAsString(), pair->SerializeAsString());
  EXPECT_TRUE(back.txn->rows[0].with_value);
  EXPECT_EQ(back.txn->rows[1].kv->value(), "");
  EXPECT_EQ(back.txn->rows[1].kv->modify_index(), 4u);
  EXPECT_EQ(back.txn->rows[2].node->name(), "n");
  ASSERT_EQ(back.txn->errors.size(), 1u);
  EXPECT_EQ(back.txn->errors[0].op, 2u);
  EXPECT_EQ(back.txn->errors[0].what, "why");
}

}  // namespace
}  // namespace fyr::server
