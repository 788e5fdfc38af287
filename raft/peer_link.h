// Only for the files of this folder. One stream to one peer: opens it, again and again with growing
// pauses, shakes hands, and writes what waits.
//
// Threading: send() from any thread, tick() from the transport's, the rest from gRPC's. One write
// is in flight at a time; frames are built outside of the lock.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "raft/outputs.h"
#include "raft/send_queue.h"
#include "raft/transport_context.h"

namespace grpc {
class Status;
}

namespace fyr::raft {

enum class StreamClass { Control, Data };
const char* method_of(StreamClass stream_class);

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  struct Events {
    std::function<void()> poke;              // tick() is due earlier than it said
    std::function<void(LinkState)> changed;  // in order
    std::function<void()> overflowed;        // something was dropped for want of room
  };
  PeerLink(TransportContext& context, NodeId peer, std::string address, StreamClass stream_class,
           Events events);
  ~PeerLink();

  void send(Message message);  // only queues: flush() afterwards
  void flush();
  void set_address(const std::string& address);
  // The peer is there: no need to wait out a pause between attempts.
  void hurry();
  // Opens, or gives up waiting; when to come again.
  std::optional<Instant> tick(Instant now);
  // For good; finished() when nothing of it is under way any more. Not on threads of gRPC.
  void close();
  bool finished();
  void await_finished();

 private:
  class Stream;
  enum class State { Waiting, Connecting, Open, Ending, Closed };

  void open(Instant now);
  void pump(std::unique_lock<std::mutex>& lock);
  void abandon();
  void on_read(Stream& stream, bool ok);
  void on_write(bool ok);
  void on_done(const grpc::Status& status, std::shared_ptr<Stream> stream);
  bool take_answer(Stream& stream);
  void report(LinkState change, const std::string& why);

  TransportContext& context_;
  const NodeId peer_;
  const StreamClass class_;
  const Events events_;

  std::mutex mutex_;
  std::condition_variable ended_;
  // All guarded by mutex_.
  std::string address_;
  State state_ = State::Waiting;
  Instant at_ = Instant::min();  // when Waiting or Connecting ends
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<Stream> old_;  // has ended; destroyed on a thread that is not gRPC's
  SendQueue queue_;
  bool writing_ = false;
  bool overflowed_ = false;
  bool busy_ = false;  // on_done() still calls somebody
  std::uint64_t sequence_ = 0;
  int failures_ = 0;
  std::string refused_;                     // by which word, this time
  std::string said_ = "not yet connected";  // logged last
};

}  // namespace fyr::raft
