#include "base/metrics.h"

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
  Counter refused;        // look-ups that got an overflow series
  Counter spare_counter;  // never shown
  Gauge spare_gauge;
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
  if (all.counters.size() + all.gauges.size() >= kMaxSeries) {
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
