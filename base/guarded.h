// A value inside its lock: the only way to it is through the lock, so GCC needs no annotations.
// Never hold it across a callback, I/O or co_await.
#pragma once

#include <mutex>
#include <shared_mutex>
#include <utility>

namespace fyr {

template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  template <class F>
  decltype(auto) with(F&& f) {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(value_);
  }

 private:
  std::mutex mutex_;
  T value_;
};

// Many readers or one writer.
template <class T>
class SharedGuarded {
 public:
  template <class... Args>
  explicit SharedGuarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  template <class F>
  decltype(auto) read(F&& f) const {
    std::shared_lock lock(mutex_);
    return std::forward<F>(f)(static_cast<const T&>(value_));
  }
  template <class F>
  decltype(auto) write(F&& f) {
    std::unique_lock lock(mutex_);
    return std::forward<F>(f)(value_);
  }

 private:
  mutable std::shared_mutex mutex_;
  T value_;
};

}  // namespace fyr
