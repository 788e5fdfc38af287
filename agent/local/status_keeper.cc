#include "agent/local/status_keeper.h"

#include <utility>
#include <vector>

#include "base/log.h"

namespace fyr::agent {

namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr int kTicksOfLife = 5;

using States = std::vector<std::pair<std::string, CheckMemory>>;

void write(Persistence& disk, const States& states, bool alive) {
  Result<void> done;
  for (const auto& [id, memory] : states) {
    if (auto saved = disk.save_state(id, memory); !saved) done = saved;
  }
  if (alive) {
    if (auto saved = disk.touch(); !saved) done = saved;
  }
  if (!done) log::warn("agent", "check status not kept: {}", done.error().message);
}

}  // namespace

StatusKeeper::StatusKeeper(io::Runtime& runtime, int thread, int disk_thread,
                           std::shared_ptr<Persistence> disk, const CheckRunner& runner)
    : runtime_(runtime),
      thread_(thread),
      disk_thread_(disk_thread),
      disk_(std::move(disk)),
      runner_(runner) {}

void StatusKeeper::start() {
  arm();
}

void StatusKeeper::arm() {
  timer_ = runtime_.schedule(thread_, kTick, [weak = std::weak_ptr(alive_)] {
    if (const auto self = weak.lock()) (*self)->tick();
  });
}

void StatusKeeper::tick() {
  if (stopped_) return;
  States states;
  for (const std::string& id : std::exchange(dirty_, {})) {
    if (auto memory = runner_.memory(id)) states.emplace_back(id, std::move(*memory));
  }
  const bool alive = runner_.size() > 0 && ++ticks_ % kTicksOfLife == 0;
  if (alive || !states.empty()) {
    runtime_.post(disk_thread_, [disk = disk_, states = std::move(states), alive] {
      write(*disk, states, alive);
    });
  }
  arm();
}

void StatusKeeper::flush_now(std::function<void()> done) {
  stopped_ = true;
  timer_.cancel();
  States states;
  for (const std::string& id : runner_.ids()) {
    if (auto memory = runner_.memory(id)) states.emplace_back(id, std::move(*memory));
  }
  runtime_.post(disk_thread_, [disk = disk_, states = std::move(states), &runtime = runtime_,
                               thread = thread_, done = std::move(done)]() mutable {
    write(*disk, states, true);
    runtime.post(thread, std::move(done));
  });
}

}  // namespace fyr::agent
