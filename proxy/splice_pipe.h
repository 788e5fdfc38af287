// Large bodies from socket to socket without copying them through the process (splice(2)): a pipe
// holds references to the kernel's pages. Worth it from some hundred KiB on.
//
// Belongs to one io thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace fyr::proxy {

class SplicePipe {
 public:
  static std::unique_ptr<SplicePipe> open();  // null: no descriptors left
  ~SplicePipe();
  SplicePipe(const SplicePipe&) = delete;
  SplicePipe& operator=(const SplicePipe&) = delete;

  // Bytes taken from the socket `from`; 0: it has none now (or the pipe is full); -1 and errno.
  // `eof`: its end was read.
  ssize_t fill(int from, std::size_t limit, bool& eof);
  // Bytes the socket `to` took; 0: none now; -1 and errno.
  ssize_t drain(int to);
  std::size_t held() const { return held_; }

 private:
  SplicePipe(int read_end, int write_end) : read_(read_end), write_(write_end) {}
  int read_;
  int write_;
  std::size_t held_ = 0;
};

// Empty pipes for the next large body.
class PipePool {
 public:
  std::unique_ptr<SplicePipe> take();
  void give_back(std::unique_ptr<SplicePipe> pipe);  // one that holds bytes is closed

 private:
  std::vector<std::unique_ptr<SplicePipe>> idle_;
};

}  // namespace fyr::proxy
