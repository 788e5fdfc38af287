// One HTTP/1.1 client connection: requests in order, each forwarded to an endpoint of the
// listener, retried where that is safe, answered in order (specification, sections 4 to 7).
//
// A state object driven by the event loop; one io thread. What is to be sent to the endpoint is
// kept in message_ as long as it may have to be sent again. Bytes read are used, forwarded or
// copied before a handler returns, so that the thread's one receive buffer serves everybody.
//
//   Idle -> Head -> Exchange (attempts; Connect, RetryWait in between) -> Idle ... -> Linger
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/forward_context.h"
#include "proxy/http1.h"
#include "proxy/http1_chunked.h"
#include "proxy/pending_bytes.h"
#include "proxy/splice_pipe.h"

namespace fyr::proxy {

class HttpSession final : public Session, public IoHandler, public Timed, public UpstreamUser {
 public:
  HttpSession(ForwardContext& context, int fd, const SocketAddress& peer);
  ~HttpSession() override;
  bool start();  // false: could not be registered; destroy it

  void on_io(std::uint32_t events) override;           // the client
  void on_upstream_io(std::uint32_t events) override;  // the endpoint
  void on_abandoned(bool all) override;
  void on_deadline(Instant now) override;
  void abort() override;

 private:
  // Linger: answered, waits for the client to close. Cut: sends what there is, then resets.
  enum class Phase : std::uint8_t {
    Idle,
    Head,
    Connect,
    RetryWait,
    Exchange,
    Linger,
    Cut,
    Closed,
  };
  enum class Failure : std::uint8_t {
    ConnectRefused,
    ConnectTimeout,
    SendFailed,  // the first write, nothing went out
    Reset,       // sent, connection lost before an answer byte
    Abandoned,   // the endpoint is given up
    ServerTimeout,
    BadResponse,
    NoEndpoint,
  };
  // Everything about the request in progress.
  struct Exchange {
    Instant began{};  // first byte of the request
    WallTime began_wall{};
    Instant head_read{};
    Instant attempt_began{};
    Instant connected{};
    Instant answered{};
    bool was_connected = false;
    http1::Method method = http1::Method::Get;
    bool client_1_1 = true;
    bool client_persistent = true;
    bool json_errors = false;
    std::optional<std::uint64_t> hash_key;
    // request body
    http1::BodyKind body = http1::BodyKind::None;
    std::uint64_t body_left = 0;
    std::uint64_t body_bytes = 0;
    bool request_done = false;  // all of it has been read
    bool hold_body = false;     // until the endpoint says 100 Continue
    bool replayable = true;     // message_ still holds all of it
    // attempts
    bool attempt_due = false;
    bool attempt_sent = false;  // this attempt has sent at least one byte
    bool stale_retry = false;   // a reused connection died: its endpoint may be tried afresh
    bool fresh_only = false;
    bool replay_paid = false;  // the budget has been asked already
    Failure last_failure = Failure::NoEndpoint;
    int retries = 0;
    bool redispatched = false;
    // answer
    bool response_started = false;  // head sent to the client
    http1::BodyKind response_body = http1::BodyKind::None;
    std::uint64_t response_left = 0;
    bool chunked_out = false;
    bool no_splice = false;  // no pipe could be had
    bool upstream_persistent = false;
    bool extra_bytes = false;
    bool close_after = false;
    int interim = 0;
    int status = -1;
    std::uint64_t bytes_out = 0;
    bool counted = false;                // in the active counters
    std::shared_ptr<Endpoint> endpoint;  // of the last attempt
  };

  // client side (http_forwarder_request.cc)
  void settle();
  bool wants_input() const;
  bool client_reads();
  void read_client();
  void take_input(std::string_view bytes);
  std::size_t consume(std::string_view data);
  bool read_head(std::string_view data, std::size_t& used);
  void begin_exchange(std::string_view head_text);
  std::optional<std::uint64_t> hash_key(const http1::RequestHead& head) const;
  std::size_t absorb_body(std::string_view data);
  std::size_t absorb_chunks(std::string_view data);
  void append_body(std::string_view bytes);
  void client_writable();
  void client_finished();
  void client_lost();
  void refuse(const http1::Fault& fault, char cause, char phase);

  // attempts (http_forwarder.cc)
  void start_attempt();
  void attach(UpstreamConnection& connection);
  void send_message();
  void attempt_failed(Failure failure);
  bool may_retry(Failure failure, bool& replay);
  void retry(bool same_endpoint_later);
  void fail_exchange(Failure failure, bool budget_empty);
  void drop_upstream();
  void reply_error(int status, std::string_view reason, std::string_view text, char cause,
                   char phase);
  void count_active(bool on);
  void finish_exchange(char cause, char phase);
  void log_exchange(char cause, char phase);
  void close_client(bool gracefully);
  void linger();
  void reset_exchange();
  void arm(Duration wait);

  // endpoint side (http_forwarder_response.cc)
  void read_upstream();
  bool may_splice() const;
  bool splice_response();
  bool drain_pipe();
  void process_response(std::string_view data);
  bool response_head(std::string_view data, std::size_t& used);
  bool interim_response(std::string_view head_text);
  void begin_response();
  void relay_body(std::string_view data);
  void relay_chunks(std::string_view data);
  void upstream_ended(bool reset);
  void response_complete();
  void truncate_response(char cause);
  void continue_cut();
  bool send_client(std::string_view first, std::string_view second = {});

  bool in_exchange() const { return phase_ >= Phase::Connect && phase_ <= Phase::Exchange; }
  // Received from the endpoint, not yet taken by the client.
  std::size_t unsent() const { return output_.size() + (pipe_ ? pipe_->held() : 0); }
  std::size_t backlog() const { return message_.size() - message_sent_; }

  ForwardContext& context_;
  int fd_;
  Phase phase_ = Phase::Idle;
  bool readable_ = false;
  bool client_fin_ = false;  // the client will send no more (seen, perhaps not yet read)
  bool settling_ = false;
  std::size_t lingered_ = 0;
  Instant cut_progress_{};
  int stalled_at_ = -1;  // unacknowledged bytes when the client last seemed to stall
  SocketAddress peer_;
  std::string peer_text_;
  std::string input_;                 // received, not used yet
  PendingBytes output_;               // towards the client
  std::unique_ptr<SplicePipe> pipe_;  // while a large body passes
  http1::HeadScanner scanner_{true};
  std::string request_line_;  // for the log

  Exchange x_;
  std::string message_;        // towards the endpoint: head, body so far
  std::size_t head_size_ = 0;  // of message_'s head
  std::size_t message_sent_ = 0;
  UpstreamConnection* upstream_ = nullptr;
  http1::HeadScanner response_scanner_{false};
  http1::ChunkDecoder request_chunks_;
  http1::ChunkDecoder response_chunks_;
  std::vector<const Endpoint*> tried_;
};

}  // namespace fyr::proxy
