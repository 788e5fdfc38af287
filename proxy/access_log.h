// The access log line, field for field as HAProxy's httplog and tcplog, so that the tools that
// read those read ours (specification, section 12).
//
// Pure: a record of plain values in, one line out. Records travel from the io threads to the
// writer as they are; formatting happens there.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"

namespace fyr::proxy {

inline constexpr std::size_t kMaxLoggedLine = 1024;  // bytes of a request line

// Times in milliseconds; -1: that phase was not reached.
struct AccessRecord {
  bool http = true;
  WallTime accepted{};      // connection (TCP) or first byte of the request
  std::string_view client;  // "ip:port"
  std::string_view listener;
  std::string_view service;
  std::string_view endpoint;      // empty: <NOSRV>
  std::int64_t request_ms = -1;   // TR
  std::int64_t queue_ms = -1;     // Tw
  std::int64_t connect_ms = -1;   // Tc
  std::int64_t response_ms = -1;  // Tr
  std::int64_t total_ms = 0;      // Ta, Tt
  int status = -1;
  std::uint64_t bytes = 0;  // to the client
  std::array<char, 2> termination{'-', '-'};
  std::uint32_t process_connections = 0;   // act
  std::uint32_t listener_connections = 0;  // fe
  std::uint32_t service_connections = 0;   // be
  std::uint32_t endpoint_connections = 0;  // srv
  std::uint32_t retries = 0;
  bool redispatched = false;
  std::uint32_t endpoint_queue = 0;
  std::uint32_t service_queue = 0;
  std::string_view request_line;  // empty: <BADREQ>
};

// One line with its line feed. Local time of `utc_offset_minutes`, as HAProxy prints it.
void append_access_line(std::string& out, const AccessRecord& record, int utc_offset_minutes);

}  // namespace fyr::proxy
