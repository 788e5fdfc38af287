#include "proxy/proxy.h"

#include <sys/resource.h>

#include <condition_variable>
#include <csignal>
#include <mutex>

#include "base/log.h"
#include "proxy/proxy_impl.h"

namespace fyr::proxy {
namespace {

constexpr Duration kFirstBindRetry = std::chrono::seconds(1);
constexpr Duration kLastBindRetry = std::chrono::seconds(30);

// Waits until every token handed out is gone; a task that is dropped unrun gives its token back
// too, so that a stopping runtime cannot leave us waiting.
class Barrier {
 public:
  std::shared_ptr<void> token() {
    auto state = state_;
    {
      std::lock_guard lock(state->mutex);
      ++state->open;
    }
    return {nullptr, [state](void*) {
              std::lock_guard lock(state->mutex);
              --state->open;
              state->changed.notify_all();
            }};
  }
  void wait() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [this] { return state_->open == 0; });
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    int open = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

EndpointUpdate static_update(const ListenerConfig& config) {
  EndpointUpdate update;
  for (const auto& endpoint : config.endpoints) {
    EndpointInfo info;
    info.id = endpoint.name;
    info.address = endpoint.address;
    info.port = endpoint.port;
    info.weight_passing = endpoint.weight;
    info.position = static_cast<int>(update.endpoints.size());
    update.endpoints.push_back(std::move(info));
  }
  return update;
}

}  // namespace

void Proxy::Impl::post(int thread, std::function<void(ProxyThread&)> task) {
  std::weak_ptr<ProxyThread> weak = threads[static_cast<std::size_t>(thread)];
  runtime.post(thread, [weak, task = std::move(task)] {
    if (const auto self = weak.lock()) self->loop.run([&] { task(*self); });
  });
}

void Proxy::Impl::on_all_threads(const std::function<void(int, ProxyThread&)>& task) {
  Barrier barrier;
  for (int i = 0; i < runtime.size(); ++i) {
    post(i, [&task, i, token = barrier.token()](ProxyThread& thread) { task(i, thread); });
  }
  barrier.wait();
}

Result<void> Proxy::Impl::build() {
  Random random = Random::from_system();
  for (int i = 0; i < runtime.size(); ++i) {
    threads.push_back(std::make_shared<ProxyThread>(runtime.context(i)));
  }
  std::vector<LogRing*> rings(threads.size(), nullptr);
  for (const auto& listener_config : config.listeners) {
    auto sink = log_writer.open(listener_config);
    if (!sink) return sink.error();
    auto listener = std::make_unique<ProxyListener>();
    listener->shared = std::make_shared<ListenerShared>(listener_config, config.node_name,
                                                        runtime.size(), process_connections);
    listener->shared->log = *sink;
    listener->shared->site = config.site;
    const auto address = IpAddress::parse(listener_config.local_bind_address);
    listener->bind = to_socket_address(*address, listener_config.local_bind_port);
    for (std::size_t i = 0; i < threads.size(); ++i) {
      if (*sink != nullptr && rings[i] == nullptr) rings[i] = log_writer.add_ring();
      threads[i]->listeners.push_back(
          std::make_unique<ListenerThread>(threads[i]->loop, listener->shared, static_cast<int>(i),
                                           rings[i], &log_writer, random.next()));
    }
    const std::size_t index = listeners.size();
    ListenerControl::Publisher publisher;
    std::vector<std::weak_ptr<ProxyThread>> weak_threads(threads.begin(), threads.end());
    const auto to_each = [this, weak_threads](std::function<void(ProxyThread&)> task) {
      for (std::size_t i = 0; i < weak_threads.size(); ++i) {
        runtime.post(static_cast<int>(i), [weak = weak_threads[i], task] {
          if (const auto self = weak.lock()) self->loop.run([&] { task(*self); });
        });
      }
    };
    publisher.table = [to_each, index](std::shared_ptr<const EndpointTable> table) {
      to_each([index, table](ProxyThread& thread) {
        thread.listeners[index]->pool().set_table(table);
      });
    };
    publisher.changed = [to_each, index](std::shared_ptr<const Endpoint> endpoint,
                                         Abandon abandon) {
      to_each([index, endpoint = std::move(endpoint), abandon](ProxyThread& thread) {
        thread.listeners[index]->pool().endpoint_changed(*endpoint, abandon);
      });
    };
    const int home = runtime.next();
    listener->control = std::make_shared<ListenerControl>(
        runtime, home, threads[static_cast<std::size_t>(home)]->loop, listener->shared,
        std::move(publisher), random.next());
    listener->shared->report = [weak = std::weak_ptr(listener->control)](EndpointFact fact) {
      if (const auto control = weak.lock()) control->report(std::move(fact));
    };
    listeners.push_back(std::move(listener));
  }
  return {};
}

// Two descriptors a client. The soft limit is raised as far as the hard one allows; what is still
// missing comes off the listeners' maxconn, so that accepting pauses before descriptors run out.
void Proxy::Impl::fit_descriptors() {
  constexpr rlim_t kForTheRest = 512;
  rlim_t wanted = kForTheRest;
  for (const auto& listener : listeners) wanted += 2 * rlim_t{listener->shared->maxconn};
  rlimit limit{};
  if (listeners.empty() || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wanted) return;
  const rlim_t left = limit.rlim_cur > 2 * kForTheRest ? limit.rlim_cur - kForTheRest : kForTheRest;
  for (const auto& listener : listeners) {
    auto& maxconn = listener->shared->maxconn;
    maxconn = static_cast<std::uint32_t>(
        std::max<rlim_t>(16, rlim_t{maxconn} * left / (wanted - kForTheRest)));
    log::warn("proxy", "listener {}: maxconn lowered to {}: the process may open {} files",
              listener->shared->config.name, maxconn, limit.rlim_cur);
  }
}

void Proxy::Impl::watch(std::size_t index) {
  ProxyListener& listener = *listeners[index];
  const auto& shared = *listener.shared;
  if (shared.config.destination_type == DestinationType::Static) {
    listener.control->offer(static_update(shared.config));
    return;
  }
  listener.watch = source.watch(shared.config.destination_name,
                                [weak = std::weak_ptr(listener.control)](EndpointUpdate update) {
                                  if (const auto control = weak.lock())
                                    control->offer(std::move(update));
                                });
}

void Proxy::Impl::open_listener(std::size_t index) {
  if (stopped) return;
  ProxyListener& listener = *listeners[index];
  std::vector<int> descriptors;
  std::string problem;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    const auto fd = proxy::open_listener(listener.bind, i == 0);
    if (!fd) {
      problem = fd.error().message;
      break;
    }
    descriptors.push_back(*fd);
  }
  if (!problem.empty()) {
    for (const int fd : descriptors) close_socket(fd);
    listener.bind_error.with([&](std::string& text) { text = problem; });
    listener.state = BindState::Failed;
    listener.retry_wait = listener.retry_wait == Duration::zero()
                              ? kFirstBindRetry
                              : std::min<Duration>(listener.retry_wait * 2, kLastBindRetry);
    log::error("proxy", "listener {}: {}; tried again in {}", listener.shared->config.name, problem,
               format_duration(listener.retry_wait));
    listener.retry_timer =
        runtime.schedule(0, listener.retry_wait, [weak = weak_from_this(), index] {
          if (const auto self = weak.lock()) self->open_listener(index);
        });
    return;
  }
  for (std::size_t i = 0; i < threads.size(); ++i) {
    post(static_cast<int>(i), [index, fd = descriptors[i]](ProxyThread& thread) {
      thread.listeners[index]->start_accepting(fd);
    });
  }
  listener.bind_error.with([](std::string& text) { text.clear(); });
  listener.state = BindState::Open;
  log::info("proxy", "listener {}: {} forwards to {}", listener.shared->config.name,
            address_port_text(listener.bind), listener.shared->config.destination_name);
}

Result<void> Proxy::Impl::start() {
  if (started) return {};
  if (!runtime.running()) return fail(ErrorCode::Internal, "proxy: the runtime does not run");
  started = true;
  // splice(2) has no flag against it; a process that has chosen a handler of its own keeps it.
  struct sigaction current {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) {
    std::signal(SIGPIPE, SIG_IGN);
  }
  fit_descriptors();
  log_writer.start();
  Guarded<std::optional<Error>> problem;
  on_all_threads([&](int, ProxyThread& thread) {
    if (auto opened = thread.loop.open(); !opened) {
      problem.with([&](auto& error) { error = opened.error(); });
    }
  });
  if (auto error = problem.with([](auto& e) { return e; })) {
    stop();
    return *error;
  }
  // A list that is known already is in place before the first connection: the home has applied it
  // after the first round, the threads have it after the second.
  for (std::size_t i = 0; i < listeners.size(); ++i) watch(i);
  on_all_threads([](int, ProxyThread&) {});
  on_all_threads([](int, ProxyThread&) {});
  for (std::size_t i = 0; i < listeners.size(); ++i) open_listener(i);
  on_all_threads([](int, ProxyThread&) {});
  return {};
}

void Proxy::Impl::stop() {
  if (!started || stopped.exchange(true)) return;
  for (const auto& listener : listeners) listener->watch.reset();
  if (runtime.running()) {
    // Thread 0 runs the bind retries: none is under way once it has passed here.
    on_all_threads([&](int index, ProxyThread&) {
      if (index != 0) return;
      for (const auto& listener : listeners) listener->retry_timer.cancel();
    });
    // A control belongs to one thread, but its close() only touches that thread's objects.
    on_all_threads([&](int index, ProxyThread& thread) {
      for (const auto& listener : listeners) {
        if (listener->control->home() == index) listener->control->close();
      }
      for (const auto& part : thread.listeners) part->close();
    });
    on_all_threads([](int, ProxyThread& thread) { thread.loop.close(); });
  }
  for (const auto& listener : listeners) listener->state = BindState::Closed;
  log_writer.stop();
}

Proxy::Proxy(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Proxy::~Proxy() {
  stop();
}

Result<std::unique_ptr<Proxy>> Proxy::create(io::Runtime& runtime, EndpointSource& source,
                                             ProxyConfig config) {
  std::vector<std::string> errors;
  validate(config, "proxy", errors);
  if (!errors.empty()) {
    std::string text;
    for (const auto& error : errors) text += (text.empty() ? "" : "\n") + error;
    return fail(ErrorCode::InvalidArgument, std::move(text));
  }
  auto impl = std::make_shared<Impl>(runtime, source, std::move(config));
  if (auto built = impl->build(); !built) return built.error();
  return std::unique_ptr<Proxy>(new Proxy(std::move(impl)));
}

Result<void> Proxy::start() {
  return impl_->start();
}
void Proxy::stop() {
  impl_->stop();
}
std::string Proxy::status_json() const {
  return impl_->status_json();
}
ProxyStats Proxy::stats() const {
  return impl_->stats();
}

}  // namespace fyr::proxy
