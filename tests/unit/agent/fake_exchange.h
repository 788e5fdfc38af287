// Requests straight into a handler, without sockets.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "agent/agent.h"

namespace fyr::agent {

class FakeExchange final : public io::HttpExchange {
 public:
  explicit FakeExchange(io::HttpRequest request) : request_(std::move(request)) {}
  const io::HttpRequest& request() const override { return request_; }
  int thread() const override { return 0; }
  void respond(io::HttpResponse response) override { answer_.set_value(std::move(response)); }
  void on_abandoned(std::function<void()> callback) override { abandoned_ = std::move(callback); }
  void begin_stream(io::HttpResponse) override {}
  bool write_chunk(std::string) override { return false; }
  void end_stream() override {}

  std::future<io::HttpResponse> answer() { return answer_.get_future(); }
  void abandon() { abandoned_(); }

 private:
  const io::HttpRequest request_;
  std::promise<io::HttpResponse> answer_;
  std::function<void()> abandoned_;
};

inline io::HttpRequest make_request(const std::string& method, const std::string& target,
                                    const std::string& body) {
  io::HttpRequest request;
  request.method = method;
  const auto question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  request.body = body;
  request.remote_address = "127.0.0.1";
  return request;
}

struct Reply {
  int status = 0;
  std::string body;
  io::HttpHeaders headers;
  std::string header(const std::string& name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

inline Reply to_reply(std::future<io::HttpResponse> answer) {
  if (answer.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
    ADD_FAILURE() << "no answer";
    return {};
  }
  io::HttpResponse response = answer.get();
  return {response.status, response.body ? *response.body : std::string(), response.headers};
}

inline std::future<io::HttpResponse> begin(Agent& agent, const std::string& method,
                                           const std::string& target,
                                           const std::string& body = "") {
  auto exchange = std::make_shared<FakeExchange>(make_request(method, target, body));
  auto answer = exchange->answer();
  agent.handle(std::move(exchange));
  return answer;
}

inline Reply send(Agent& agent, const std::string& method, const std::string& target,
                  const std::string& body = "") {
  return to_reply(begin(agent, method, target, body));
}

// Awaits a state of another thread that sends no event of its own.
template <class F>
bool eventually(F&& condition, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const Instant until = now() + limit;
  while (!condition()) {
    if (now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace fyr::agent
