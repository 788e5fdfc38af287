// Only for the files of this folder. What the streams of a transport have in common.
#pragma once

#include <string>
#include <utility>

#include "base/guarded.h"
#include "raft/grpc_transport.h"
#include "raft/peer_guard.h"

namespace fyr::raft {

struct TransportContext {
  explicit TransportContext(GrpcTransportOptions o) : options(std::move(o)) {}

  struct Self {
    PeerIdentity identity;  // node 0: not started
    std::string address;
  };
  PeerIdentity identity() {
    return self.with([](Self& s) { return s.identity; });
  }
  Hello hello(NodeId to) {
    Hello out;
    self.with([&](Self& s) {
      out.self = s.identity;
      out.address = s.address;
    });
    out.to = to;
    return out;
  }

  const GrpcTransportOptions options;
  Guarded<Self> self;
  Guarded<PeerGuard> guard;
  Transport::Receiver receiver;  // set before the first stream
};

void count_refusal(std::string_view word);

}  // namespace fyr::raft
