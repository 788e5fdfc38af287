#include "tests/lincheck/checker.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "tests/lincheck/register_model.h"

namespace fyr::lincheck {

namespace {

constexpr std::size_t kNone = SIZE_MAX;

// A call or an end, in a doubly linked list by time from which taken operations are lifted.
struct Event {
  std::size_t operation = 0;
  bool is_call = false;
  std::size_t before = kNone, after = kNone, partner = kNone;
};

struct Taken {
  std::vector<std::uint64_t> set;
  RegisterState state;
  bool operator==(const Taken&) const = default;
};

// Writes that nobody saw: of a value that one operation wrote and nobody read.
std::vector<bool> unseen_writes(const std::vector<Operation>& operations) {
  std::map<int, std::size_t> writers, readers;
  for (const Operation& o : operations) {
    if (o.verb == Verb::Get) ++readers[o.value];
    if (o.verb == Verb::Put || o.verb == Verb::Cas) ++writers[o.value];
  }
  std::vector<bool> out(operations.size());
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const Operation& o = operations[i];
    out[i] =
        o.verb == Verb::Put && o.value != 0 && writers[o.value] == 1 && !readers.contains(o.value);
  }
  return out;
}

// Without those that may be thought never to have happened: nobody saw them.
std::vector<Operation> relevant(const std::vector<Operation>& operations) {
  const auto unseen = unseen_writes(operations);
  std::vector<Operation> out;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (operations[i].known || !unseen[i]) out.push_back(operations[i]);
  }
  return out;
}

struct TakenHash {
  std::size_t operator()(const Taken& taken) const {
    std::uint64_t hash = static_cast<std::uint64_t>(taken.state.value) * 0x9e3779b97f4a7c15u;
    hash ^= taken.state.index + (taken.state.floor << 20) + 0x7f4a7c15u + (hash << 6);
    for (const std::uint64_t word : taken.set) {
      hash = (hash ^ word) * 0xff51afd7ed558ccdu;
      hash ^= hash >> 32;
    }
    return static_cast<std::size_t>(hash);
  }
};

struct Step {
  std::size_t call = 0;
  RegisterState before;
  bool forced = false;    // nothing is gained by not taking it
  bool absorbed = false;  // went with the write after it
};

class Search {
 public:
  // `shortcuts`: orders in which an unseen write matters to a compare-and-set are left out.
  Search(const std::vector<Operation>& operations, const Limits& limits, bool shortcuts)
      : operations_(shortcuts ? relevant(operations) : operations),
        limits_(limits),
        unseen_(shortcuts ? unseen_writes(operations_) : std::vector<bool>(operations.size())) {
    taken_.set.resize((operations_.size() + 63) / 64);
    for (const Operation& operation : operations_) known_left_ += operation.known ? 1 : 0;
    for (const Operation& operation : operations_) {
      if (operation.written != 0) write_order_.push_back(operation.written);
    }
    std::ranges::sort(write_order_);
    link();
  }

  Verdict run() {
    std::size_t at = next(0);
    while (known_left_ > 0) {
      if (seen_.size() > limits_.states) return Verdict::Undecided;
      if (at != kNone && events_[at].is_call) {
        at = take(at) ? next(0) : next(at);
        continue;
      }
      // An end, or nothing is left: what was taken last was taken too early.
      while (!path_.empty() && path_.back().forced) give_back();
      if (path_.empty()) return Verdict::Illegal;
      const std::size_t choice = give_back();
      while (!path_.empty() && path_.back().absorbed) give_back();
      at = next(choice);
    }
    return Verdict::Linearizable;
  }

 private:
  // Events sorted by time; at equal times calls first, so that touching operations overlap.
  void link() {
    struct Moment {
      std::int64_t time;
      bool is_end;
      std::size_t operation;
    };
    std::vector<Moment> moments;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      moments.push_back({operations_[i].call, false, i});
      if (operations_[i].known) moments.push_back({operations_[i].end, true, i});
    }
    std::ranges::sort(moments, [](const Moment& a, const Moment& b) {
      return std::tie(a.time, a.is_end, a.operation) < std::tie(b.time, b.is_end, b.operation);
    });
    events_.resize(moments.size() + 1);  // the first one is the head of the list
    std::vector<std::size_t> call_of(operations_.size());
    for (std::size_t i = 0; i < moments.size(); ++i) {
      Event& event = events_[i + 1];
      event.operation = moments[i].operation;
      event.is_call = !moments[i].is_end;
      event.before = i;
      events_[i].after = i + 1;
      if (event.is_call) {
        call_of[event.operation] = i + 1;
      } else {
        events_[call_of[event.operation]].partner = i + 1;
      }
    }
  }
  std::size_t next(std::size_t at) const { return events_[at].after; }

  void lift(std::size_t at) {
    const Event& event = events_[at];
    events_[event.before].after = event.after;
    if (event.after != kNone) events_[event.after].before = event.before;
  }
  void put_back(std::size_t at) {
    const Event& event = events_[at];
    events_[event.before].after = at;
    if (event.after != kNone) events_[event.after].before = at;
  }
  void flip(std::size_t operation) {
    taken_.set[operation / 64] ^= std::uint64_t{1} << (operation % 64);
  }

  bool take(std::size_t call) {
    const std::size_t number = events_[call].operation;
    const Operation& operation = operations_[number];
    // Writes of known indexes happen in the order of these.
    const std::uint64_t index = operation.written;
    if (index != 0 && write_order_[writes_] != index) return false;
    const auto after = step(taken_.state, operation);
    if (!after) return false;
    // A read that fits now can be taken now: it excludes no other order.
    const bool reads =
        operation.verb == Verb::Get || (operation.verb == Verb::Cas && !operation.done);
    const bool forced = reads && *after == taken_.state;
    const std::size_t length = path_.size();
    if (operation.verb == Verb::Put || operation.verb == Verb::Delete) absorb(call);
    push(call, *after, forced, false);
    if (forced || seen_.insert(taken_).second) return true;
    give_back();
    while (path_.size() > length) give_back();
    return false;
  }

  // What nobody saw may have happened just before any write beside it, which is never too early.
  void absorb(std::size_t write) {
    for (std::size_t at = next(0); at != kNone && events_[at].is_call; at = next(at)) {
      if (at != write && unseen_[events_[at].operation]) push(at, taken_.state, false, true);
    }
  }

  void push(std::size_t call, const RegisterState& after, bool forced, bool absorbed) {
    const std::size_t number = events_[call].operation;
    path_.push_back({call, taken_.state, forced, absorbed});
    flip(number);
    taken_.state = after;
    lift(call);
    if (events_[call].partner != kNone) lift(events_[call].partner);
    writes_ += operations_[number].written != 0 ? 1 : 0;
    known_left_ -= operations_[number].known ? 1 : 0;
  }

  std::size_t give_back() {
    const std::size_t call = path_.back().call;
    const RegisterState before = path_.back().before;
    path_.pop_back();
    const std::size_t number = events_[call].operation;
    if (events_[call].partner != kNone) put_back(events_[call].partner);
    put_back(call);
    flip(number);
    taken_.state = before;
    known_left_ += operations_[number].known ? 1 : 0;
    writes_ -= operations_[number].written != 0 ? 1 : 0;
    return call;
  }

  const std::vector<Operation> operations_;
  const Limits limits_;
  std::vector<Event> events_;
  Taken taken_;
  std::size_t known_left_ = 0;
  std::unordered_set<Taken, TakenHash> seen_;
  const std::vector<bool> unseen_;
  std::vector<std::uint64_t> write_order_;  // those that are known, rising
  std::size_t writes_ = 0;                  // of them taken
  std::vector<Step> path_;
};

}  // namespace

Verdict check(const std::vector<Operation>& operations, const Limits& limits) {
  const std::vector<Operation> told = with_written_indexes(operations);
  const Verdict verdict = Search(told, limits, true).run();
  const bool compares = std::ranges::any_of(
      operations, [](const Operation& operation) { return operation.verb == Verb::Cas; });
  if (verdict == Verdict::Linearizable || !compares) return verdict;
  return Search(told, limits, false).run();
}

std::vector<Operation> shrink(std::vector<Operation> operations, const Limits& limits) {
  for (std::size_t size = operations.size() / 2; size >= 1; size /= 2) {
    for (std::size_t at = 0; at < operations.size();) {
      auto fewer = operations;
      const auto from = fewer.begin() + static_cast<std::ptrdiff_t>(at);
      fewer.erase(from, from + static_cast<std::ptrdiff_t>(std::min(size, fewer.size() - at)));
      // Without its write a read would look wrong by itself: reads of absent writes do not count.
      const auto written = [&](const Operation& read) {
        return read.value == 0 || std::ranges::any_of(fewer, [&](const Operation& o) {
                 return o.verb != Verb::Get && o.value == read.value;
               });
      };
      const bool sound = std::ranges::all_of(
          fewer, [&](const Operation& o) { return o.verb != Verb::Get || written(o); });
      if (sound && check(fewer, limits) == Verdict::Illegal) {
        operations = std::move(fewer);
      } else {
        at += size;
      }
    }
  }
  return operations;
}

}  // namespace fyr::lincheck
