#include "base/metrics.h"

#include <algorithm>
#include <map>
#include <memory>

#include "base/guarded.h"

namespace fyr::metrics {
namespace {

constexpr std::size_t kMaxSeries = 10000;
constexpr std::string_view kOverflowName = "fyr.metrics.series_refused";

using Key = std::pair<std::string, Labels>;

struct Registry {
  std::map<Key, std::unique_ptr<Counter>> counters;
  std::map<Key, std::unique_ptr<Gauge>> gauges;
  std::map<Key, std::unique_ptr<Sample>> samples;
  Counter refused;        // look-ups that got an overflow series
  Counter spare_counter;  // never shown
  Gauge spare_gauge;
  Sample spare_sample;
};

// Lives until the process is gone: threads may bump counters while static objects are destroyed.
Guarded<Registry>& registry() {
  static auto* const instance = new Guarded<Registry>();
  return *instance;
}

template <class Series>
Series& find_or_add(Registry& all, std::map<Key, std::unique_ptr<Series>>& series, Series& spare,
                    std::string_view name, const Labels& labels) {
  Key key{std::string(name), labels};
  const auto found = series.find(key);
  if (found != series.end()) return *found->second;
  if (all.counters.size() + all.gauges.size() + all.samples.size() >= kMaxSeries) {
    all.refused.add();
    return spare;
  }
  return *series.emplace(std::move(key), std::make_unique<Series>()).first->second;
}

}  // namespace

Counter& counter(std::string_view name, const Labels& labels) {
  return registry().with([&](Registry& all) -> Counter& {
    return find_or_add(all, all.counters, all.spare_counter, name, labels);
  });
}

Gauge& gauge(std::string_view name, const Labels& labels) {
  return registry().with([&](Registry& all) -> Gauge& {
    return find_or_add(all, all.gauges, all.spare_gauge, name, labels);
  });
}

Sample& sample(std::string_view name, const Labels& labels) {
  return registry().with([&](Registry& all) -> Sample& {
    return find_or_add(all, all.samples, all.spare_sample, name, labels);
  });
}

void Sample::add(double value) {
  summary_.with([value](Summary& s) {
    s.min = s.count == 0 ? value : std::min(s.min, value);
    s.max = s.count == 0 ? value : std::max(s.max, value);
    ++s.count;
    s.sum += value;
    s.square_sum += value * value;
  });
}

Summary Sample::read() {
  return summary_.with([](const Summary& s) { return s; });
}

std::vector<SampleReading> read_samples() {
  return registry().with([](Registry& all) {
    std::vector<SampleReading> out;
    for (const auto& [key, series] : all.samples)
      out.push_back({key.first, key.second, series->read()});
    return out;
  });
}

std::vector<Reading> read_all() {
  return registry().with([](Registry& all) {
    std::map<Key, Reading> sorted;
    for (const auto& [key, series] : all.counters) {
      sorted[key] = {key.first, key.second, true, static_cast<double>(series->value())};
    }
    for (const auto& [key, series] : all.gauges) {
      sorted.try_emplace(key, Reading{key.first, key.second, false, series->value()});
    }
    if (all.refused.value() > 0) {
      const std::string name(kOverflowName);
      sorted[{name, {}}] = {name, {}, true, static_cast<double>(all.refused.value())};
    }
    std::vector<Reading> readings;
    readings.reserve(sorted.size());
    for (auto& entry : sorted) readings.push_back(std::move(entry.second));
    return readings;
  });
}

}  // namespace fyr::metrics
