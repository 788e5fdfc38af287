// A running summary of a measured quantity, for the "Samples" of /v1/agent/metrics.
//
// Threading: any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/guarded.h"
#include "base/json.h"

namespace fyr::agent {

class Sample {
 public:
  struct Summary {
    std::uint64_t count = 0;
    double sum = 0, square_sum = 0, min = 0, max = 0;
  };
  void add(double value);
  Summary read();

 private:
  Guarded<Summary> summary_;
};

// How long requests waited for the agent's thread, in milliseconds.
Sample& api_wait();

void append_sample(JsonWriter& out, std::string_view name, const Sample::Summary& summary);

}  // namespace fyr::agent
