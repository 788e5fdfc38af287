// Names as they show in top -H and gdb; at most 15 characters.
#pragma once

#include <pthread.h>

namespace fyr::raft {
inline void name_this_thread(const char* name) {
  pthread_setname_np(pthread_self(), name);
}
}  // namespace fyr::raft
