#include "server/api/writing.h"

#include <utility>

#include "server/api/blocking.h"

namespace fyr::server {

struct Writes::Pending {
  io::HttpCallPtr call;
  pb::Command command;
  Done done;
  Instant deadline{};
  io::Timer retry;
};

void Writes::submit(io::HttpCallPtr call, pb::Command command) {
  submit(std::move(call), std::move(command),
         [](const io::HttpCall& answered, const ApplyResult& result) {
           answered.json(result.done ? "true" : "false");
         });
}

void Writes::submit(io::HttpCallPtr call, pb::Command command, Done done) {
  auto pending = std::make_shared<Pending>();
  pending->call = std::move(call);
  pending->command = std::move(command);
  pending->done = std::move(done);
  pending->deadline = now() + options_.rpc_hold_timeout;
  propose(pending);
}

void Writes::propose(const std::shared_ptr<Pending>& pending) {
  server_.write(pending->command,
                [this, pending](Result<ApplyResult> result) { finish(pending, result); });
}

void Writes::finish(const std::shared_ptr<Pending>& pending, const Result<ApplyResult>& result) {
  const auto& call = *pending->call;
  if (result) {
    if (result->error) return call.text(500, result->error->message);
    return pending->done(call, *result);
  }
  // Unavailable may hide a write that was on its way, so only "nobody leads" is tried again.
  const auto code = result.error().code;
  const bool never_ran = code == ErrorCode::NoLeader || code == ErrorCode::NotLeader;
  if (!never_ran || stopped_ || now() + kRetryPause > pending->deadline) {
    return answer_error(call, result.error());
  }
  // The timer's own state holds the request; the request holds the timer until it fires.
  const int thread = call.exchange()->thread();
  runtime_.post(thread, [this, pending, thread] {
    pending->retry = runtime_.schedule(thread, kRetryPause, [this, pending] { propose(pending); });
  });
}

}  // namespace fyr::server
