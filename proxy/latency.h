// Answer times of one endpoint on one thread: a small histogram (four buckets a power of two) that
// halves itself every so many samples, so that the quantiles follow the last minutes.
//
// Pure; one thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/time.h"

namespace fyr::proxy {

class LatencyHistogram {
 public:
  void add(Duration value) {
    const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(
        1, std::chrono::duration_cast<std::chrono::microseconds>(value).count()));
    ++buckets_[index(us)];
    if (++count_ >= kHalveAt) halve();
  }
  std::uint32_t count() const { return count_; }
  // Upper edge of the bucket that holds the quantile; zero without samples.
  Duration quantile(double q) const {
    if (count_ == 0) return Duration::zero();
    auto left = static_cast<std::int64_t>(q * static_cast<double>(count_));
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      left -= buckets_[i];
      if (left < 0) return std::chrono::microseconds(upper_edge(i));
    }
    return std::chrono::microseconds(upper_edge(buckets_.size() - 1));
  }

 private:
  static constexpr std::uint32_t kHalveAt = 4096;
  static std::size_t index(std::uint64_t us) {
    const auto power = static_cast<std::size_t>(std::bit_width(us) - 1);
    const auto quarter = power < 2 ? 0 : static_cast<std::size_t>((us >> (power - 2)) & 3);
    return std::min<std::size_t>(power * 4 + quarter, 127);
  }
  static std::int64_t upper_edge(std::size_t i) {
    const auto power = i / 4;
    const auto quarter = i % 4;
    if (power < 2) return std::int64_t{2} << power;
    return static_cast<std::int64_t>((std::uint64_t{5} + quarter) << (power - 2));
  }
  void halve() {
    count_ = 0;
    for (auto& bucket : buckets_) {
      bucket /= 2;
      count_ += bucket;
    }
  }

  std::array<std::uint32_t, 128> buckets_{};
  std::uint32_t count_ = 0;
};

}  // namespace fyr::proxy
