// One listener on one io thread: its listening socket, its client connections, its upstream pool.
//
// Everything belongs to the io thread. At maxconn (over all threads) accepting pauses: clients
// wait in the kernel's queue and are served as others leave.
#pragma once

#include <memory>

#include "base/error.h"
#include "proxy/forward_context.h"
#include "proxy/upstream_pool.h"

namespace fyr::proxy {

class ListenerThread final : public IoHandler, public Timed {
 public:
  ListenerThread(EventLoop& loop, std::shared_ptr<ListenerShared> shared, int thread,
                 LogRing* log_ring, LogWriter* log_writer, std::uint64_t seed);
  ~ListenerThread();

  // Takes over a listening descriptor.
  void start_accepting(int listening_fd);
  bool accepting() const { return fd_ >= 0; }
  UpstreamPool& pool() { return pool_; }
  void close();  // listening socket, connections, pool

  void on_io(std::uint32_t events) override;
  void on_deadline(Instant now) override;  // after a pause

 private:
  void accept_all();
  void admit(int fd, const SocketAddress& peer);
  void pause(Duration wait);
  void ended(Session& session);

  EventLoop& loop_;
  std::shared_ptr<ListenerShared> shared_;
  UpstreamPool pool_;
  ForwardContext context_;
  IntrusiveList<Session, SessionTag> sessions_;
  int fd_ = -1;
  bool paused_ = false;
};

}  // namespace fyr::proxy
