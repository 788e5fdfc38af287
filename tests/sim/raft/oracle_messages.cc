// I11 and I12: what must be durable before a message leaves, and what a configuration may be.
#include <algorithm>

#include "tests/sim/raft/oracle.h"

namespace fyr::raft::sim {
namespace {

std::string name(std::size_t place) {
  return "n" + std::to_string(place + 1);
}

// True if every majority of `a` meets every majority of `b`: by counting, for sets of at most 7.
bool majorities_meet(const std::vector<NodeId>& a, const std::vector<NodeId>& b) {
  std::size_t common = 0;
  for (const NodeId id : a) common += static_cast<std::size_t>(std::ranges::count(b, id));
  // The largest disjoint pair takes its members from what is not shared first.
  const std::size_t need_a = a.size() / 2 + 1;
  const std::size_t need_b = b.size() / 2 + 1;
  const std::size_t shared_a = need_a > a.size() - common ? need_a - (a.size() - common) : 0;
  const std::size_t shared_b = need_b > b.size() - common ? need_b - (b.size() - common) : 0;
  return shared_a + shared_b > common;
}

bool quorums_meet(const Configuration& before, const Configuration& now) {
  // A quorum of a joint configuration contains a majority of each set: one meeting pair suffices.
  const auto meets = [&](const std::vector<NodeId>& set) {
    return majorities_meet(before.voters, set) ||
           (before.is_joint() && majorities_meet(before.outgoing, set));
  };
  return meets(now.voters) || (now.is_joint() && meets(now.outgoing));
}

}  // namespace

void Oracle::check_configuration(std::size_t place, Index index) {
  const Node& node = nodes_[place];
  const auto& all = node.log.configurations();
  const Configuration& now = *all.back().second;
  if (now.voters.empty()) broken("I12", name(place) + ": a configuration without voters");
  if (now.is_joint()) marks_.hit(Mark::JointEntered);
  if (all.size() >= 2 && node.role == Role::Leader) {
    const Configuration& former = *all[all.size() - 2].second;
    const NodeId self(place + 1);
    if (former.is_voter(self) && !now.is_voter(self)) marks_.hit(Mark::LeaderRemoved);
    if (std::ranges::any_of(former.learners, [&](NodeId id) { return now.is_voter(id); })) {
      marks_.hit(Mark::LearnerPromoted);
    }
  }
  if (black_ || all.size() < 2) return;
  const auto& [before_index, before] = all[all.size() - 2];
  if (!quorums_meet(*before, now)) {
    broken("I12", name(place) + ": quorums of two successive configurations do not meet");
  }
  if (node.role == Role::Leader && node.role_term == node.hard.term && before_index > committed() &&
      before_index < index) {
    broken("I12", name(place) + ": a second configuration while one is not committed");
  }
}

void Oracle::check_append_reply(std::size_t place, const Message& message,
                                const AppendReply& reply) {
  const Node& node = nodes_[place];
  if (!reply.success && reply.prev > node.log.last() && message.term == node.role_term) {
    marks_.hit(Mark::WindowLost);
  }
  // An answer of an earlier term may leave late: it says what was so then.
  if (!reply.success || message.term != node.hard.term) return;
  if (reply.match <= node.disk->log().base()) return;
  if (reply.match > node.log.last() || reply.match <= node.log.base() ||
      node.log.at(reply.match).write > node.durable_write) {
    broken("I11", name(place) + " acknowledges entry " + std::to_string(reply.match.value) +
                      " which is not durable as now written (D3)");
  }
}

// Two candidates share the votes of a term.
void Oracle::note_split(Term term) {
  Reign& at = reign(term);
  if (at.split || at.leader != NodeId{}) return;
  NodeId first{};
  for (const NodeId id : at.granted) {
    if (first == NodeId{}) first = id;
    if (id == NodeId{} || id == first) continue;
    at.split = true;
    marks_.hit(Mark::SplitVote);
    return;
  }
}

void Oracle::check_vote(std::size_t place, const Message& message, const VoteReply& reply) {
  const Node& node = nodes_[place];
  if (node.at_start.term == message.term && node.at_start.voted_for != NodeId{}) {
    marks_.hit(Mark::VoteAskedAfterCrashInSameTerm);
  }
  if (!reply.granted) return marks_.hit(Mark::VoteRefused);
  NodeId& granted = reign(message.term).granted[place];
  if (granted != NodeId{} && granted != message.to) {
    broken("I2", name(place) + " sends its vote of term " + std::to_string(message.term.value) +
                     " to two candidates");
  }
  granted = message.to;
  note_split(message.term);
  if (!node.log.configuration().second->is_voter(NodeId(place + 1))) {
    marks_.hit(Mark::LearnerVoted);
  }
  if (node.lost && !black_) {
    broken("I17", name(place) + " votes although it has lost acknowledged entries");
  }
}

// A pre-vote answers a question: would you vote for a log like this one?
void Oracle::check_pre_vote(std::size_t place, const Message& message, const PreVoteReply& reply) {
  const Node& node = nodes_[place];
  if (reply.granted && node.lost && !black_) {
    broken("I17", name(place) + " grants a pre-vote although it has lost acknowledged entries");
  }
  if (!reply.granted) marks_.hit(Mark::PreVoteRefused);
  const auto& asked = nodes_[message.to.value - 1].asked;
  const auto question = std::ranges::find(asked, reply.round, &Asked::round);
  if (question == asked.end()) return;
  const bool behind = std::pair{question->last_term, question->last} <
                      std::pair{node.log.last_term(), node.log.last()};
  if (!reply.granted) {
    const bool follows = node.role == Role::Follower && reply.campaign > node.hard.term;
    if (behind) marks_.hit(Mark::PreVoteRefusedByLog);
    if (!behind && follows && !node.lost) marks_.hit(Mark::PreVoteRefusedByPromise);
  } else if (behind && node.log_changed < question->at && !black_) {
    broken("I5", name(place) + " grants a pre-vote to n" + std::to_string(message.to.value) +
                     " whose log is behind its own");
  }
}

void Oracle::on_send(std::size_t place, const Message& message) {
  Node& node = nodes_[place];
  if (const auto* vote = std::get_if<VoteReply>(&message.body)) {
    check_vote(place, message, *vote);
  } else if (const auto* reply = std::get_if<PreVoteReply>(&message.body)) {
    check_pre_vote(place, message, *reply);
  } else if (const auto* question = std::get_if<PreVote>(&message.body)) {
    const auto known = std::ranges::find(node.asked, question->round, &Asked::round);
    if (known == node.asked.end()) {
      node.asked.push_back({question->round, now_, question->last, question->last_term});
    }
    if (node.asked.size() > 32) node.asked.pop_front();
  } else if (std::holds_alternative<Vote>(message.body)) {
    NodeId& own = reign(message.term).granted[place];
    if (own == NodeId{}) own = NodeId(place + 1);
    note_split(message.term);
  }
  if (black_) return;
  const HardState& durable = nodes_[place].disk->hard();
  const bool hypothetical = std::holds_alternative<PreVote>(message.body) ||
                            std::holds_alternative<PreVoteReply>(message.body);
  if (!hypothetical && message.term > durable.term) {
    broken("I11", name(place) + " speaks in term " + std::to_string(message.term.value) +
                      " before it is durable (D1)");
  }
  if (const auto* reply = std::get_if<VoteReply>(&message.body); reply && reply->granted) {
    if (durable.term == message.term && durable.voted_for != message.to) {
      broken("I11", name(place) + " sends a vote that is not durable (D2)");
    }
  } else if (std::holds_alternative<Vote>(message.body)) {
    if (durable.term == message.term && durable.voted_for != NodeId(place + 1)) {
      broken("I11", name(place) + " asks for votes before its own is durable (D2)");
    }
  } else if (const auto* append = std::get_if<AppendReply>(&message.body)) {
    check_append_reply(place, message, *append);
  }
}

}  // namespace fyr::raft::sim
