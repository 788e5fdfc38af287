// The gossip core: who is a member and who has died (SWIM, Das et al. 2002; Lifeguard, Dadgar et
// al. 2017; our figures in the gossip specification, sections 1 to 6).
//
// A state machine without clock, socket, thread or randomness of its own: step() takes one input
// and the time and returns everything to be done; next_deadline() says when to call it with
// TimeElapsed at the latest. The driver sends packets (UDP, may be lost), makes stream calls (one
// request, one answer, over TCP) and hands back what arrives. The same seed and inputs give the
// same outputs byte for byte: all containers are ordered.
//
// Owner: one thread, the driver's.
//
// Precedence: of two claims about a member the one with the higher incarnation holds; of equal
// ones LEFT > DEAD > SUSPECT > ALIVE. Only a member raises its own incarnation.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/swim/awareness.h"
#include "agent/swim/broadcast.h"
#include "agent/swim/event_spread.h"
#include "agent/swim/member.h"
#include "agent/swim/suspicion.h"
#include "agent/swim/wire.h"
#include "base/error.h"
#include "base/net_address.h"
#include "base/random.h"
#include "base/time.h"

namespace fyr::agent {

struct CoreOptions {
  std::string name;
  Address address;  // where others reach us
  Tags tags;
  std::string cluster = "dc1";

  Duration probe_interval = std::chrono::milliseconds(500);
  Duration probe_timeout = std::chrono::milliseconds(200);
  Duration min_verdict = std::chrono::seconds(1);  // a failed probe is judged no earlier
  int helpers = 3;
  SuspicionRules suspicion;  // probe_interval is taken from above
  Duration last_chance = std::chrono::milliseconds(700);
  Duration gossip_interval = std::chrono::milliseconds(200);
  int gossip_fanout = 3;
  Duration gossip_to_dead = std::chrono::seconds(30);
  int retransmit_mult = 6;
  Duration push_pull_interval = std::chrono::seconds(30);
  Duration reconnect_interval = std::chrono::seconds(30);
  Duration leave_timeout = std::chrono::seconds(3);
  Duration keep_failed = std::chrono::hours(72);
  Duration keep_left = std::chrono::hours(24);
  Duration reap_interval = std::chrono::seconds(15);
  Duration rejoin_min = std::chrono::seconds(1);
  Duration rejoin_max = std::chrono::seconds(30);
};

// ---- inputs (views need to live only during step()) ----
struct TimeElapsed {};
struct PacketArrived {
  Address from;
  std::string_view bytes;
};
struct StreamRequest {  // answered through Output::reply, in the same step
  std::string_view bytes;
};
struct StreamAnswer {
  std::uint64_t call = 0;
  std::string_view bytes;
};
struct StreamFailed {
  std::uint64_t call = 0;
  Error error;
};
struct JoinCommand {
  std::uint64_t ticket = 0;
  std::vector<HostPort> addresses;
};
struct KeepJoiningCommand {
  std::vector<HostPort> addresses;
};
struct LeaveCommand {};
struct ForceLeaveCommand {
  std::string name;
  bool prune = false;
};
struct ProbeCommand {
  std::string name;
};
struct SetTagsCommand {
  Tags tags;
};
struct FireCommand {  // an event for all members, this one included
  std::string payload;
};
using Input = std::variant<TimeElapsed, PacketArrived, StreamRequest, StreamAnswer, StreamFailed,
                           JoinCommand, KeepJoiningCommand, LeaveCommand, ForceLeaveCommand,
                           ProbeCommand, SetTagsCommand, FireCommand>;

// ---- outputs ----
struct OutPacket {
  Address to;
  std::string bytes;
};
struct StreamCall {
  std::uint64_t id = 0;
  HostPort to;
  std::string bytes;
};
struct JoinResult {
  std::uint64_t ticket = 0;
  int answered = 0;
  std::optional<Error> error;  // of the last that failed, if none answered
};
struct Change {
  Member member;
  bool forgotten = false;  // reaped or pruned; the member is no longer listed
};
enum class FactKind {
  Suspected,
  Refuted,
  NameConflict,
  UdpBlocked,
  JoinFailed,
  DroppedPacket,
  Paused,
};
struct Fact {
  FactKind kind;
  std::string text;
};

struct Output {
  std::vector<OutPacket> packets;
  std::vector<StreamCall> calls;
  std::optional<std::string> reply;
  std::vector<Change> changes;
  std::vector<JoinResult> joins;
  std::vector<swim::Event> events;  // new ones
  std::vector<Fact> facts;
  std::optional<Error> error;  // of the command given
  bool left = false;           // the goodbye has spread
};

class Core {
 public:
  Core(CoreOptions options, Random random, Instant now);

  Output step(Instant now, const Input& input);
  // Never empty: probing goes on as long as there are others, house-keeping always.
  std::optional<Instant> next_deadline() const;

  std::vector<Member> members() const;  // by name, self included, pruned ones not
  const Member* find(const std::string& name) const;
  std::uint64_t incarnation() const { return self().member.incarnation; }
  int health_score() const { return awareness_.score(); }
  std::size_t queued_broadcasts() const { return queue_.size(); }
  std::size_t queued_events() const { return events_.size(); }
  std::size_t alive_count() const;  // not failed, not left; self included

  // Aborts if an invariant between the tables does not hold; for tests.
  void check_invariants() const;

 private:
  struct Record {
    Member member;
    Address address;
    Instant since;  // of the state
    bool pruned = false;
    std::optional<Suspicion> suspicion;  // exactly in state Suspect
    std::optional<Instant> last_chance_at;
    std::uint64_t last_chance_seq = 0;
    int last_chance_pings = 0;
    bool gone() const {
      return member.state == MemberState::Failed || member.state == MemberState::Left;
    }
  };
  using Records = std::map<std::string, Record>;

  enum class ProbeStage { First, Second, Indirect };
  struct Probe {
    std::string target;
    ProbeStage stage = ProbeStage::First;
    Instant started;
    Instant next_at;
    Instant verdict_at;
    int nacks_wanted = 0;
    int nacks = 0;
  };
  struct Relay {  // a ping we send on behalf of another
    std::uint64_t origin_seq = 0;
    Address origin;
    std::optional<Instant> nack_at;
    Instant expires;
  };
  enum class CallKind { Join, Rejoin, PushPull, Reconnect, Ping };
  struct Call {
    CallKind kind;
    std::uint64_t ticket = 0;  // Join
    std::uint64_t seq = 0;     // Ping
    std::string where;
  };
  struct JoinState {
    int open = 0;
    int answered = 0;
    std::optional<Error> error;
  };
  struct Rejoin {
    std::vector<HostPort> addresses;
    Duration wait{};
    std::optional<Instant> next_at;  // empty while calls are open
    int open = 0;
    bool answered = false;
  };

  // core.cc
  void handle(const PacketArrived& in);
  void handle(const StreamRequest& in);
  void handle(const StreamAnswer& in);
  void handle(const StreamFailed& in);
  void handle(const JoinCommand& in);
  void handle(const KeepJoiningCommand& in);
  void handle(const LeaveCommand& in);
  void handle(const ForceLeaveCommand& in);
  void handle(const ProbeCommand& in);
  void handle(const SetTagsCommand& in);
  void handle(const FireCommand& in);
  void handle(const TimeElapsed&) {}
  void note_pause();
  void run_timers();
  void gossip();
  bool has_news() const { return !queue_.empty() || !events_.empty(); }
  void on_event(const swim::Event& m);
  void finish_leave();
  void send(const Address& to, const std::vector<swim::Message>& messages);
  void fact(FactKind kind, std::string text);
  std::vector<Records::iterator> pick(std::size_t count, const std::string& except, bool with_dead);

  // core_probe.cc
  void probe_next();
  void start_probe(const std::string& target);
  void run_probe(std::uint64_t seq, Probe& probe);
  void ask_helpers(std::uint64_t seq, Probe& probe);
  void judge(Probe probe);
  void run_probes();
  void run_relays();
  void run_suspicions();
  void last_chance(Records::value_type& entry);
  void ping(std::uint64_t seq, const Record& record);
  void stream_ping(std::uint64_t seq, const Record& record);
  void on_ping(const swim::Ping& m, const Address& from, bool stream);
  void on_ping_req(const swim::PingReq& m, const Address& from);
  void on_ack(const swim::Ack& m, bool stream);
  void on_nack(const swim::Nack& m);

  // core_members.cc
  void on_suspect(const swim::Suspect& m);
  void on_alive(const swim::Alive& m);
  void on_dead(const swim::Dead& m);
  void on_leave(const swim::Leave& m);
  void about_self(std::uint64_t incarnation);
  std::optional<std::string> conflict(const swim::Alive& m) const;
  void refute(std::uint64_t incarnation);
  void set_state(Record& record, MemberState state, std::uint64_t incarnation);
  void changed(const Record& record, bool forgotten = false);
  void announce_self(bool urgent);
  swim::Alive alive_of(const Record& record) const;
  std::optional<swim::Message> claim_about(const Record& record) const;
  Record& add(const swim::Alive& m);
  void forget(Records::iterator it);
  void reap();

  // core_sync.cc
  void merge(const swim::Sync& sync);
  void merge_entry(const swim::SyncEntry& entry);
  std::optional<std::string> refusal(const swim::Sync& sync) const;
  std::string sync_packet(bool join) const;
  std::uint64_t call(CallKind kind, const HostPort& to, std::string bytes, std::uint64_t ticket = 0,
                     std::uint64_t seq = 0);
  void call_done(std::uint64_t id, const Call& call, std::optional<Error> error);
  void push_pull();
  void reconnect();
  void rejoin();
  void rejoin_done(bool ok);
  Duration push_pull_period() const;

  Record& self() { return records_.find(options_.name)->second; }
  const Record& self() const { return records_.find(options_.name)->second; }
  std::size_t packet_room() const;

  CoreOptions options_;
  Random random_;
  std::uint32_t cluster_;
  Awareness awareness_;
  BroadcastQueue queue_;
  EventSpread events_;
  Records records_;

  std::vector<std::string> lap_;  // members to probe, in this lap's order; self never
  std::size_t lap_at_ = 0;
  std::map<std::uint64_t, Probe> probes_;  // by sequence number; at most one a member
  std::map<std::uint64_t, Relay> relays_;
  std::map<std::uint64_t, std::string> last_chances_;  // sequence number -> suspect
  std::map<std::uint64_t, Call> calls_;
  std::map<std::uint64_t, JoinState> joins_;
  std::optional<Rejoin> rejoin_;
  std::set<std::string> udp_blocked_;  // warned about
  std::uint64_t next_seq_ = 0;
  std::uint64_t next_call_ = 1;

  Instant probe_at_;
  std::optional<Instant> gossip_at_;  // while there is something to spread
  Instant push_pull_at_;
  Instant reconnect_at_;
  Instant reap_at_;
  std::optional<Instant> leave_until_;  // while leaving
  Instant introduce_at_;                // not before: an exchange with a stranger that pinged us
  bool leaving_ = false;

  // Of the step under way.
  Instant now_;
  Output out_;
};

}  // namespace fyr::agent
