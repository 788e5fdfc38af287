#include "agent/api/context.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cmath>

#include "agent/api/sample.h"

namespace fyr::agent {

void Sample::add(double value) {
  summary_.with([&](Summary& all) {
    all.min = all.count == 0 ? value : std::min(all.min, value);
    all.max = std::max(all.max, value);
    ++all.count;
    all.sum += value;
    all.square_sum += value * value;
  });
}

Sample::Summary Sample::read() {
  return summary_.with([](Summary& all) { return all; });
}

Sample& api_wait() {
  static Sample sample;
  return sample;
}

void append_sample(JsonWriter& out, std::string_view name, const Sample::Summary& summary) {
  const auto count = static_cast<double>(std::max<std::uint64_t>(summary.count, 1));
  const double mean = summary.sum / count;
  out.begin_object();
  out.key("Name").string(name);
  out.key("Count").number(summary.count);
  out.key("Rate").number(summary.sum / 10);
  out.key("Sum").number(summary.sum);
  out.key("Min").number(summary.min);
  out.key("Max").number(summary.max);
  out.key("Mean").number(mean);
  out.key("Stddev").number(std::sqrt(std::max(summary.square_sum / count - mean * mean, 0.0)));
  out.key("Labels").begin_object().end_object();
  out.end_object();
}

void ApiContext::on_agent(std::function<void()> task) const {
  runtime.post(thread, [task = std::move(task), since = now(), weak = std::weak_ptr(alive)] {
    if (weak.expired()) return;
    api_wait().add(std::chrono::duration<double, std::milli>(now() - since).count());
    task();
  });
}

void answer(const io::HttpCall& call, const Result<void>& done) {
  if (!done) return call.error(done.error());
  io::HttpResponse response;
  response.body = std::make_shared<const std::string>();
  call.respond(std::move(response));
}

bool parse_filter(const io::HttpCall& call, const FilterSchema& schema,
                  std::optional<Filter>& out) {
  const std::string_view expression = call.query().get("filter");
  if (expression.empty()) return true;
  auto parsed = Filter::parse(expression, schema);
  if (!parsed) {
    call.text(500, parsed.error().message);
    return false;
  }
  out = std::move(*parsed);
  return true;
}

bool passes(const std::optional<Filter>& filter, const std::string& json) {
  if (!filter) return true;
  boost::system::error_code failed;
  const auto row = boost::json::parse(json, failed);
  return !failed && filter->matches(row);
}

}  // namespace fyr::agent
