// One core among peers the test plays: exact messages in, exact messages out. Invariants are
// checked after every step.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/raft/cluster.h"

namespace fyr::raft {

class Solo {
 public:
  static constexpr std::uint64_t kSelfId = 1;

  // Its log: the configuration as entry 1 of term 1, then one entry for each of these terms.
  explicit Solo(Configuration configuration = voters(3), std::vector<std::uint64_t> terms = {},
                CoreConfig config = {}, std::uint64_t hard_term = 0)
      : Solo(image(configuration, terms, hard_term), config) {}
  explicit Solo(DiskImage disk, CoreConfig config = {}) : disk_(std::move(disk)), config_(config) {
    // The tests count in round numbers, whatever the default.
    config_.election_min = std::chrono::milliseconds(1000);
    config_.self = NodeId(kSelfId);
    start();
  }

  static DiskImage image(const Configuration& configuration,
                         const std::vector<std::uint64_t>& terms, std::uint64_t hard_term) {
    DiskImage out;
    out.entries[Index(1)] = {
        Term(1), Index(1), EntryType::Config,
        std::make_shared<const std::string>(encode_configuration(configuration))};
    for (const std::uint64_t term : terms) {
      const Index index = out.last().next();
      out.entries[index] = entry(term, index.value);
      out.hard.term = Term(term);
    }
    if (hard_term != 0) out.hard.term = Term(hard_term);
    return out;
  }
  static Entry entry(std::uint64_t term, std::uint64_t index, std::string data = {}) {
    if (data.empty()) data = std::to_string(term) + "." + std::to_string(index);
    return {Term(term), Index(index), EntryType::App,
            std::make_shared<const std::string>(std::move(data))};
  }

  // ---- inputs
  void start() {
    ++disk_.incarnation;
    config_.incarnation = disk_.incarnation;
    core_.emplace(config_, disk_.recover(), 42);
    invariants_.emplace(config_);
    writing_.clear();
    held_.clear();
    written_ = WriteId{};
    handed_ = core_->view().handed;
    core_->on_time(now_);
    settle();
  }
  void pass(std::int64_t ms) { on_time(now_ + std::chrono::milliseconds(ms)); }
  void on_time(Instant now) {
    now_ = now;
    core_->on_time(now_);
    settle();
  }
  // In steps of ten milliseconds, as the driver would wake it.
  void live(std::int64_t ms) {
    for (; ms > 0; ms -= 10) pass(10);
  }
  void receive(std::uint64_t from, std::uint64_t term, MessageBody body,
               std::uint64_t incarnation = 1) {
    Message message;
    message.from = NodeId(from);
    message.to = NodeId(kSelfId);
    message.from_incarnation = incarnation;
    message.term = Term(term);
    message.body = std::move(body);
    core_->on_message(now_, std::move(message));
    settle();
  }
  void receive(Message message) {
    core_->on_message(now_, std::move(message));
    settle();
  }
  ProposalResult propose(std::string data = "x", EntryType type = EntryType::App) {
    const Proposal proposal{++next_id_, type, std::make_shared<const std::string>(std::move(data))};
    core_->propose(now_, {&proposal, 1});
    settle();
    return out.results.back();
  }
  std::uint64_t read(ReadMode mode) {
    core_->read(now_, {++next_id_, mode});
    settle();
    return next_id_;
  }
  std::uint64_t change(ConfigChange change) {
    change.id = ++next_id_;
    core_->change_configuration(now_, change);
    settle();
    return next_id_;
  }
  std::uint64_t transfer(std::uint64_t to) {
    core_->transfer(now_, {++next_id_, NodeId(to)});
    settle();
    return next_id_;
  }
  void snapshot(SnapshotEvent event) {
    core_->on_snapshot(now_, std::move(event));
    settle();
  }
  void link(std::uint64_t peer, LinkState state) {
    core_->on_link(now_, NodeId(peer), state);
    settle();
  }
  // Everything asked for so far is durable; `few`: only the oldest writes.
  void disk_done(std::size_t few = 1'000'000) {
    WriteId upto = written_;
    for (; few > 0 && !writing_.empty(); --few) {
      upto = writing_.front().id;
      disk_.write(writing_.front());
      writing_.pop_front();
    }
    written_ = upto;
    core_->on_written(now_, upto);
    settle();
  }
  void apply_done() {
    disk_.applied = handed_;
    core_->on_applied(now_, handed_, handed_);
    settle();
  }
  // A power cut: only what is durable is left.
  void restart() { start(); }

  // ---- a life as leader or follower
  // Wins an election of the next term with the votes of everybody, with its no-op acknowledged by
  // everybody and applied.
  void lead() {
    campaign();
    for (const NodeId id : others()) receive(id.value, term(), VoteReply{true});
    ASSERT_EQ(view().role, Role::Leader);
    disk_done();
    for (const NodeId id : others()) acknowledge(id.value);
    apply_done();
    pass(100);
    for (const NodeId id : others()) echo(id.value);
    clear();
  }
  // Up to its own durable vote.
  void campaign() {
    run_to_election();
    for (const NodeId id : others()) {
      receive(id.value, term(), PreVoteReply{Term(term() + 1), pre_round_, true});
    }
    disk_done();
    ASSERT_EQ(view().role, Role::Candidate);
  }
  // Until it asks for pre-votes.
  void run_to_election() {
    for (int i = 0; i < 1'000 && !view().pre_campaigning; ++i) pass(10);
    ASSERT_TRUE(view().pre_campaigning);
  }
  void acknowledge(std::uint64_t from, std::uint64_t index = 0) {
    AppendReply reply;
    reply.success = true;
    reply.match = index == 0 ? view().last : Index(index);
    reply.prev = reply.match;
    reply.round = round_;
    reply.durable_last = reply.match;
    receive(from, term(), reply);
  }
  void echo(std::uint64_t from, std::uint64_t round = 0) {
    HeartbeatReply reply;
    reply.round = round == 0 ? round_ : round;
    reply.durable_last = view().last;
    receive(from, term(), reply);
  }
  void heartbeat(std::uint64_t from, std::uint64_t term, std::uint64_t commit = 0) {
    receive(from, term, Heartbeat{1, Index(commit), Index{}});
  }
  // An append whose entries have these terms.
  void append(std::uint64_t from, std::uint64_t term, std::uint64_t prev, std::uint64_t prev_term,
              std::vector<std::uint64_t> terms, std::uint64_t commit = 0) {
    Append body;
    body.prev = Index(prev);
    body.prev_term = Term(prev_term);
    body.commit = Index(commit);
    body.round = 1;
    for (const std::uint64_t each : terms) body.entries.push_back(entry(each, ++prev));
    receive(from, term, std::move(body));
  }

  // ---- outputs
  Core& core() { return *core_; }
  CoreView view() const { return core_->view(); }
  std::uint64_t term() const { return view().hard.term.value; }
  std::uint64_t round() const { return round_; }
  std::uint64_t pre_round() const { return pre_round_; }
  Instant now() const { return now_; }
  DiskImage& disk() { return disk_; }
  // What has left so far (all it depends on is durable), and forgets it.
  std::vector<Message> sent() { return std::exchange(sent_, {}); }
  void clear() { sent_.clear(); }
  // The only message of this type that has left, to this peer or to anybody.
  template <class T>
  std::optional<T> sent_one(std::uint64_t to = 0) {
    std::vector<T> found = sent_all<T>(to);
    EXPECT_LE(found.size(), 1u);
    if (found.empty()) return std::nullopt;
    return found.front();
  }
  template <class T>
  std::vector<T> sent_all(std::uint64_t to = 0) {
    std::vector<T> found;
    std::vector<Message> rest;
    for (Message& message : sent_) {
      T* body = std::get_if<T>(&message.body);
      if (body != nullptr && (to == 0 || message.to == NodeId(to))) {
        found.push_back(std::move(*body));
      } else {
        rest.push_back(std::move(message));
      }
    }
    sent_ = std::move(rest);
    return found;
  }
  std::size_t held() const { return held_.size(); }
  const ReadGrant* grant_of(std::uint64_t id) const {
    for (const ReadGrant& grant : grants_) {
      if (grant.id == id) return &grant;
    }
    return nullptr;
  }
  // Of a change or transfer; none: not ended yet.
  std::optional<std::optional<Error>> outcome_of(std::uint64_t id) const {
    for (const auto& [each, error] : outcomes_) {
      if (each == id) return error;
    }
    return std::nullopt;
  }

  Outputs out;  // of the last step
  std::vector<FetchLog> fetches;
  std::vector<FetchSnapshot> snapshot_fetches;
  int snapshots_wanted = 0;
  std::optional<LogPosition> activated;

 private:
  std::vector<NodeId> others() const {
    std::vector<NodeId> out_ids;
    for (const NodeId id : all_voters(core_->configuration())) {
      if (id.value != kSelfId) out_ids.push_back(id);
    }
    return out_ids;
  }
  void settle() {
    out = core_->take();
    for (PersistBatch& batch : out.persist) writing_.push_back(batch);
    for (Outgoing& each : out.send) {
      if (const auto* beat = std::get_if<Heartbeat>(&each.message.body)) round_ = beat->round;
      if (const auto* ask = std::get_if<PreVote>(&each.message.body)) pre_round_ = ask->round;
      held_.push_back(std::move(each));
    }
    std::erase_if(held_, [this](Outgoing& each) {
      if (each.after > written_) return false;
      sent_.push_back(std::move(each.message));
      return true;
    });
    grants_.insert(grants_.end(), out.reads.begin(), out.reads.end());
    outcomes_.insert(outcomes_.end(), out.changes.begin(), out.changes.end());
    outcomes_.insert(outcomes_.end(), out.transfers.begin(), out.transfers.end());
    fetches.insert(fetches.end(), out.fetch.begin(), out.fetch.end());
    if (out.fetch_snapshot) snapshot_fetches.push_back(*out.fetch_snapshot);
    snapshots_wanted += out.make_snapshot ? 1 : 0;
    if (out.compact) {
      disk_.entries.erase(disk_.entries.begin(), disk_.entries.upper_bound(out.compact->index));
      disk_.base = *out.compact;
    }
    if (out.activate) {
      activated = out.activate;
      handed_ = out.activate->index;
    }
    if (out.apply) {
      EXPECT_EQ(out.apply->first, handed_.next()) << "each index once, in order";
      handed_ = out.apply->last;
    }
    const auto broken = invariants_->check(core_->view());
    EXPECT_FALSE(broken) << *broken;
  }

  DiskImage disk_;
  CoreConfig config_;
  std::optional<Core> core_;
  std::optional<Invariants> invariants_;
  Instant now_ = Instant(std::chrono::seconds(100));
  std::uint64_t next_id_ = 0;
  std::deque<PersistBatch> writing_;
  WriteId written_{};
  std::vector<Outgoing> held_;
  std::vector<Message> sent_;
  Index handed_{};
  std::uint64_t round_ = 0;
  std::uint64_t pre_round_ = 0;
  std::vector<ReadGrant> grants_;
  std::vector<std::pair<std::uint64_t, std::optional<Error>>> outcomes_;
};

}  // namespace fyr::raft
