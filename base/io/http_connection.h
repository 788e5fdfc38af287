// One HTTP/1.1 connection of http_server and what the connections of a thread share. Only for the
// files of this folder.
//
// Threading: a Connection, its slots and its Shard belong to one io thread. ServerCore is shared;
// its members say how. An Exchange may be used from any thread and posts to its connection's.
//
// Life of a request: bytes -> head -> (body) -> Slot at the end of the connection's queue ->
// handler -> respond -> encoded once every earlier slot has been -> socket. Invariant: answers
// leave in the order of their slots; a slot is removed when its last byte is in the output.
//
// Memory: a waiting request costs the connection, its slot and the request itself. Reads land in a
// small array; larger ones go on in the thread's scratch space and only what is incomplete is kept.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/io/http_codec.h"
#include "base/io/http_server.h"
#include "base/io/udp_server.h"

namespace fyr::io::http {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

class Connection;

// Requests in progress of one client address, over all threads.
struct ClientCount {
  std::atomic<std::size_t> requests{0};
};

struct ServerCore {
  ServerCore(Runtime& r, HttpServerOptions o, HttpHandler h)
      : runtime(r), options(std::move(o)), handler(std::move(h)) {}
  Runtime& runtime;
  const HttpServerOptions options;
  const HttpHandler handler;
  std::atomic<std::size_t> connections{0};
  Guarded<std::map<IpAddress, std::weak_ptr<ClientCount>>> clients;

  std::shared_ptr<ClientCount> client(const IpAddress& address);
};

// Answers on their way into one system call: stretches of one string, and shared bodies that are
// too big to be worth a copy.
struct Gather {
  struct Piece {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::shared_ptr<const std::string> shared;
  };
  std::string text;
  std::vector<Piece> pieces;
  std::size_t run = 0;  // where the stretch that is being written begins

  void clear();
  void add_body(const std::shared_ptr<const std::string>& body);
  void end_run();
};

// What the connections of one io thread share. Deadlines are looked at a few times a second for
// all connections together: exact enough, and no timer to set per request.
class Shard : public std::enable_shared_from_this<Shard> {
 public:
  Shard(std::shared_ptr<ServerCore> core, int thread);

  void adopt(int fd, const UdpPeer& peer, int family);  // takes the descriptor
  void stop();                                          // closes every connection
  bool stopped() const { return stopped_; }

  void add(const std::shared_ptr<Connection>& connection);
  void remove(Connection& connection);

  ServerCore& core() { return *core_; }
  int thread() const { return thread_; }
  asio::io_context& context() { return context_; }
  Instant tick() const { return tick_; }  // the last sweep; at most one period old
  std::string_view date() const { return date_; }

  // Scratch space for the call that is running; nothing in it survives the call.
  Gather gather;
  std::vector<char> input;

 private:
  void refresh_clock();
  void schedule_sweep();
  void sweep();

  std::shared_ptr<ServerCore> core_;
  const int thread_;
  asio::io_context& context_;
  std::vector<std::shared_ptr<Connection>> connections_;  // Connection::place() is the index
  Instant tick_;
  std::string date_;
  Timer timer_;
  bool sweeping_ = false;
  bool stopped_ = false;
};

// The place of one request in its connection's queue.
struct Slot {
  bool dispatched = false;  // the handler has it
  bool ready = false;       // the response (of a stream: its head) is there
  bool close = false;       // the connection ends after this answer
  bool head_only = false;   // HEAD
  bool http10 = false;
  bool counted = false;  // in ClientCount
  bool streaming = false;
  bool head_sent = false;  // of a stream
  bool ended = false;      // of a stream
  HttpResponse response;
  std::function<void()> abandoned;
  std::vector<std::string> chunks;
  // Read by write_chunk on any thread.
  std::atomic<bool> gone{false};
  std::atomic<std::size_t> waiting{0};
};

class Exchange final : public HttpExchange {
 public:
  Exchange(std::shared_ptr<Connection> connection, std::shared_ptr<Slot> slot);
  ~Exchange() override;

  const HttpRequest& request() const override { return request_; }
  HttpRequest& mutable_request() { return request_; }
  int thread() const override;
  void respond(HttpResponse response) override;
  void on_abandoned(std::function<void()> callback) override;
  void begin_stream(HttpResponse head) override;
  bool write_chunk(std::string data) override;
  void end_stream() override;
  const std::shared_ptr<Slot>& slot() { return slot_; }

 private:
  enum class Phase { Waiting, Streaming, Finished };
  template <class F>
  void on_thread(F task);

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Slot> slot_;
  HttpRequest request_;
  std::atomic<Phase> phase_{Phase::Waiting};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Shard> shard, Socket socket, const UdpPeer& peer, bool is_unix);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  void close();                      // any number of times
  void check_deadline(Instant now);  // by the sweep
  Shard& shard() { return *shard_; }

  // From Exchange, on the thread.
  void deliver(Slot& slot, HttpResponse response);
  void watch(Slot& slot, std::function<void()> abandoned);
  void begin_stream(Slot& slot, HttpResponse head);
  void add_chunk(Slot& slot, std::string data);
  void end_stream(Slot& slot, bool whole);

  std::size_t place() const { return place_; }
  void set_place(std::size_t place) { place_ = place; }

 private:
  // A request whose body is still coming.
  struct Incoming {
    std::shared_ptr<Exchange> exchange;
    HttpFraming framing;
    ChunkedDecoder chunks;
    std::uint64_t missing = 0;
    std::size_t limit = 0;
    Instant deadline;
    bool continue_owed = false;
  };
  // Bytes the kernel did not take yet: own ones, or a shared body from an offset.
  struct Unsent {
    std::string own;
    std::shared_ptr<const std::string> shared;
    std::size_t offset = 0;
    std::string_view rest() const {
      return std::string_view(shared ? *shared : own).substr(offset);
    }
  };

  void arm_read();
  void on_read(const boost::system::error_code& code, std::size_t size);
  void on_end_of_input();
  void pump(std::string_view fresh);
  std::string_view parse(std::string_view data);
  bool may_parse() const;
  bool take_head(std::string_view& data);
  bool take_body(std::string_view& data);
  void accept_head(std::string_view head);
  void dispatch(const std::shared_ptr<Exchange>& exchange, bool keep_alive);
  void refuse(int status, std::string_view reason);

  void flush();
  bool encode(Slot& slot, Gather& gather);
  bool encode_stream(Slot& slot, Gather& gather);
  void send(Gather& gather);
  void send_unsent();
  void wait_writable();
  void finish_output();
  void release(Slot& slot);
  void drop_slot();
  void update_deadline();
  void abandon_waiting();

  std::shared_ptr<Shard> shard_;
  Socket socket_;
  std::shared_ptr<ClientCount> client_;  // null on a unix socket
  UdpPeer peer_;
  std::vector<std::shared_ptr<Slot>> slots_;
  std::unique_ptr<Incoming> incoming_;
  std::string kept_;         // input that is not a whole head yet, or waits its turn
  std::size_t scanned_ = 0;  // of the head that is not whole, by find_head_end
  std::vector<Unsent> unsent_;
  Instant deadline_;
  Instant head_began_;       // valid while head_started_
  std::size_t drained_ = 0;  // thrown away after the last request
  std::size_t place_ = 0;
  bool reading_ = false;
  bool writing_ = false;  // unsent_ waits for the socket to take more
  bool pumping_ = false;
  bool head_started_ = false;
  bool last_request_ = false;  // nothing after it is read as a request
  bool refused_ = false;       // the client may still be sending
  bool closing_ = false;       // the last answer is in the output
  bool lingering_ = false;
  bool end_of_input_ = false;
  bool closed_ = false;
  std::array<char, 1024> landing_;
};

}  // namespace fyr::io::http
