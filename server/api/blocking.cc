#include "server/api/blocking.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/id.h"
#include "base/random.h"

namespace fyr::server {
namespace {

Consistency consistency_of(io::ReadParams::Consistency given) {
  switch (given) {
    case io::ReadParams::Consistency::Consistent:
      return Consistency::Consistent;
    case io::ReadParams::Consistency::Stale:
      return Consistency::Stale;
    case io::ReadParams::Consistency::Default:
      break;
  }
  return Consistency::Default;
}

std::string_view word(Consistency consistency) {
  switch (consistency) {
    case Consistency::Consistent:
      return "consistent";
    case Consistency::Stale:
      return "stale";
    case Consistency::Default:
      break;
  }
  return "leader";
}

std::uint64_t jitter() {
  thread_local Random random = Random::from_system();
  return random.next();
}

}  // namespace

void answer_error(const io::HttpCall& call, const Error& error) {
  switch (error.code) {
    case ErrorCode::InvalidArgument:
    case ErrorCode::NotFound:
    case ErrorCode::PermissionDenied:
    case ErrorCode::ResourceExhausted:
    case ErrorCode::Unsupported:
      call.error(error);
      return;
    case ErrorCode::NoLeader:
    case ErrorCode::NotLeader:
      call.text(500, "No cluster leader");
      return;
    default:
      call.text(500, error.message.empty() ? std::string(to_string(error.code)) : error.message);
  }
}

bool worth_retrying(const Error& error) {
  return error.code == ErrorCode::NoLeader || error.code == ErrorCode::NotLeader ||
         error.code == ErrorCode::Unavailable;
}

struct Reads::Request {
  io::HttpCallPtr call;
  std::shared_ptr<const ReadPlan> plan;
  io::ReadParams params;
  Consistency consistency = Consistency::Default;
  Instant deadline{};  // of waiting for a leader; set when the first wait begins
  io::Timer retry;
  // Set when the request has waited already: it is only answered then, with this or newer.
  AnswerPtr waited_for;
};

Reads::Reads(Server& server, io::Runtime& runtime, const ApiOptions& options)
    : server_(server), runtime_(runtime), options_(options), cache_(server) {
  for (int thread = 0; thread < runtime.size(); ++thread) {
    waiters_.push_back(std::make_unique<Waiters>(
        server, cache_, runtime, thread,
        [this](const io::HttpCallPtr& call, const ReadPlan& plan, const AnswerPtr& answer,
               Consistency consistency) { deliver(call, plan, answer, consistency); }));
  }
}

Reads::~Reads() = default;

void Reads::serve(io::HttpCallPtr call, ReadPlan plan) {
  auto params = io::parse_read_params(*call);
  if (!params) return answer_error(*call, params.error());
  auto request = std::make_shared<Request>();
  request->call = std::move(call);
  request->plan = std::make_shared<const ReadPlan>(std::move(plan));
  request->params = std::move(*params);
  request->consistency = consistency_of(request->params.consistency);
  const int thread = request->call->exchange()->thread();
  if (runtime_.current() == thread) {
    begin(request);
  } else {
    runtime_.post(thread, [this, request] { begin(request); });
  }
}

void Reads::begin(const RequestPtr& request) {
  if (const auto stamp = server_.try_read(request->consistency)) return evaluate(request, *stamp);
  if (request->deadline == Instant{}) request->deadline = now() + options_.rpc_hold_timeout;
  server_.wait_read(request->consistency, [this, request](Result<ReadStamp> stamp) {
    const int thread = request->call->exchange()->thread();
    runtime_.post(thread, [this, request, stamp = std::move(stamp)] {
      if (stamp) {
        evaluate(request, *stamp);
      } else {
        retry_or_fail(request, stamp.error());
      }
    });
  });
}

void Reads::retry_or_fail(const RequestPtr& request, const Error& error) {
  if (stopped_ || !worth_retrying(error) || now() + kRetryPause > request->deadline) {
    return answer_error(*request->call, error);
  }
  request->retry = runtime_.schedule(request->call->exchange()->thread(), kRetryPause,
                                     [this, request] { begin(request); });
}

void Reads::evaluate(const RequestPtr& request, const ReadStamp& stamp) {
  const auto& call = request->call;
  const auto seen = request->params.index;
  const bool wait = seen > 0 && request->plan->waits && !request->waited_for && !stopped_ &&
                    cache_.index(*request->plan) <= seen;
  if (!wait) {
    const auto answer = cache_.get(*request->plan, call->pretty());
    return respond(*call, *request->plan, *answer, stamp, request->consistency);
  }
  const auto duration = io::effective_wait(request->params.wait, options_.default_query_time,
                                           options_.max_query_time, jitter());
  waiters_[static_cast<std::size_t>(call->exchange()->thread())]->park(
      call, request->plan, seen, duration, request->consistency);
}

// A waiter's answer. What it waited for was read after the change, so a consistent read needs no
// second round to the followers; that this server still leads is asked again.
void Reads::deliver(const io::HttpCallPtr& call, const ReadPlan& plan, const AnswerPtr& answer,
                    Consistency consistency) {
  const auto needed = consistency == Consistency::Stale ? Consistency::Stale : Consistency::Default;
  if (const auto stamp = server_.try_read(needed)) {
    return respond(*call, plan, *answer, *stamp, consistency);
  }
  auto request = std::make_shared<Request>();
  request->call = call;
  request->plan = std::make_shared<const ReadPlan>(plan);
  request->consistency = consistency;
  request->waited_for = answer;
  if (stopped_) return answer_error(*call, fail(ErrorCode::NoLeader, ""));
  begin(request);
}

void Reads::respond(const io::HttpCall& call, const ReadPlan& plan, const Answer& answer,
                    const ReadStamp& stamp, Consistency consistency) const {
  const auto& rendered = answer.rendered();
  io::HttpResponse response;
  response.status = rendered.status;
  response.headers.reserve(rendered.headers.size() + 12);
  response.headers = rendered.headers;
  io::QueryMeta meta;
  meta.index = answer.index();
  meta.known_leader = stamp.known_leader;
  meta.last_contact = stamp.last_contact;
  if (plan.shows_consistency) meta.effective_consistency = word(consistency);
  if (plan.shows_consistency && call.query().has("cached")) {
    meta.cache = answer.was_asked_as_cached() ? "HIT" : "MISS";
  }
  io::append_query_headers(response.headers, meta);
  response.body = rendered.body;
  if (call.accepts_gzip()) {
    if (auto compressed = answer.gzip_body()) {
      response.headers.emplace_back("Content-Encoding", "gzip");
      response.body = std::move(compressed);
    }
  }
  call.respond(std::move(response));
}

void Reads::stop() {
  if (stopped_.exchange(true)) return;
  struct Latch {
    std::mutex mutex;
    std::condition_variable done;
    std::size_t left = 0;
  };
  auto latch = std::make_shared<Latch>();
  latch->left = waiters_.size();
  for (std::size_t thread = 0; thread < waiters_.size(); ++thread) {
    runtime_.post(static_cast<int>(thread), [waiters = waiters_[thread].get(), latch] {
      waiters->deliver_all();
      std::lock_guard lock(latch->mutex);
      --latch->left;
      latch->done.notify_all();
    });
  }
  // The io threads may have been stopped already; then there is nobody to answer.
  constexpr auto kPatience = std::chrono::seconds(2);
  std::unique_lock lock(latch->mutex);
  latch->done.wait_for(lock, kPatience, [&] { return latch->left == 0; });
}

}  // namespace fyr::server
