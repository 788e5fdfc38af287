// What a forwarded connection uses of its io thread and listener.
#pragma once

#include <string>

#include "proxy/event_loop.h"
#include "proxy/http1.h"
#include "proxy/listener_shared.h"
#include "proxy/log_writer.h"
#include "proxy/splice_pipe.h"
#include "proxy/upstream_pool.h"

namespace fyr::proxy {

struct SessionTag {};

// One client connection. Owned by its listener's list; ends by handing itself to session_ended().
class Session : public Deferred, public ListLink<SessionTag> {
 public:
  virtual void abort() = 0;  // the listener stops: end now
};

struct ForwardContext {
  EventLoop& loop;
  UpstreamPool& pool;
  ListenerShared& shared;
  ThreadCounters& counters;
  LogRing* log_ring;  // null: no access log
  LogWriter* log_writer;

  // Reused by every message of the thread, valid within one handler.
  http1::RequestHead request_head;
  http1::ResponseHead response_head;
  std::string out;
  PipePool pipes;

  std::function<void(Session&)> session_ended;

  void log(const LogEntry& entry) {
    if (log_ring == nullptr) return;
    log_ring->push(entry);
    log_writer->wake();
  }
};

}  // namespace fyr::proxy
