// /v1/agent/host and /v1/agent/metrics: the machine and this process in figures.
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#include "agent/api/context.h"
#include "agent/api/sample.h"
#include "base/metrics.h"

namespace fyr::agent {

namespace {

// One number after `key` in a file of "key value" lines, in the file's unit; 0 if absent.
std::uint64_t number_in(const char* path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word == key) {
      std::uint64_t value = 0;
      file >> value;
      return value;
    }
    file.ignore(4096, '\n');
  }
  return 0;
}

std::uint64_t memory_kib(std::string_view key) {
  return number_in("/proc/meminfo", key);
}

std::string release_field(std::string_view key) {
  std::ifstream file("/etc/os-release");
  std::string line;
  while (std::getline(file, line)) {
    if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != '=') continue;
    std::string value = line.substr(key.size() + 1);
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return {};
}

void append_memory(JsonWriter& out) {
  const std::uint64_t total = memory_kib("MemTotal:") * 1024;
  const std::uint64_t available = memory_kib("MemAvailable:") * 1024;
  out.begin_object();
  out.key("total").number(total);
  out.key("available").number(available);
  out.key("used").number(total - available);
  out.key("usedPercent")
      .number(total == 0
                  ? 0.0
                  : 100.0 * static_cast<double>(total - available) / static_cast<double>(total));
  out.key("free").number(memory_kib("MemFree:") * 1024);
  out.key("buffers").number(memory_kib("Buffers:") * 1024);
  out.key("cached").number(memory_kib("Cached:") * 1024);
  out.end_object();
}

void append_host(JsonWriter& out) {
  utsname names{};
  uname(&names);
  struct sysinfo info {};
  sysinfo(&info);
  const auto up = static_cast<std::int64_t>(info.uptime);
  const auto wall = wall_now().time_since_epoch().count() / 1'000'000'000;
  out.begin_object();
  out.key("hostname").string(names.nodename);
  out.key("uptime").number(up);
  out.key("bootTime").number(static_cast<std::int64_t>(wall - up));
  out.key("procs").number(static_cast<int>(info.procs));
  out.key("os").string("linux");
  out.key("platform").string(release_field("ID"));
  out.key("platformFamily").string(release_field("ID"));
  out.key("platformVersion").string(release_field("VERSION_ID"));
  out.key("kernelVersion").string(names.release);
  out.key("kernelArch").string(names.machine);
  out.key("virtualizationSystem").string("");
  out.key("virtualizationRole").string("");
  out.end_object();
}

void append_disk(JsonWriter& out, const std::string& path) {
  struct statvfs figures {};
  const bool known = statvfs(path.c_str(), &figures) == 0;
  const std::uint64_t total = known ? figures.f_blocks * figures.f_frsize : 0;
  const std::uint64_t left = known ? figures.f_bfree * figures.f_frsize : 0;
  out.begin_object();
  out.key("path").string(path);
  out.key("total").number(total);
  out.key("free").number(left);
  out.key("used").number(total - left);
  out.key("usedPercent")
      .number(total == 0 ? 0.0
                         : 100.0 * static_cast<double>(total - left) / static_cast<double>(total));
  out.end_object();
}

std::string host_json(const AgentOptions& options) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("Memory");
  append_memory(writer);
  writer.key("CPU").begin_array();
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1u);
  for (unsigned core = 0; core < cores; ++core) {
    writer.begin_object().key("cpu").number(static_cast<int>(core)).key("cores").number(1);
    writer.end_object();
  }
  writer.end_array();
  writer.key("Host");
  append_host(writer);
  writer.key("Disk");
  append_disk(writer, options.data_dir.empty() ? "/" : options.data_dir.string());
  writer.key("CollectionTime")
      .number(static_cast<std::int64_t>(wall_now().time_since_epoch().count()));
  writer.key("Errors").null();
  writer.end_object();
  return out;
}

// ---- metrics -----------------------------------------------------------------------------------

void append_labels(JsonWriter& out, const metrics::Labels& labels) {
  out.key("Labels").begin_object();
  for (const auto& [name, value] : labels) out.key(name).string(value);
  out.end_object();
}

void append_gauge(JsonWriter& out, std::string_view name, double value,
                  const metrics::Labels& labels) {
  out.begin_object();
  out.key("Name").string(name);
  out.key("Value").number(value);
  append_labels(out, labels);
  out.end_object();
}

std::uint64_t file_count(const char* path) {
  std::error_code error;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  return count;
}

// "2026-01-02 03:04:05 +0000 UTC", as Consul writes it.
std::string timestamp() {
  std::string text = format_time(wall_now());
  const auto fraction = text.find_first_of(".Z");
  if (fraction != std::string::npos) text.resize(fraction);
  if (const auto t = text.find('T'); t != std::string::npos) text[t] = ' ';
  return text + " +0000 UTC";
}

std::string metrics_json(const ApiContext& context) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("Timestamp").string(timestamp());
  const auto readings = metrics::read_all();
  writer.key("Gauges").begin_array();
  const auto kib = [](std::string_view key) {
    return static_cast<double>(number_in("/proc/self/status", key)) * 1024;
  };
  // "Bytes allocated" of a process without a collector is what it has resident.
  append_gauge(writer, "consul.runtime.alloc_bytes", kib("VmRSS:"), {});
  append_gauge(writer, "consul.runtime.sys_bytes", kib("VmSize:"), {});
  append_gauge(writer, "fyr.process.threads",
               static_cast<double>(number_in("/proc/self/status", "Threads:")), {});
  append_gauge(writer, "fyr.process.open_files", static_cast<double>(file_count("/proc/self/fd")),
               {});
  append_gauge(writer, "fyr.agent.services", static_cast<double>(context.state.service_count()),
               {});
  append_gauge(writer, "fyr.agent.checks", static_cast<double>(context.state.check_count()), {});
  append_gauge(writer, "fyr.agent.out_of_sync",
               static_cast<double>(context.state.counts().out_of_sync), {});
  for (const auto& reading : readings) {
    if (!reading.is_counter) append_gauge(writer, reading.name, reading.value, reading.labels);
  }
  writer.end_array();
  writer.key("Points").begin_array().end_array();
  writer.key("Counters").begin_array();
  for (const auto& reading : readings) {
    if (!reading.is_counter) continue;
    writer.begin_object();
    writer.key("Name").string(reading.name);
    writer.key("Count").number(static_cast<std::uint64_t>(reading.value));
    writer.key("Rate").number(0);
    writer.key("Sum").number(reading.value);
    writer.key("Min").number(0);
    writer.key("Max").number(0);
    writer.key("Mean").number(0);
    writer.key("Stddev").number(0);
    append_labels(writer, reading.labels);
    writer.end_object();
  }
  writer.end_array();
  writer.key("Samples").begin_array();
  append_sample(writer, "consul.api.agent_wait_ms", api_wait().read());
  for (const auto& [name, labels, of] : metrics::read_samples())
    append_sample(writer, name, {of.count, of.sum, of.square_sum, of.min, of.max});
  writer.end_array();
  writer.end_object();
  return out;
}

}  // namespace

void add_machine_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("GET", "/v1/agent/host",
             [&context](const io::HttpCallPtr& call) { call->json(host_json(context.options)); });
  router.add("GET", "/v1/agent/metrics", [&context](const io::HttpCallPtr& call) {
    if (call->query().get("format") == "prometheus") {
      return call->text(415, "Prometheus is not enabled since its retention time is not positive");
    }
    context.on_agent([&context, call] { call->json(metrics_json(context)); });
  });
}

}  // namespace fyr::agent
