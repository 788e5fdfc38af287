// One node from one seed: the real driver, applier and core over a simulated disk and state, with
// a crash possible between any two things that happen (raft-verification.md A1-A3 for one voter).
//
// raft_single_test [--seeds=N] [--first=S]; a failure prints the seed and the last events.
#include <gtest/gtest.h>

#include <charconv>
#include <deque>
#include <map>
#include <set>

#include "base/random.h"
#include "raft/driver.h"
#include "raft/invariants.h"

namespace fyr::raft {
namespace {

constexpr NodeId kSelf(1);
std::uint64_t seeds = 300;
std::uint64_t first_seed = 1;

// What the disk does wrong, to show that the simulator can fail.
enum class Fault { None, AcknowledgesBeforeSync, ForgetsVotes, LosesTheStateOfTheLog };

struct Broken {
  std::string what;
};

// ---- disk -------------------------------------------------------------------------------------

// Synced content, and what a power cut would take.
class Disk {
 public:
  explicit Disk(Fault fault) : fault_(fault) {
    hard_ = {Term(1), NodeId{}};
    entries_[Index(1)] = {Term(1), Index(1), EntryType::Config,
                          std::make_shared<const std::string>(
                              encode_configuration(single_voter({kSelf, "a", "a:1", "", 100})))};
    synced_last_ = Index(1);
  }

  void write_hard(HardState hard) {
    if (fault_ == Fault::ForgetsVotes) return;
    if (hard.term < hard_.term) throw Broken{"I9: the term on disk fell"};
    if (hard.term == hard_.term && hard_.voted_for.value != 0 && hard != hard_) {
      throw Broken{"I2: the vote on disk changed within a term"};
    }
    hard_ = hard;
  }
  void write_entries(const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      if (!entries_.empty() && entry.index != last().next()) throw Broken{"I10: a gap on disk"};
      entries_[entry.index] = entry;
    }
  }
  void sync() { synced_last_ = last(); }
  void compact(const LogBase& base) {
    if (base.index > synced_last_) throw Broken{"the log was cut above what is synced"};
    base_ = base;
    entries_.erase(entries_.begin(), entries_.upper_bound(base.index));
  }
  // Entries behind the last sync are lost, or kept up to some point.
  void power_cut(Random& random) {
    while (last() > synced_last_ && random.chance(0.7)) entries_.erase(std::prev(entries_.end()));
    if (fault_ == Fault::LosesTheStateOfTheLog && !entries_.empty() && random.chance(0.5)) {
      entries_.erase(std::prev(entries_.end()));
    }
    sync();
  }

  Index last() const { return entries_.empty() ? base_.index : entries_.rbegin()->first; }
  bool holds_synced(Index index, Term term) const {
    if (index <= base_.index) return true;
    const auto found = entries_.find(index);
    return index <= synced_last_ && found != entries_.end() && found->second.term == term;
  }
  Index synced_last() const { return synced_last_; }
  const Entry& at(Index index) const { return entries_.at(index); }

  RecoveredState recover() const {
    RecoveredState out;
    out.hard = hard_;
    out.base = base_;
    out.last = last();
    for (const auto& [index, entry] : entries_) {
      if (out.runs.empty() || out.runs.back().term != entry.term) {
        out.runs.push_back({index, entry.term});
      }
      if (entry.type == EntryType::Config) {
        out.configurations.emplace_back(index, *decode_configuration(*entry.data));
      }
      out.entry_bytes.push_back(entry_cost(entry));
    }
    return out;
  }
  Result<std::vector<Entry>> read(IndexRange range) const {
    std::vector<Entry> out;
    for (Index i = range.first; i <= range.last; i = i.next()) {
      const auto found = entries_.find(i);
      if (found == entries_.end()) return fail(ErrorCode::Corrupt, "no entry");
      out.push_back(found->second);
    }
    return out;
  }

 private:
  const Fault fault_;
  HardState hard_;
  LogBase base_;
  std::map<Index, Entry> entries_;
  Index synced_last_{};
};

// ---- state ------------------------------------------------------------------------------------

// Remembers every (index, data) it applied; the part behind the last flush is lost in a crash, as
// with a database without write-ahead log.
class Machine final : public StateMachine {
 public:
  Index applied() const override { return applied_; }
  Index durable_applied() const override { return durable_; }
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override {
    for (const Entry& entry : entries) {
      if (entry.index <= applied_) throw Broken{"I8: applied an index twice"};
      const auto [known, is_new] = ever_.emplace(entry.index, *entry.data);
      if (!is_new && known->second != *entry.data) throw Broken{"I8: an applied entry changed"};
      applied_ = entry.index;
      outcomes.push_back(entry.data);
    }
  }
  void flush() override { durable_ = applied_; }
  void crash() { applied_ = durable_; }

 private:
  Index applied_{}, durable_{};
  std::map<Index, std::string> ever_;
};

// ---- world ------------------------------------------------------------------------------------

class World {
 public:
  World(std::uint64_t seed, Fault fault) : random_(seed), disk_(fault), fault_(fault) { start(); }

  void run(int events) {
    for (int i = 0; i < events; ++i) {
      event();
      check();
    }
    settle();
  }

  int acknowledged() const { return static_cast<int>(acknowledged_.size()); }
  int crashes() const { return crashes_; }
  int compactions() const { return compactions_; }
  int reads() const { return reads_granted_; }
  std::string trace() const {
    std::string out;
    for (const std::string& line : trace_) out += line + "\n";
    return out;
  }

 private:
  struct Acknowledged {
    Term term;
    std::string data;
  };

  static CoreConfig config() {
    CoreConfig out{.self = kSelf};
    out.max_unapplied_bytes = 4'000;
    out.max_waiting_reads = 8;
    out.retention = {.entries = 30, .bytes = 1 << 20, .step_entries = 10, .step_bytes = 1 << 20};
    return out;
  }

  void note(std::string line) {
    trace_.push_back(std::move(line));
    if (trace_.size() > 40) trace_.pop_front();
  }

  void start() {
    RecoveredState recovered = disk_.recover();
    recovered.applied = machine_.applied();
    recovered.durable_applied = machine_.durable_applied();
    if (machine_.applied() < recovered.base.index) throw Broken{"the log begins behind the state"};
    if (machine_.applied() > recovered.last) throw Broken{"the state is ahead of the log"};
    for (const auto& [index, write] : acknowledged_) {
      if (!disk_.holds_synced(index, write.term)) {
        throw Broken{"I7: acknowledged entry " + std::to_string(index.value) + " is lost"};
      }
    }
    if (!recovered.runs.empty() && recovered.runs.back().term > recovered.hard.term) {
      throw Broken{"I10: the term on disk is older than the log's"};
    }
    const Index applied = recovered.applied;
    driver_.emplace(config(), std::move(recovered));
    applier_.emplace(
        machine_, applied, [this](IndexRange range, std::size_t) { return disk_.read(range); },
        [this](Index a, Index durable, bool) {
          input_.applied = DriverInput::AppliedTo{a, durable};
        });
    invariants_.emplace(config());
    ++life_;
    led_ = false;
    note("start of life " + std::to_string(life_));
  }

  void crash(bool power) {
    note(power ? "power cut" : "kill");
    ++crashes_;
    input_ = {};
    log_queue_.clear();
    compact_queue_.clear();
    apply_queue_.clear();
    writing_.clear();
    write_phase_ = 0;
    pending_reads_ = 0;
    if (power) {
      disk_.power_cut(random_);
    } else {
      disk_.sync();  // what the kernel has stays; recovery writes it anew
    }
    machine_.crash();
    start();
  }

  void event() {
    const std::uint64_t dice = random_.below(1'000);
    if (dice < 200) return propose();
    if (dice < 240) return read();
    if (dice < 500) return step();
    if (dice < 800) return advance_write();
    if (dice < 950) return apply();
    if (dice < 965) return machine_flush();
    if (dice < 985) {
      now_ += random_.between(Duration::zero(), std::chrono::milliseconds(1'500));
      return;
    }
    if (dice < 988) return crash(random_.chance(0.5));
  }

  void propose() {
    for (std::uint64_t n = 1 + random_.below(4); n > 0; --n) {
      std::string data = std::to_string(life_) + " " + std::to_string(++proposed_);
      const int life = life_;
      input_.proposals.push_back(
          {std::make_shared<const std::string>(data + std::string(random_.below(200), '.')),
           [this, data, life](Result<Node::Applied> result) { answered(data, life, result); }});
    }
  }

  // D9, I7, I15.
  void answered(const std::string& data, int life, Result<Node::Applied>& result) {
    if (life != life_) throw Broken{"an answer of an earlier life"};
    if (!result) {
      if (result.error().code == ErrorCode::CommitUnknown) throw Broken{"unknown without a reason"};
      return;
    }
    const auto& outcome = *static_cast<const std::string*>(result->outcome.get());
    if (!outcome.starts_with(data)) throw Broken{"I15: the outcome of another proposal"};
    if (!disk_.holds_synced(result->index, result->term)) {
      throw Broken{"D4/D5: acknowledged entry " + std::to_string(result->index.value) +
                   " is not on the disk"};
    }
    if (result->index > machine_.applied()) throw Broken{"D9: acknowledged before it was applied"};
    if (!acknowledged_.emplace(result->index, Acknowledged{result->term, data}).second) {
      throw Broken{"I15: two proposals at one index"};
    }
    if (!answered_.insert(data).second) throw Broken{"I15: acknowledged twice"};
  }

  // I13, R6.
  void read() {
    const Index floor = acknowledged_.empty() ? Index{} : acknowledged_.rbegin()->first;
    const ReadMode mode = random_.chance(0.5) ? ReadMode::Default : ReadMode::Consistent;
    ++pending_reads_;
    input_.reads.push_back({mode, [this, floor](Result<Index> index) {
                              --pending_reads_;
                              if (!index) return;
                              ++reads_granted_;
                              if (*index < floor) throw Broken{"I13: a read of the past"};
                              if (machine_applied() < *index) {
                                throw Broken{"R6: the state is behind the read"};
                              }
                            }});
  }
  // Entries of Raft itself never reach the machine.
  Index machine_applied() const {
    Index at = machine_.applied();
    while (at < disk_.last() && (at.next() <= disk_.recover().base.index ||
                                 disk_.at(at.next()).type != EntryType::App)) {
      at = at.next();
    }
    return at;
  }

  void step() {
    DriverOutput out = driver_->step(now_, input_);
    input_.written = {};
    for (PersistBatch& batch : out.persist) log_queue_.push_back(std::move(batch));
    if (out.compact) compact_queue_.push_back(std::move(*out.compact));
    if (out.apply) {
      if (apply_queue_.empty() || !apply_queue_.back().merge(*out.apply)) {
        apply_queue_.push_back(std::move(*out.apply));
      }
    }
    for (auto& [done, result] : out.reads) done(std::move(result));
    if (out.soft.role == Role::Leader && !led_) {
      led_ = true;
      note("leads in term " + std::to_string(out.soft.term.value));
      if (!leaders_.emplace(out.soft.term, life_).second) {
        throw Broken{"I1: two leaderships in one term"};
      }
    }
  }

  // The raft-log thread, one part of its work at a time.
  void advance_write() {
    switch (write_phase_) {
      case 0:
        if (log_queue_.empty()) return compact();
        for (std::uint64_t n = 1 + random_.below(log_queue_.size()); n > 0; --n) {
          writing_.push_back(std::move(log_queue_.front()));
          log_queue_.pop_front();
        }
        break;
      case 1:
        for (const PersistBatch& batch : writing_) {
          if (batch.hard) disk_.write_hard(*batch.hard);
        }
        if (fault_ == Fault::AcknowledgesBeforeSync) input_.written = writing_.back().id;
        break;
      case 2:
        for (const PersistBatch& batch : writing_) disk_.write_entries(batch.entries);
        break;
      case 3:
        disk_.sync();
        break;
      case 4:
        input_.written = std::max(input_.written, writing_.back().id);
        writing_.clear();
        break;
    }
    write_phase_ = (write_phase_ + 1) % 5;
  }

  void compact() {
    if (compact_queue_.empty()) return;
    // D7: of the entries that go, the state must hold those that are meant for it.
    const LogBase base = std::move(compact_queue_.front());
    compact_queue_.pop_front();
    for (const auto& [index, write] : acknowledged_) {
      if (index > machine_.durable_applied() && index <= base.index) {
        throw Broken{"D7: the log was cut above the durable state"};
      }
    }
    disk_.compact(base);
    ++compactions_;
    note("cut up to " + std::to_string(base.index.value));
  }

  void apply() {
    if (apply_queue_.empty()) return;
    ApplyTask task = std::move(apply_queue_.front());
    apply_queue_.pop_front();
    if (auto done = applier_->run(task); !done) throw Broken{done.error().message};
  }
  void machine_flush() { machine_.flush(); }

  void check() {
    // I6, from the disk and not from what the node says: ours is the only vote.
    if (driver_->core().view().commit > disk_.synced_last()) {
      throw Broken{"I6: committed what is not on the disk"};
    }
    if (const auto broken = invariants_->check(driver_->core().view())) throw Broken{*broken};
  }

  // Liveness (L2, L7): without faults everything gets its answer and a new write commits.
  void settle() {
    const std::size_t before = acknowledged_.size();
    for (int i = 0; i < 200; ++i) {
      step();
      for (int phase = 0; phase < 6; ++phase) advance_write();
      apply();
      check();
      if (i == 100) propose();
    }
    if (acknowledged_.size() == before) throw Broken{"L2: no write commits any more"};
    if (pending_reads_ != 0) throw Broken{"L7: a read was never answered"};
    if (!input_.proposals.empty()) throw Broken{"L7: proposals are left over"};
    crash(false);
  }

  Random random_;
  Disk disk_;
  const Fault fault_;
  Machine machine_;
  Instant now_ = Instant(std::chrono::seconds(1));
  std::optional<Driver> driver_;
  std::optional<Applier> applier_;
  std::optional<Invariants> invariants_;
  DriverInput input_;
  std::deque<PersistBatch> log_queue_;
  std::deque<LogBase> compact_queue_;
  std::deque<ApplyTask> apply_queue_;
  std::vector<PersistBatch> writing_;
  int write_phase_ = 0;

  int life_ = 0;
  bool led_ = false;
  std::uint64_t proposed_ = 0;
  int pending_reads_ = 0;
  int reads_granted_ = 0;
  int crashes_ = 0;
  int compactions_ = 0;
  std::map<Index, Acknowledged> acknowledged_;
  std::set<std::string> answered_;
  std::map<Term, int> leaders_;
  std::deque<std::string> trace_;
};

TEST(RaftSingleSim, NoCrashLosesWhatWasAcknowledged) {
  int acknowledged = 0;
  int crashes = 0;
  int compactions = 0;
  int reads = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    std::optional<World> world;
    try {
      world.emplace(seed, Fault::None);
      world->run(4'000);
    } catch (const Broken& broken) {
      FAIL() << "seed " << seed << ": " << broken.what << "\n" << (world ? world->trace() : "");
    }
    acknowledged += world->acknowledged();
    crashes += world->crashes();
    compactions += world->compactions();
    reads += world->reads();
  }
  std::printf("%d writes, %d reads, %d crashes, %d compactions\n", acknowledged, reads, crashes,
              compactions);
  // A simulation that never gets anywhere proves nothing.
  const int n = static_cast<int>(seeds);
  EXPECT_GT(acknowledged, 200 * n);
  EXPECT_GT(reads, 20 * n);
  EXPECT_GT(crashes, 5 * n);
  EXPECT_GT(compactions, 2 * n);
}

// How many seeds it takes to notice the fault; 0: not noticed.
std::uint64_t seeds_to_notice(Fault fault) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    try {
      World world(seed, fault);
      world.run(4'000);
    } catch (const Broken&) {
      return seed;
    }
  }
  return 0;
}

TEST(RaftSingleSim, NoticesADiskThatAcknowledgesBeforeTheSync) {
  EXPECT_NE(seeds_to_notice(Fault::AcknowledgesBeforeSync), 0u);
}

TEST(RaftSingleSim, NoticesADiskThatForgetsVotes) {
  EXPECT_NE(seeds_to_notice(Fault::ForgetsVotes), 0u);
}

TEST(RaftSingleSim, NoticesADiskThatLosesSyncedEntries) {
  EXPECT_NE(seeds_to_notice(Fault::LosesTheStateOfTheLog), 0u);
}

}  // namespace

void set_seeds(std::uint64_t count, std::uint64_t first) {
  seeds = count;
  first_seed = first;
}

}  // namespace fyr::raft

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::uint64_t count = 300;
  std::uint64_t first = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto number = [&](std::string_view name, std::uint64_t& out) {
      if (!argument.starts_with(name)) return;
      std::from_chars(argument.data() + name.size(), argument.data() + argument.size(), out);
    };
    number("--seeds=", count);
    number("--first=", first);
  }
  fyr::raft::set_seeds(count, first);
  return RUN_ALL_TESTS();
}
