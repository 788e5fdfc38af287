// Messages and nodes in one line each, for traces.
#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {
namespace {

std::string number(std::uint64_t value) {
  return std::to_string(value);
}
std::string position(Index index, Term term) {
  return number(index.value) + "/" + number(term.value);
}
std::string yes(bool value) {
  return value ? " yes" : " no";
}

struct Words {
  std::string operator()(const PreVote& m) const {
    return "PreVote for " + number(m.campaign.value) + " log " + position(m.last, m.last_term);
  }
  std::string operator()(const PreVoteReply& m) const {
    return "PreVoteReply for " + number(m.campaign.value) + yes(m.granted);
  }
  std::string operator()(const Vote& m) const {
    return "Vote log " + position(m.last, m.last_term);
  }
  std::string operator()(const VoteReply& m) const { return "VoteReply" + yes(m.granted); }
  std::string operator()(const Append& m) const {
    return "Append after " + position(m.prev, m.prev_term) + " +" + number(m.entries.size()) +
           " commit " + number(m.commit.value) + " round " + number(m.round);
  }
  std::string operator()(const AppendReply& m) const {
    if (m.success) return "AppendReply match " + number(m.match.value);
    return "AppendReply no, prev " + number(m.prev.value) + " hint " +
           position(m.hint, m.hint_term);
  }
  std::string operator()(const Heartbeat& m) const {
    return "Heartbeat commit " + number(m.commit.value) + " round " + number(m.round);
  }
  std::string operator()(const HeartbeatReply& m) const {
    return "HeartbeatReply round " + number(m.round) + " durable " + number(m.durable_last.value);
  }
  std::string operator()(const ReadIndex& m) const { return "ReadIndex " + number(m.sequence); }
  std::string operator()(const ReadIndexReply& m) const {
    return "ReadIndexReply " + number(m.sequence) + yes(m.granted) + " " + number(m.index.value);
  }
  std::string operator()(const TimeoutNow& m) const {
    return "TimeoutNow at " + position(m.last, m.last_term);
  }
  std::string operator()(const SnapshotOffer& m) const {
    return "SnapshotOffer " + position(m.snapshot.index, m.snapshot.term);
  }
  std::string operator()(const SnapshotDone& m) const {
    return "SnapshotDone" + yes(m.installed) + " " + position(m.index, m.term);
  }
};

}  // namespace

std::string describe(const Message& message) {
  return "n" + number(message.from.value) + ">n" + number(message.to.value) + " t" +
         number(message.term.value) + " i" + number(message.from_incarnation) + " " +
         std::visit(Words{}, message.body);
}

std::string describe(const Event& event) {
  constexpr const char* kKinds[] = {
      "deliver",  "step",  "timer",  "hard state durable", "written", "synced",
      "apply",    "flush", "fetch",  "snapshot",           "link",    "client",
      "decision", "start", "resume", "topology",           "call"};
  return "n" + number(event.node + 1u) + " " + kKinds[static_cast<std::size_t>(event.kind)];
}

std::string World::states() const {
  constexpr const char* kRoles[] = {"follower ", "candidate", "leader   "};
  std::string out;
  for (const auto& node : nodes_) {
    out += "n" + number(node->place() + 1) + " ";
    if (!node->alive()) {
      out += "dead, disk: t" + number(node->disk().hard().term.value) + " last " +
             number(node->disk().log().last().value) + "\n";
      continue;
    }
    const CoreView view = node->core().view();
    const SoftState& soft = node->soft();
    out += std::string(kRoles[static_cast<int>(view.role)]) + " t" + number(view.hard.term.value) +
           " vote n" + number(view.hard.voted_for.value) + " leader n" + number(soft.leader.value) +
           " base " + number(view.base.value) + " applied " + number(view.applied.value) +
           " commit " + number(view.commit.value) + " durable " + number(view.durable.value) +
           " last " + position(view.last, view.last_term) + (node->paused() ? " paused" : "") +
           (soft.quarantined ? " quarantined" : "") + (soft.transferring ? " transferring" : "");
    const Configuration& c = node->core().configuration();
    out += " voters " + number(c.voters.size()) + (c.is_joint() ? " joint" : "") + "\n";
  }
  return out;
}

}  // namespace fyr::raft::sim
