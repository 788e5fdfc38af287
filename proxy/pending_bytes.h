// Bytes a socket did not take yet.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>

#include "proxy/socket.h"

namespace fyr::proxy {

class PendingBytes {
 public:
  enum class Flush { Empty, Blocked, Failed };

  bool empty() const { return sent_ == data_.size(); }
  std::size_t size() const { return data_.size() - sent_; }

  // Sends both in order after what is waiting; keeps what the socket does not take. False: the
  // connection failed (errno). `written` grows by what went out.
  bool send(int fd, std::string_view first, std::string_view second, std::uint64_t& written) {
    std::size_t done = 0;
    if (empty()) {
      const auto n = send_two(fd, first, second);
      if (n < 0) return false;
      done = static_cast<std::size_t>(n);
      written += done;
      if (done == first.size() + second.size()) return true;
    }
    if (done < first.size()) {
      data_.append(first.substr(done));
      done = 0;
    } else {
      done -= first.size();
    }
    data_.append(second.substr(done));
    return true;
  }

  Flush flush(int fd, std::uint64_t& written) {
    if (empty()) return Flush::Empty;
    const auto n = send_some(fd, std::string_view(data_).substr(sent_));
    if (n < 0) return Flush::Failed;
    sent_ += static_cast<std::size_t>(n);
    written += static_cast<std::uint64_t>(n);
    if (!empty()) return Flush::Blocked;
    release();
    return Flush::Empty;
  }

  // Idle connections hold no memory.
  void release() {
    data_ = std::string();
    sent_ = 0;
  }

 private:
  std::string data_;
  std::size_t sent_ = 0;
};

}  // namespace fyr::proxy
