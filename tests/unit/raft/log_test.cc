// The core's view of the log, with a naive model beside it.
#include "raft/log.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace fyr::raft {
namespace {

Entry entry(std::uint64_t term, std::uint64_t index, std::size_t bytes = 8) {
  return {Term(term), Index(index), EntryType::App,
          std::make_shared<const std::string>(bytes, 'x')};
}

Log empty_log() {
  return Log(Index(0), Term(0), {}, Index(0));
}

TEST(Log, StartsAtItsBaseAndCountsWhatWasRecoveredAsDurable) {
  const Log log(Index(10), Term(3), {{Index(11), Term(3)}, {Index(14), Term(5)}}, Index(20));
  EXPECT_EQ(log.first(), Index(11));
  EXPECT_EQ(log.durable(), Index(20));
  EXPECT_EQ(log.last_term(), Term(5));
  EXPECT_EQ(log.term_at(Index(10)), Term(3));
  EXPECT_EQ(log.term_at(Index(13)), Term(3));
  EXPECT_EQ(log.term_at(Index(14)), Term(5));
  EXPECT_EQ(log.term_at(Index(9)), std::nullopt);
  EXPECT_EQ(log.term_at(Index(21)), std::nullopt);
}

TEST(Log, EntriesAreDurableWhenTheirWriteIs) {
  Log log = empty_log();
  log.append(entry(1, 1), WriteId(1));
  log.append(entry(1, 2), WriteId(1));
  log.append(entry(1, 3), WriteId(2));
  EXPECT_EQ(log.durable(), Index(0));
  log.on_written(WriteId(1));
  EXPECT_EQ(log.durable(), Index(2));
  log.on_written(WriteId(2));
  EXPECT_EQ(log.durable(), Index(3));
}

// re-aba-append: same index and term written twice; only the second write counts.
TEST(Log, ATailWrittenAgainIsNotAcknowledgedByItsFirstWrite) {
  Log log = empty_log();
  log.append(entry(1, 1), WriteId(1));
  log.append(entry(1, 2), WriteId(2));  // A
  log.truncate_from(Index(2));
  log.append(entry(2, 2), WriteId(3));  // B
  log.truncate_from(Index(2));
  log.append(entry(2, 2), WriteId(4));  // A again
  log.on_written(WriteId(2));
  EXPECT_EQ(log.durable(), Index(1));
  log.on_written(WriteId(3));
  EXPECT_EQ(log.durable(), Index(1));
  log.on_written(WriteId(4));
  EXPECT_EQ(log.durable(), Index(2));
}

TEST(Log, TruncationTakesDurabilityBack) {
  Log log = empty_log();
  for (std::uint64_t i = 1; i <= 5; ++i) log.append(entry(1, i), WriteId(1));
  log.on_written(WriteId(1));
  log.truncate_from(Index(3));
  EXPECT_EQ(log.durable(), Index(2));
  EXPECT_EQ(log.last(), Index(2));
}

TEST(Log, HandsOutCachedEntriesOnlyAsAWholeRange) {
  Log log(Index(0), Term(0), {{Index(1), Term(1)}}, Index(3));
  log.append(entry(2, 4), WriteId(1));
  log.append(entry(2, 5), WriteId(1));
  EXPECT_EQ(log.cached({Index(3), Index(4)}), std::nullopt);
  const auto both = log.cached({Index(4), Index(5)});
  ASSERT_TRUE(both);
  EXPECT_EQ(both->size(), 2u);
  EXPECT_EQ(both->front().index, Index(4));
}

TEST(Log, ReleaseKeepsWhatIsNotDurable) {
  Log log = empty_log();
  log.append(entry(1, 1), WriteId(1));
  log.append(entry(1, 2), WriteId(2));
  log.on_written(WriteId(1));
  log.release(Index(2));
  EXPECT_EQ(log.cached_bytes(), entry_cost(entry(1, 2)));
  EXPECT_TRUE(log.cached({Index(2), Index(2)}));
}

TEST(Log, KeepsTheTermOfItsBaseAfterCompaction) {
  Log log = empty_log();
  log.append(entry(1, 1), WriteId(1));
  log.append(entry(2, 2), WriteId(1));
  log.append(entry(2, 3), WriteId(1));
  log.on_written(WriteId(1));
  log.compact(Index(2));
  EXPECT_EQ(log.first(), Index(3));
  EXPECT_EQ(log.term_at(Index(2)), Term(2));
  EXPECT_EQ(log.term_at(Index(1)), std::nullopt);
  log.compact(Index(3));
  EXPECT_TRUE(log.runs().empty());
  EXPECT_EQ(log.last_term(), Term(2));
}

// Every operation on the log and on a model that remembers the write of each index.
class Model {
 public:
  struct Item {
    Term term;
    WriteId write;
    bool durable;
  };
  std::map<Index, Item> items;
  Index base{};

  Index durable() const {
    Index out = base;
    for (const auto& [index, item] : items) {
      if (!item.durable) break;
      out = index;
    }
    return out;
  }
};

TEST(Log, AgreesWithANaiveModelUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    Log log = empty_log();
    Model model;
    Term term(1);
    WriteId write(1);
    WriteId written(0);
    for (int step = 0; step < 300; ++step) {
      switch (random.below(6)) {
        case 0:
          term = term.next();
          [[fallthrough]];
        case 1:
          log.append(entry(term.value, log.last().value + 1), write);
          model.items[log.last()] = {term, write, false};
          break;
        case 2:
          write = write.next();
          break;
        case 3: {  // some write completes
          written = WriteId(written.value + random.below(write.value - written.value));
          log.on_written(written);
          for (auto& [index, item] : model.items) item.durable |= item.write <= written;
          break;
        }
        case 4: {
          if (log.last() == log.base() || !random.chance(0.3)) break;
          const Index from(log.base().value + 1 +
                           random.below(log.last().value - log.base().value));
          write = write.next();  // a truncation begins a batch
          log.truncate_from(from);
          model.items.erase(model.items.lower_bound(from), model.items.end());
          break;
        }
        case 5: {
          if (log.durable() == log.base() || !random.chance(0.2)) break;
          const Index to(log.base().value + 1 +
                         random.below(log.durable().value - log.base().value));
          log.compact(to);
          model.items.erase(model.items.begin(), model.items.upper_bound(to));
          model.base = to;
          break;
        }
      }
      ASSERT_EQ(log.durable(), model.durable()) << "seed " << seed << " step " << step;
      ASSERT_EQ(log.last(), model.items.empty() ? model.base : model.items.rbegin()->first);
      for (const auto& [index, item] : model.items) ASSERT_EQ(log.term_at(index), item.term);
    }
  }
}

}  // namespace
}  // namespace fyr::raft
