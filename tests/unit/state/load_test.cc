#include "server/state/digest.h"
#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

class Load : public StateTest {};

TEST_F(Load, RowsThatCannotBeReadAreRefused) {
  StateStore store;
  EXPECT_FALSE(store.load_row(Table::Nodes, "n", "\xff\xff\xff"));
  EXPECT_FALSE(
      store.load_row(Table::Kv, "other key",
                     kv_command(pb::KvWrite::SET, "k", "v").kv().pair().SerializeAsString()));
  EXPECT_FALSE(store.load_row(Table::Meta, "t", "12345678"));
  EXPECT_FALSE(store.load_row(Table::Meta, "x?", "12345678"));
  EXPECT_FALSE(store.load_row(Table::Meta, "fk", "short"));
  EXPECT_FALSE(store.load_row(static_cast<Table>(99), "k", "v"));
}

TEST_F(Load, NamesAndKeysMayHoldAnyBytes) {
  const std::string odd("\xff\0 \xc3", 4);
  for (const auto& command :
       {kv_command(pb::KvWrite::SET, odd, odd), service_command("n", odd, odd)}) {
    // As the log has it.
    pb::Command read_back;
    ASSERT_TRUE(read_back.ParseFromString(command.SerializeAsString()));
    done(read_back);
  }
  const StateStore again = reloaded();
  EXPECT_EQ(again.kv(odd)->value(), odd);
  EXPECT_EQ(again.service_nodes(odd).rows.size(), 1u);
}

TEST_F(Load, RowsWhoseOwnersAreMissingAreRefused) {
  done(service_command("n", "s", "s"));
  done(check_command("n", "c", "passing", "s"));
  done(session_command(1, "n"));
  for (const Table lost : {Table::Nodes, Table::Services}) {
    StateStore store;
    for (const auto& [at, value] : rows_) {
      if (at.first == lost) continue;
      ASSERT_TRUE(store.load_row(at.first, at.second, value));
    }
    EXPECT_FALSE(store.finish_load(index_));
  }
}

TEST_F(Load, TheDigestIsTheSumOfTheRowsInWhateverOrder) {
  done(service_command("n", "s", "s"));
  done(kv_command(pb::KvWrite::SET, "a", "1"));
  done(kv_command(pb::KvWrite::SET, "b", "2"));
  StateStore backwards;
  for (auto it = rows_.rbegin(); it != rows_.rend(); ++it)
    ASSERT_TRUE(backwards.load_row(it->first.first, it->first.second, it->second));
  ASSERT_TRUE(backwards.finish_load(index_));
  EXPECT_EQ(backwards.digest(), store_.digest());
  EXPECT_NE(store_.digest(), StateStore().digest());
  done(kv_command(pb::KvWrite::DELETE, "b"));
  EXPECT_NE(backwards.digest(), store_.digest());
}

TEST_F(Load, TheHashStaysWhatItWasInEarlierReleases) {
  // Digests of servers of different releases are compared: the function is fixed for ever.
  EXPECT_EQ(hash_bytes("", 0), 13369802524118334360u);
  EXPECT_EQ(hash_bytes("fyr", 1), 11339891010764956004u);
  EXPECT_EQ(hash_bytes("0123456789abcdef!", 2), 1822259125825854637u);
}

TEST_F(Load, CommandsOfANewerVersionAreNotUnderstood) {
  pb::Command command = kv_command(pb::KvWrite::SET, "k", "v");
  EXPECT_TRUE(StateStore::understands(command));
  command.set_format(1);
  EXPECT_FALSE(StateStore::understands(command));
  EXPECT_FALSE(StateStore::understands(pb::Command()));
  command = kv_command(static_cast<pb::KvWrite::Verb>(99), "k");
  EXPECT_FALSE(StateStore::understands(command));
  pb::Command batch;
  *batch.mutable_batch()->add_commands() = kv_command(pb::KvWrite::SET, "k");
  EXPECT_TRUE(StateStore::understands(batch));
  batch.mutable_batch()->add_commands();
  EXPECT_FALSE(StateStore::understands(batch));
}

}  // namespace
}  // namespace fyr::server
