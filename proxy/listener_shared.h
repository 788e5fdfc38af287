// What the io threads share about one listener: its configuration, its counters and the way to its
// home thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "proxy/config.h"
#include "proxy/http1.h"
#include "proxy/log_writer.h"
#include "proxy/retry_budget.h"

namespace fyr::proxy {

// Bumped by one thread, read by any.
class ThreadCounter {
 public:
  void add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct alignas(64) ThreadCounters {
  ThreadCounter connections;
  ThreadCounter requests;
  ThreadCounter retries;
  ThreadCounter replays;
  ThreadCounter errors;
  ThreadCounter budget_exhausted;
  ThreadCounter bytes_in;
  ThreadCounter bytes_out;
  std::array<ThreadCounter, 6> status_class;  // [1] is 1xx
};

// Told to the home thread of the listener.
struct EndpointFact {
  enum class Kind : std::uint8_t {
    ConnectFailed,
    ConnectSucceeded,
    GatewayError,
    RequestSucceeded,
    StallSuspected,
    SilenceSuspected,  // earlier: no answer to anybody
  };
  Kind kind;
  std::string key;
};

struct ListenerShared {
  ListenerShared(ListenerConfig the_config, std::string the_pseudonym, int threads,
                 std::atomic<std::uint32_t>& process_wide)
      : config(std::move(the_config)),
        pseudonym(std::move(the_pseudonym)),
        head_limits{config.limits.request_line, config.limits.header_bytes,
                    config.limits.header_count},
        maxconn(static_cast<std::uint32_t>(config.limits.maxconn)),
        process_connections(process_wide),
        counters(static_cast<std::size_t>(threads)),
        budget(RetryBudget(config.retries.budget_ratio, config.retries.budget_min_per_sec,
                           config.retries.budget_window)) {}

  const ListenerConfig config;
  const std::string pseudonym;
  const http1::HeadLimits head_limits;
  const LogSink* log = nullptr;
  std::string site;       // of this agent
  std::uint32_t maxconn;  // of the configuration, or less if descriptors are short
  std::function<void(EndpointFact)> report;  // from any io thread

  std::atomic<std::uint32_t>& process_connections;
  std::atomic<std::uint32_t> connections{0};
  std::atomic<std::uint32_t> active{0};  // requests or flows in progress
  std::vector<ThreadCounters> counters;  // one a thread
  Guarded<RetryBudget> budget;

  std::uint64_t requests_total() const {
    std::uint64_t sum = 0;
    for (const auto& thread : counters) sum += thread.requests.value();
    return sum;
  }
  bool withdraw_replay(Instant now) {
    return budget.with([&](RetryBudget& b) {
      b.observe(now, requests_total());
      return b.try_withdraw(now);
    });
  }
};

}  // namespace fyr::proxy
