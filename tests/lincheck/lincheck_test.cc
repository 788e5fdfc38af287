// The checker against histories whose verdict is known, and against a brute-force definition.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/random.h"
#include "tests/lincheck/checker.h"
#include "tests/lincheck/register_model.h"

namespace fyr::lincheck {
namespace {

Operation put(int value, std::int64_t call, std::int64_t end) {
  return {Verb::Put, value, 0, true, true, call, end, 0};
}
Operation lost_put(int value, std::int64_t call) {
  return {Verb::Put, value, 0, true, false, call, kNever, 0};
}
Operation get(int value, std::uint64_t index, std::int64_t call, std::int64_t end) {
  return {Verb::Get, value, index, true, true, call, end, 0};
}
Operation cas(int value, std::uint64_t index, bool done, std::int64_t call, std::int64_t end) {
  return {Verb::Cas, value, index, done, true, call, end, 0};
}
Operation remove(std::int64_t call, std::int64_t end) {
  return {Verb::Delete, 0, 0, true, true, call, end, 0};
}

struct Case {
  const char* name;
  bool legal;
  std::vector<Operation> operations;
};

const std::vector<Case>& cases_of_values() {
  static const std::vector<Case> all = {
      {"nothing happened", true, {}},
      {"one write", true, {put(1, 0, 1)}},
      {"a read of an absent key", true, {get(0, 0, 0, 1)}},
      {"a read of what nobody wrote", false, {get(1, 5, 0, 1)}},
      {"a read after a write", true, {put(1, 0, 1), get(1, 5, 2, 3)}},
      {"a read after a write misses it", false, {put(1, 0, 1), get(0, 0, 2, 3)}},
      {"a read beside a write sees it", true, {put(1, 0, 10), get(1, 5, 2, 3)}},
      {"a read beside a write misses it", true, {put(1, 0, 10), get(0, 0, 2, 3)}},
      {"a read before a write sees it", false, {get(1, 5, 0, 1), put(1, 2, 3)}},
      {"a stale read", false, {put(1, 0, 1), put(2, 2, 3), get(1, 5, 4, 5)}},
      {"two writes beside each other, either may be last",
       true,
       {put(1, 0, 10), put(2, 0, 10), get(1, 5, 11, 12)}},
      {"both orders of two writes seen",
       false,
       {put(1, 0, 10), put(2, 0, 10), get(1, 5, 11, 12), get(2, 6, 13, 14)}},
      {"a value comes back after it was overwritten",
       false,
       {put(1, 0, 1), put(2, 2, 20), get(2, 6, 3, 4), get(1, 5, 5, 6)}},
      {"two readers beside a write agree",
       true,
       {put(1, 0, 1), put(2, 2, 20), get(1, 5, 3, 4), get(2, 6, 5, 6)}},
      {"an unknown write is seen", true, {lost_put(1, 0), get(1, 5, 2, 3)}},
      {"an unknown write never happens", true, {lost_put(1, 0), get(0, 0, 2, 3)}},
      {"an unknown write happens late",
       true,
       {lost_put(1, 0), get(0, 0, 2, 3), get(1, 5, 100, 101)}},
      {"an unknown write happens and is undone by nobody",
       false,
       {lost_put(1, 0), get(1, 5, 2, 3), get(0, 0, 4, 5)}},
      {"an unknown write happens twice",
       false,
       {lost_put(1, 0), get(1, 5, 2, 3), put(2, 4, 5), get(2, 6, 6, 7), get(1, 7, 8, 9)}},
      {"an unknown write overwrites a later one",
       true,
       {lost_put(1, 0), put(2, 1, 2), get(2, 6, 3, 4), get(1, 7, 5, 6)}},
      {"a write is seen before an unknown one began", false, {get(1, 5, 0, 1), lost_put(1, 2)}},
  };
  return all;
}

const std::vector<Case>& cases_of_indexes() {
  static const std::vector<Case> all = {
      {"the index of an unchanged value stays",
       true,
       {put(1, 0, 1), get(1, 5, 2, 3), get(1, 5, 4, 5)}},
      {"the index of an unchanged value moves",
       false,
       {put(1, 0, 1), get(1, 5, 2, 3), get(1, 6, 4, 5)}},
      {"the same value written again has another index",
       true,
       {put(1, 0, 1), get(1, 5, 2, 3), put(1, 4, 5), get(1, 6, 6, 7)}},
      {"cas on the index seen wins",
       true,
       {put(1, 0, 1), get(1, 5, 2, 3), cas(2, 5, true, 4, 5), get(2, 6, 6, 7)}},
      {"cas on the index seen is lost though nobody wrote",
       false,
       {put(1, 0, 1), get(1, 5, 2, 3), cas(2, 5, false, 4, 5)}},
      {"cas on an old index wins",
       false,
       {put(1, 0, 1), get(1, 5, 2, 3), put(3, 4, 5), get(3, 6, 6, 7), cas(2, 5, true, 8, 9)}},
      {"cas on an old index is lost",
       true,
       {put(1, 0, 1), get(1, 5, 2, 3), put(3, 4, 5), get(3, 6, 6, 7), cas(2, 5, false, 8, 9)}},
      {"a lost cas changes the value",
       false,
       {put(1, 0, 1), get(1, 5, 2, 3), cas(2, 4, false, 4, 5), get(2, 6, 6, 7)}},
      {"two cas on one index both win",
       false,
       {put(1, 0, 1), get(1, 5, 2, 3), cas(2, 5, true, 4, 10), cas(3, 5, true, 4, 10)}},
      {"of two cas on one index one wins",
       true,
       {put(1, 0, 1), get(1, 5, 2, 3), cas(2, 5, true, 4, 10), cas(3, 5, false, 4, 10)}},
      {"cas that wants absence wins on an absent key",
       true,
       {cas(1, 0, true, 0, 1), get(1, 5, 2, 3)}},
      {"cas that wants absence wins on a present key",
       false,
       {put(1, 0, 1), cas(2, 0, true, 2, 3)}},
      {"cas that wants absence is lost on a present key",
       true,
       {put(1, 0, 1), cas(2, 0, false, 2, 3), get(1, 5, 4, 5)}},
      {"cas on an index of an absent key wins", false, {cas(1, 5, true, 0, 1)}},
      {"a deleted key is absent", true, {put(1, 0, 1), remove(2, 3), get(0, 0, 4, 5)}},
      {"a deleted key is still there", false, {put(1, 0, 1), remove(2, 3), get(1, 5, 4, 5)}},
      {"a delete beside a read", true, {put(1, 0, 1), remove(2, 10), get(1, 5, 4, 5)}},
      {"after a delete cas can create",
       true,
       {put(1, 0, 1), remove(2, 3), cas(2, 0, true, 4, 5), get(2, 9, 6, 7)}},
      {"operations that touch in time overlap", true, {put(1, 0, 5), get(0, 0, 5, 6)}},
      {"a chain through three overlapping writes",
       true,
       {put(1, 0, 30), put(2, 0, 30), put(3, 0, 30), get(2, 5, 5, 6), get(3, 6, 7, 8),
        get(1, 7, 31, 32)}},
      {"a chain that needs a write twice",
       false,
       {put(1, 0, 30), put(2, 0, 30), get(1, 5, 5, 6), get(2, 6, 7, 8), get(1, 7, 31, 32)}},
  };
  return all;
}

TEST(Lincheck, KnowsTheVerdictOfHistoriesMadeByHand) {
  ASSERT_GE(cases_of_values().size() + cases_of_indexes().size(), 40u);
  for (const auto* cases : {&cases_of_values(), &cases_of_indexes()}) {
    for (const Case& one : *cases) {
      EXPECT_EQ(check(one.operations) == Verdict::Linearizable, one.legal) << one.name;
    }
  }
}

// Tries every order, and every choice of which unknown operations happened.
bool brute_force(std::vector<Operation> left, const RegisterState& state) {
  const bool finished =
      std::ranges::none_of(left, [](const Operation& operation) { return operation.known; });
  if (finished) return true;
  std::int64_t first_end = kNever;
  for (const Operation& operation : left) first_end = std::min(first_end, operation.end);
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i].call > first_end) continue;
    const auto after = step(state, left[i]);
    if (!after) continue;
    auto rest = left;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    if (brute_force(std::move(rest), *after)) return true;
  }
  return false;
}

// A history of a real register: each operation happens at one moment of its time.
std::vector<Operation> legal_history(Random& random, std::size_t count) {
  std::vector<Operation> out(count);
  std::vector<std::pair<std::int64_t, std::size_t>> moments;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::int64_t>(10 + random.below(40));
    out[i].call = at - static_cast<std::int64_t>(random.below(8));
    out[i].end = at + static_cast<std::int64_t>(random.below(8));
    moments.emplace_back(at, i);
  }
  std::ranges::sort(moments);
  RegisterState state;
  std::uint64_t clock = 0;
  int value = 0;
  for (const auto& [at, i] : moments) {
    Operation& operation = out[i];
    operation.verb = static_cast<Verb>(random.below(4));
    ++clock;
    if (operation.verb == Verb::Get) {
      operation.value = state.value;
      operation.index = state.value == 0 ? 0 : state.index;
      continue;
    }
    if (operation.verb == Verb::Cas) {
      operation.value = ++value;
      operation.index = random.chance(0.6) ? state.index : random.below(clock);
      operation.done = operation.index == state.index;
      if (operation.done) state = {operation.value, clock};
      continue;
    }
    if (operation.verb == Verb::Put) operation.value = ++value;
    state = {operation.value, operation.verb == Verb::Put ? clock : 0};
    if (random.chance(0.2)) {
      operation.known = false;
      operation.end = kNever;
    }
  }
  return out;
}

void spoil(Random& random, std::vector<Operation>& history) {
  Operation& one = history[random.below(history.size())];
  Operation& other = history[random.below(history.size())];
  switch (random.below(4)) {
    case 0:
      std::swap(one.value, other.value);
      break;
    case 1:
      one.done = !one.done;
      break;
    case 2:
      if (one.known) one.end = one.call;
      break;
    default:
      std::swap(one.index, other.index);
      break;
  }
}

TEST(Lincheck, AcceptsEveryHistoryOfARealRegister) {
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const auto history = legal_history(random, 1 + random.below(20));
    ASSERT_EQ(check(history), Verdict::Linearizable) << i;
  }
}

std::string in_words(const std::vector<Operation>& history) {
  std::ostringstream out;
  for (const Operation& o : history) {
    out << "\n  verb " << static_cast<int>(o.verb) << " value " << o.value << " index " << o.index
        << " done " << o.done << " known " << o.known << " from " << o.call << " to " << o.end;
  }
  return out.str();
}

TEST(Lincheck, AgreesWithTheDefinitionOnSpoiledHistories) {
  Random random(2);
  int illegal = 0;
  for (int i = 0; i < 10'000; ++i) {
    auto history = legal_history(random, 2 + random.below(6));
    spoil(random, history);
    const bool legal = brute_force(with_written_indexes(history), {});
    illegal += legal ? 0 : 1;
    ASSERT_EQ(check(history) == Verdict::Linearizable, legal) << i << in_words(history);
  }
  EXPECT_GT(illegal, 1000);
}

TEST(Lincheck, ShowsASmallIllegalPart) {
  std::vector<Operation> history;
  for (int i = 1; i <= 50; ++i) history.push_back(put(i, i * 10, i * 10 + 1));
  history.push_back(get(20, 7, 1000, 1001));
  ASSERT_EQ(check(history), Verdict::Illegal);
  const auto small = shrink(history);
  EXPECT_EQ(check(small), Verdict::Illegal);
  EXPECT_LE(small.size(), 3u);
}

TEST(Lincheck, SaysUndecidedRatherThanGuessing) {
  const std::vector<Operation> history = {put(1, 0, 1), get(1, 5, 2, 3), put(2, 4, 5),
                                          get(2, 6, 6, 7), put(3, 8, 9)};
  EXPECT_EQ(check(history, {.states = 1}), Verdict::Undecided);
  EXPECT_EQ(check(history), Verdict::Linearizable);
}

TEST(History, IsReadFromLinesAndNamesTheBadOne) {
  std::istringstream good(
      "{\"process\":1,\"type\":\"invoke\",\"f\":\"put\",\"key\":\"a\",\"value\":\"x\",\"time\":1}\n"
      "{\"process\":2,\"type\":\"invoke\",\"f\":\"get\",\"key\":\"a\",\"time\":2}\n"
      "{\"process\":1,\"type\":\"info\",\"time\":3}\n"
      "{\"process\":2,\"type\":\"ok\",\"value\":\"x\",\"index\":7,\"time\":4}\n"
      "{\"process\":3,\"type\":\"invoke\",\"f\":\"get\",\"key\":\"a\",\"time\":5}\n");
  const auto history = read_history(good);
  ASSERT_TRUE(history) << history.error().message;
  ASSERT_EQ(history->keys.at("a").size(), 2u);
  EXPECT_EQ(history->unknown, 1u);
  EXPECT_EQ(check(history->keys.at("a")), Verdict::Linearizable);

  std::istringstream bad("\n{\"process\":1,\"type\":\"ok\",\"time\":3}\n");
  const auto refused = read_history(bad);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("line 2"), std::string::npos);
}

}  // namespace
}  // namespace fyr::lincheck
