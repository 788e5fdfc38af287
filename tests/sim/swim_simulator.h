// A whole gossip cluster in one process, from one seed: virtual time, latency, loss, duplication
// (and through both, reordering), partitions, pauses, deaths and restarts. The invariants of a core
// are checked after its steps.
//
// Single-threaded. Not a model: the cores are the real ones, only the network is pretended.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/swim/core.h"
#include "base/random.h"

namespace fyr::agent {

struct SimNetwork {
  double loss = 0;         // of UDP packets
  double duplication = 0;  // of UDP packets
  Duration min_latency = std::chrono::microseconds(100);
  Duration max_latency = std::chrono::milliseconds(2);
};

class SwimSimulator {
 public:
  SwimSimulator(std::uint64_t seed, SimNetwork network);

  // Starts node `i` (named n<i>); it joins node 0 unless it is node 0.
  void start(int i);
  void kill(int i);                      // -9
  void pause(int i, Duration duration);  // SIGSTOP, then SIGCONT; packets wait in its buffers
  void leave(int i);
  void command(int i, const Input& input);
  // Nodes of different groups cannot talk; no groups: all can.
  void partition(std::vector<std::set<int>> groups) { groups_ = std::move(groups); }
  void block_udp(int from, int to) { blocked_udp_.insert({from, to}); }
  void run(Duration duration);

  Instant now() const { return now_; }
  bool up(int i) const { return nodes_.count(i) != 0; }
  Core& core(int i) { return *nodes_.at(i).core; }
  static std::string name(int i) { return "n" + std::to_string(i); }
  // The state node `i` believes `other` in; nullopt if it does not know it.
  std::optional<MemberState> view(int i, int other);
  bool all_see(int other, MemberState state);
  bool views_equal();
  std::uint64_t transcript() const { return transcript_; }

  struct Death {  // somebody declared `who` failed
    Instant when;
    int by;
    int who;
    bool truth;
  };
  const std::vector<Death>& deaths() const { return deaths_; }
  int false_deaths() const;
  std::uint64_t packets() const { return packets_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Node {
    std::unique_ptr<Core> core;
    std::optional<Instant> paused_until;
    std::optional<Instant> wake_at;
    int life = 0;
  };
  enum class Kind { Wake, Packet, Request, Answer, Failure };
  struct Event {
    Kind kind;
    int to;
    int life;  // of the node it is meant for; others drop it
    int from = 0;
    std::uint64_t call = 0;
    std::string bytes;
  };

  void at(Instant when, Event event);
  void dispatch(Event event);
  void perform(int i, Output out);
  void step(int i, const Input& input);
  void check(const Core& core);
  void arm(int i);
  bool connected(int a, int b) const;
  Duration latency() { return random_.between(network_.min_latency, network_.max_latency); }
  static int index_of(const Address& address) { return address.port - 10000; }

  Random random_;
  SimNetwork network_;
  Instant now_{std::chrono::hours(1)};
  std::map<int, Node> nodes_;
  std::map<int, int> lives_;
  std::multimap<Instant, Event> events_;  // equal times in order of insertion
  std::vector<std::set<int>> groups_;
  std::set<std::pair<int, int>> blocked_udp_;
  std::vector<Death> deaths_;
  std::uint64_t transcript_ = 14695981039346656037ull;
  std::uint64_t steps_ = 0;
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace fyr::agent
