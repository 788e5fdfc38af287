#include "proxy/prober.h"

#include <sys/epoll.h>

#include <cerrno>

#include "proxy/http1.h"

namespace fyr::proxy {
namespace {

constexpr std::size_t kMaxHead = 32 * 1024;

ProbeOutcome outcome_of(int error) {
  return error == ECONNREFUSED || error == ECONNRESET || error == EPIPE ? ProbeOutcome::Refused
                                                                        : ProbeOutcome::Unreachable;
}

}  // namespace

class Prober::Attempt final : public Deferred,
                              public IoHandler,
                              public Timed,
                              public ListLink<ProbeTag> {
 public:
  Attempt(Prober& prober, Probe probe) : prober_(prober), probe_(std::move(probe)) {}
  ~Attempt() override { close(); }

  void start(const Endpoint& endpoint) {
    prober_.loop_.set_deadline(*this, prober_.loop_.now() + probe_.timeout);
    if (probe_.type == CheckType::Http) {
      request_ = "GET " + prober_.check_.path + " HTTP/1.1\r\nHost: " + endpoint.address_text +
                 "\r\nUser-Agent: fyr-health-check\r\nConnection: close\r\n\r\n";
    }
    int error = ENETUNREACH;
    if (endpoint.resolved) fd_ = start_connect(endpoint.address, probe_.timeout, error);
    if (fd_ < 0) {
      // Told at the next turn of the wheel: nobody expects an answer inside start().
      failed_with_ = error;
      prober_.loop_.set_deadline(*this, prober_.loop_.now());
      return;
    }
    prober_.loop_.add(fd_, *this, EventLoop::kEdge);
  }

  void on_io(std::uint32_t events) override {
    if (fd_ < 0) return;
    if (!connected_) {
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        finish(outcome_of(pending_error(fd_)), 0);
        return;
      }
      if ((events & EPOLLOUT) == 0) return;
      connected_ = true;
      if (probe_.type != CheckType::Http) {
        finish(ProbeOutcome::Passed, 0);
        return;
      }
      if (send_some(fd_, request_) < 0) {
        finish(ProbeOutcome::NoAnswer, 0);
        return;
      }
    }
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read();
  }

  void on_deadline(Instant) override {
    if (failed_with_ != 0) {
      finish(outcome_of(failed_with_), 0);
    } else {
      finish(connected_ ? ProbeOutcome::NoAnswer : ProbeOutcome::Unreachable, 0);
    }
  }

  const Probe& probe() const { return probe_; }
  void close() {
    if (fd_ >= 0) close_socket(fd_);
    fd_ = -1;
  }

 private:
  void finish(ProbeOutcome outcome, int status) { prober_.finished(*this, outcome, status); }

  void read() {
    while (true) {
      bool eof = false;
      char* buffer = prober_.loop_.scratch();
      const auto n = receive(fd_, buffer, EventLoop::kScratchBytes, eof);
      if (n < 0 || eof) {
        finish(ProbeOutcome::NoAnswer, 0);
        return;
      }
      if (n == 0) return;
      answer_.append(buffer, static_cast<std::size_t>(n));
      http1::Fault fault;
      const auto scan = scanner_.scan(answer_, {}, fault);
      if (scan == http1::ScanStatus::Complete) {
        judge();
        return;
      }
      if (scan == http1::ScanStatus::Fault || answer_.size() > kMaxHead) {
        finish(ProbeOutcome::NoAnswer, 0);
        return;
      }
    }
  }

  void judge() {
    http1::ResponseHead head;
    http1::Fault fault;
    const std::string_view text(answer_.data(), scanner_.end());
    if (!http1::parse_response_head(text, {}, http1::Method::Get, head, fault)) {
      finish(ProbeOutcome::NoAnswer, 0);
      return;
    }
    const auto& check = prober_.check_;
    const bool good = head.status >= check.expect_low && head.status <= check.expect_high;
    finish(good ? ProbeOutcome::Passed : ProbeOutcome::BadStatus, head.status);
  }

  Prober& prober_;
  Probe probe_;
  int fd_ = -1;
  int failed_with_ = 0;
  bool connected_ = false;
  std::string request_;
  std::string answer_;
  http1::HeadScanner scanner_{false};
};

Prober::Prober(EventLoop& loop, HealthCheckConfig check, Done done)
    : loop_(loop), check_(std::move(check)), done_(std::move(done)) {}

Prober::~Prober() {
  cancel_all();
}

void Prober::start(const Probe& probe, const Endpoint& endpoint) {
  auto attempt = std::make_unique<Attempt>(*this, probe);
  Attempt& started = *attempt.release();
  attempts_.push_back(started);
  started.start(endpoint);
}

void Prober::finished(Attempt& attempt, ProbeOutcome outcome, int status) {
  attempt.ListLink<ProbeTag>::unlink();
  attempt.close();
  loop_.cancel_deadline(attempt);
  const Probe probe = attempt.probe();
  loop_.bury(std::unique_ptr<Deferred>(&attempt));
  done_(probe, outcome, status);
}

void Prober::cancel_all() {
  while (Attempt* attempt = attempts_.pop_front()) {
    attempt->close();
    loop_.cancel_deadline(*attempt);
    loop_.bury(std::unique_ptr<Deferred>(attempt));
  }
}

}  // namespace fyr::proxy
