// One endpoint of one listener as all io threads share it. Made by the listener's home thread,
// which alone writes the verdict; the counters are bumped by whoever forwards.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "proxy/hash_table.h"
#include "proxy/socket.h"

namespace fyr::proxy {

// Not asked for, and at a site where it must not be used.
inline constexpr int kNoTier = -1;
inline constexpr int kForbiddenTier = -2;

struct Endpoint {
  Endpoint(std::string the_key, std::string the_id)
      : key(std::move(the_key)), id(std::move(the_id)) {}

  const std::string key;  // id and address
  const std::string id;
  std::string address_text;  // "ip:port"
  SocketAddress address;
  bool resolved = false;  // address is usable

  // Verdict. Relaxed everywhere: a pick that misses it by a moment is retried anyway.
  std::atomic<int> weight{0};  // 0: no new requests
  std::atomic<int> tier{0};    // of its site; kNoTier, kForbiddenTier: no part in it
  std::atomic<int> rank{0};    // of its tags, for balance first
  std::atomic<int> position{0};
  std::atomic<bool> critical{false};        // says the catalog
  std::atomic<bool> down{false};            // say our own checks
  std::atomic<std::int64_t> ramp_since{0};  // Instant it came back from DOWN; 0: never was
  std::atomic<bool> healthy{true};          // UNKNOWN or UP, not ejected
  std::atomic<bool> last_resort{true};      // may be tried when nothing is healthy
  std::atomic<bool> troubled{false};        // failures are being counted: report successes too

  std::atomic<std::uint32_t> active{0};       // requests or flows in progress
  std::atomic<std::uint32_t> connections{0};  // open, idle ones included
  std::atomic<std::int64_t> last_success{0};  // Instant, of a proper answer

  std::atomic<std::uint64_t> requests_total{0};
  std::atomic<std::uint64_t> failures_total{0};
  std::atomic<std::uint64_t> retries_total{0};
  std::atomic<std::int64_t> p50_us{0};
  std::atomic<std::int64_t> p99_us{0};

  void note_success(Instant now) {
    const std::int64_t at = now.time_since_epoch().count();
    // Written seldom, so that the threads do not fight for the cache line.
    if (at - last_success.load(std::memory_order_relaxed) > 50'000'000) {
      last_success.store(at, std::memory_order_relaxed);
    }
  }
};

// What the io threads pick from: immutable, replaced as a whole.
struct EndpointTable {
  std::uint64_t version = 0;
  std::shared_ptr<const HashTable> hash;  // of indices into endpoints; null: not balanced that way
  bool residency = false;  // nobody can be picked, some only because of where they are
  std::vector<std::shared_ptr<Endpoint>> endpoints;
};

}  // namespace fyr::proxy
