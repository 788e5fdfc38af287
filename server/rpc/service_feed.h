// What the streams of one service share: the last state, a short history of deltas, and the bytes
// of each, made once for all streams. Only for the files of this folder: names gRPC types.
//
// A stream that is behind gets the deltas it missed or, if they are no longer kept, a snapshot; so
// a slow reader holds nothing but its position.
//
// Threading: one io thread a feed.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "server/server.h"
#include "watch.pb.h"

namespace fyr::server {

class ServiceFeed {
 public:
  ServiceFeed(std::string service, std::uint64_t epoch)
      : service_(std::move(service)), epoch_(epoch) {}

  // Reads the state; true if there is something new for the streams.
  bool refresh(const Server& server);

  struct Event {
    std::uint64_t index = 0;  // the stream's position afterwards
    grpc::ByteBuffer bytes;
  };
  // What a stream at `position` gets next; 0 = nothing yet. nullopt: it has everything.
  std::optional<Event> next(std::uint64_t position);
  Event heartbeat() const;
  // Whether deltas from `position` on are known, so that no snapshot is needed.
  bool covers(std::uint64_t position) const;

  const std::string& service() const { return service_; }
  std::uint64_t index() const { return index_; }

 private:
  static constexpr std::size_t kHistory = 64;
  struct Delta {
    std::uint64_t from = 0;
    Event event;
  };
  using Key = std::pair<std::string, std::string>;  // node, service id

  void append_delta(std::uint64_t index, const std::map<Key, ServiceHealth>& rows);

  const std::string service_;
  const std::uint64_t epoch_;
  std::uint64_t index_ = 0;
  std::map<Key, ServiceHealth> rows_;
  std::deque<Delta> history_;
  std::optional<Event> snapshot_;  // of index_, made when first needed
};

}  // namespace fyr::server
