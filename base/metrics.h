// Counters, gauges and samples of this process, by name with optional labels. Thread-safe,
// lock-free to bump (keep the reference; look-up by name takes a lock). Names are Consul's where
// one exists ("consul.runtime.alloc_bytes"); the writer of each format lives with its endpoint.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"

namespace fyr::metrics {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Of a measured quantity since the start.
struct Summary {
  std::uint64_t count = 0;
  double sum = 0, square_sum = 0, min = 0, max = 0;
};

class Sample {
 public:
  void add(double value);
  Summary read();

 private:
  Guarded<Summary> summary_;
};

// References stay valid for the life of the process. At most 10,000 series; beyond it a shared
// overflow series is returned and counted.
Counter& counter(std::string_view name, const Labels& labels = {});
Gauge& gauge(std::string_view name, const Labels& labels = {});
Sample& sample(std::string_view name, const Labels& labels = {});

struct Reading {
  std::string name;
  Labels labels;
  bool is_counter = false;
  double value = 0;
};
std::vector<Reading> read_all();  // sorted by name, then labels; without samples

struct SampleReading {
  std::string name;
  Labels labels;
  Summary summary;
};
std::vector<SampleReading> read_samples();  // sorted likewise

}  // namespace fyr::metrics
