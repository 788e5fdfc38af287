#include "proxy/splice_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace fyr::proxy {
namespace {

constexpr int kCapacity = 256 * 1024;
constexpr std::size_t kMaxIdle = 32;
constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

}  // namespace

std::unique_ptr<SplicePipe> SplicePipe::open() {
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return nullptr;
  ::fcntl(ends[1], F_SETPIPE_SZ, kCapacity);  // smaller works too
  return std::unique_ptr<SplicePipe>(new SplicePipe(ends[0], ends[1]));
}

SplicePipe::~SplicePipe() {
  ::close(read_);
  ::close(write_);
}

ssize_t SplicePipe::fill(int from, std::size_t limit, bool& eof) {
  eof = false;
  const auto n = ::splice(from, nullptr, write_, nullptr, limit, kFlags);
  if (n == 0) eof = true;
  if (n > 0) held_ += static_cast<std::size_t>(n);
  return n < 0 && errno == EAGAIN ? 0 : n;
}

ssize_t SplicePipe::drain(int to) {
  const auto n = ::splice(read_, nullptr, to, nullptr, held_, kFlags);
  if (n > 0) held_ -= static_cast<std::size_t>(n);
  return n < 0 && errno == EAGAIN ? 0 : n;
}

std::unique_ptr<SplicePipe> PipePool::take() {
  if (idle_.empty()) return SplicePipe::open();
  auto pipe = std::move(idle_.back());
  idle_.pop_back();
  return pipe;
}

void PipePool::give_back(std::unique_ptr<SplicePipe> pipe) {
  if (pipe && pipe->held() == 0 && idle_.size() < kMaxIdle) idle_.push_back(std::move(pipe));
}

}  // namespace fyr::proxy
