#include "agent/checks/probes.h"

#include <boost/url.hpp>
#include <vector>

#include "agent/checks/grpc_probe.h"
#include "agent/checks/output.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/io/http_client.h"
#include "base/io/process.h"

namespace fyr::agent {

namespace {

constexpr int kMaxRedirects = 10;

using Done = std::function<void(CheckResult)>;

CheckResult critical(std::string output) {
  return {CheckStatus::Critical, clean_text(output)};
}

// ---- http --------------------------------------------------------------------------------------

// Fills in where to connect and what to ask for; false if it is no http URL.
bool point_at(io::HttpClientRequest& request, const std::string& url) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed || (parsed->scheme() != "http" && parsed->scheme() != "https")) return false;
  request.tls = parsed->scheme() == "https";
  std::string host = parsed->host_address();
  if (host.empty()) return false;
  request.host = std::move(host);
  request.port = parsed->has_port() && parsed->port_number() != 0 ? parsed->port_number()
                 : request.tls                                    ? 443
                                                                  : 80;
  request.target = std::string(parsed->encoded_path());
  if (request.target.empty()) request.target = "/";
  if (parsed->has_query()) request.target += "?" + std::string(parsed->encoded_query());
  return true;
}

class HttpProbe final : public Probe {
 public:
  HttpProbe(io::Runtime& runtime, int thread, const ProbeRequest& request, Done done)
      : runtime_(runtime),
        thread_(thread),
        limit_(request.output_limit),
        until_(now() + request.timeout),
        follow_(!request.definition->disable_redirects()),
        url_(request.definition->http()),
        done_(std::move(done)) {
    const pb::CheckDefinition& definition = *request.definition;
    request_.method = definition.method().empty() ? "GET" : definition.method();
    method_ = request_.method;
    request_.body = definition.body();
    request_.tls_server_name = definition.tls_server_name();
    request_.tls_skip_verify = definition.tls_skip_verify();
    request_.max_body_bytes = limit_;
    request_.keep_body_tail = true;
    bool agent = false, accept = false;
    for (const pb::HeaderValues& header : definition.header()) {
      agent = agent || equals_ignoring_case(header.name(), "User-Agent");
      accept = accept || equals_ignoring_case(header.name(), "Accept");
      for (const std::string& value : header.values()) {
        request_.headers.emplace_back(header.name(), value);
      }
    }
    if (!agent) request_.headers.emplace_back("User-Agent", "Consul Health Check");
    if (!accept) request_.headers.emplace_back("Accept", "text/plain, text/*, */*");
  }

  void start() {
    if (!point_at(request_, url_)) {
      // Later, as everything else.
      refused_ = runtime_.schedule(thread_, Duration::zero(), [this] {
        done_(critical("unsupported protocol scheme or no host in \"" + url_ + "\""));
      });
      return;
    }
    ask();
  }

 private:
  void ask() {
    request_.timeout = std::max<Duration>(until_ - now(), std::chrono::milliseconds(1));
    call_ = io::http_request(
        runtime_, thread_, request_,
        [this](Result<io::HttpClientResponse> answer) { answered(std::move(answer)); });
  }

  void answered(Result<io::HttpClientResponse> answer) {
    if (!answer) {
      return done_(critical("HTTP " + method_ + " " + url_ + ": " + answer.error().message));
    }
    const std::string next = redirect_target(*answer);
    if (!next.empty() && follow_ && redirects_++ < kMaxRedirects) {
      const int status = answer->status;
      if (status != 307 && status != 308 && request_.method != "HEAD") {
        request_.method = "GET";
        request_.body.clear();
      }
      if (point_at(request_, next)) return ask();
    }
    CheckStatus status = CheckStatus::Critical;
    if (answer->status >= 200 && answer->status < 300) status = CheckStatus::Passing;
    if (answer->status == 429) status = CheckStatus::Warning;
    done_({status, clean_text("HTTP " + method_ + " " + url_ + ": " +
                              std::to_string(answer->status) + " " + answer->reason + " Output: ") +
                       body_output(answer->body, limit_)});
  }

  // Absolute URL of a redirection, "" if the answer is none.
  std::string redirect_target(const io::HttpClientResponse& answer) const {
    const int status = answer.status;
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) {
      return {};
    }
    for (const auto& [name, value] : answer.headers) {
      if (!equals_ignoring_case(name, "Location") || value.empty()) continue;
      if (value.find("://") != std::string::npos) return value;
      const bool v6 = request_.host.find(':') != std::string::npos;
      const std::string host = v6 ? "[" + request_.host + "]" : request_.host;
      const std::string base = std::string(request_.tls ? "https://" : "http://") + host + ":" +
                               std::to_string(request_.port);
      return value.front() == '/' ? base + value : base + "/" + value;
    }
    return {};
  }

  io::Runtime& runtime_;
  const int thread_;
  const std::size_t limit_;
  const Instant until_;
  const bool follow_;
  const std::string url_;
  const Done done_;
  std::string method_;
  io::HttpClientRequest request_;
  int redirects_ = 0;
  io::Timer refused_;
  std::unique_ptr<io::OutgoingCall> call_;
};

// ---- tcp ---------------------------------------------------------------------------------------

class TcpProbe final : public Probe {
 public:
  TcpProbe(io::Runtime& runtime, int thread, const ProbeRequest& request, Done done)
      : address_(request.definition->tcp()), done_(std::move(done)) {
    auto target = parse_host_port(address_);
    if (!target || target->port == 0) {
      refused_ = runtime.schedule(thread, Duration::zero(), [this] {
        done_(critical("dial tcp: address " + address_ + ": missing port in address"));
      });
      return;
    }
    if (target->host.empty()) target->host = "localhost";
    call_ = io::tcp_connect(runtime, thread, *target, request.timeout, [this](Result<void> made) {
      if (made) return done_({CheckStatus::Passing, "TCP connect " + address_ + ": Success"});
      done_(critical("dial tcp " + address_ + ": " + made.error().message));
    });
  }

 private:
  const std::string address_;
  const Done done_;
  io::Timer refused_;
  std::unique_ptr<io::OutgoingCall> call_;
};

// ---- script ------------------------------------------------------------------------------------

class ScriptProbe final : public Probe {
 public:
  ScriptProbe(io::Runtime& runtime, int thread, const ProbeRequest& request, Done done)
      : limit_(request.output_limit), timeout_(request.timeout), done_(std::move(done)) {
    io::ProcessOptions options;
    for (const std::string& argument : request.definition->script_args()) {
      options.arguments.push_back(argument);
    }
    options.timeout = timeout_;
    options.max_output = limit_;
    process_ = io::run_process(runtime, thread, std::move(options),
                               [this](Result<io::ProcessResult> ended) { finished(ended); });
  }

 private:
  void finished(const Result<io::ProcessResult>& ended) {
    if (!ended) return done_(critical(ended.error().message));
    if (ended->timed_out) {
      std::string text = "Timed out (" + format_duration(timeout_) + ") running check";
      if (ended->output_bytes > 0) {
        text += "\n\nOutput captured before timeout:\n" +
                script_output(ended->output, ended->output_bytes, limit_);
      }
      return done_({CheckStatus::Critical, std::move(text)});
    }
    CheckStatus status = CheckStatus::Critical;
    if (ended->exit_code == 0) status = CheckStatus::Passing;
    if (ended->exit_code == 1) status = CheckStatus::Warning;
    done_({status, script_output(ended->output, ended->output_bytes, limit_)});
  }

  const std::size_t limit_;
  const Duration timeout_;
  const Done done_;
  std::unique_ptr<io::Process> process_;
};

}  // namespace

std::unique_ptr<Probe> start_probe(io::Runtime& runtime, int thread, const ProbeRequest& request,
                                   std::function<void(CheckResult)> done) {
  switch (request.kind) {
    case CheckKind::Http: {
      auto probe = std::make_unique<HttpProbe>(runtime, thread, request, std::move(done));
      probe->start();
      return probe;
    }
    case CheckKind::Tcp:
      return std::make_unique<TcpProbe>(runtime, thread, request, std::move(done));
    case CheckKind::Script:
      return std::make_unique<ScriptProbe>(runtime, thread, request, std::move(done));
    case CheckKind::Grpc:
      return start_grpc_probe(runtime, thread, request, std::move(done));
    default:
      CHECK(false);  // plan_check lets no other kind run
      return nullptr;
  }
}

}  // namespace fyr::agent
