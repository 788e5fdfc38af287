// One TCP flow: bytes both ways between a client and an endpoint, ends and resets passed on as they
// are (specification, section 3).
//
// A state object driven by the event loop; one io thread. Until the connection to the endpoint is
// made nothing is read from the client, so another endpoint can be tried without loss.
#pragma once

#include <cstdint>
#include <vector>

#include "proxy/forward_context.h"
#include "proxy/pending_bytes.h"

namespace fyr::proxy {

class TcpSession final : public Session, public IoHandler, public Timed, public UpstreamUser {
 public:
  TcpSession(ForwardContext& context, int fd, const SocketAddress& peer);
  ~TcpSession() override;
  bool start();  // false: could not be registered; destroy it

  void on_io(std::uint32_t events) override;           // the client
  void on_upstream_io(std::uint32_t events) override;  // the endpoint
  void on_abandoned(bool all) override;
  void on_deadline(Instant now) override;
  void abort() override;

 private:
  enum class Phase : std::uint8_t { Connect, RetryWait, Relay, Closed };
  // One way of the flow, named by where its bytes come from.
  struct Way {
    PendingBytes pending;              // read, not yet taken by the other side
    std::unique_ptr<SplicePipe> pipe;  // while much passes; holds bytes too
    int full_reads = 0;                // in a row
    bool readable = false;
    bool ending = false;    // the sender has closed or failed: read to the end
    bool eof = false;       // read its end
    bool fin_sent = false;  // passed on
  };

  void start_attempt();
  void connected();
  void connect_failed(char cause);
  void give_up(char cause);
  void pump();
  bool splice(int from, int to, Way& way, ThreadCounter& counter, char side, bool& moved);
  void account(std::size_t bytes, ThreadCounter& counter, char side);
  bool move(int from, int to, Way& way, ThreadCounter& counter, char side);
  void flow_ended(char cause, char phase, bool reset);
  void log_flow(char cause, char phase);
  void count_active(bool on);
  void arm();

  ForwardContext& context_;
  int fd_;
  Phase phase_ = Phase::Connect;
  SocketAddress peer_;
  UpstreamConnection* upstream_ = nullptr;
  std::shared_ptr<Endpoint> endpoint_;
  Way up_;    // client to endpoint
  Way down_;  // endpoint to client
  char last_side_ = 'C';
  Instant began_;
  WallTime began_wall_;
  Instant attempt_began_{};
  Instant connected_at_{};
  std::uint64_t bytes_down_ = 0;
  int retries_ = 0;
  bool redispatched_ = false;
  int stalled_at_ = 0;  // unacknowledged bytes when the flow last seemed to stall
  bool counted_ = false;
  std::vector<const Endpoint*> tried_;
};

}  // namespace fyr::proxy
