// Answers made once per change and shared by all who ask the same.
//
// An answer is valid while the index of its topics is the one it was made at; that is all a hit
// checks. Two threads that miss on the same key make the answer once: the second waits for the
// first. Bounded in entries and bytes, the least recently used goes first.
//
// Threading: any thread.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "server/api/read_plan.h"
#include "server/server.h"

namespace fyr::server {

class Answer {
 public:
  Answer(StateIndex index, Rendered rendered) : index_(index), rendered_(std::move(rendered)) {}
  StateIndex index() const { return index_; }
  const Rendered& rendered() const { return rendered_; }
  const std::shared_ptr<const std::string>& body() const { return rendered_.body; }
  // The body compressed, made at the first call; null if it is too small to be worth it.
  std::shared_ptr<const std::string> gzip_body() const;
  std::size_t bytes() const { return rendered_.body ? rendered_.body->size() : 0; }
  // For X-Cache: true from the second ?cached request on.
  bool was_asked_as_cached() const { return asked_as_cached_.exchange(true); }

 private:
  StateIndex index_;
  Rendered rendered_;
  mutable std::once_flag gzip_once_;
  mutable std::shared_ptr<const std::string> gzip_;
  mutable std::atomic<bool> asked_as_cached_{false};
};
using AnswerPtr = std::shared_ptr<const Answer>;

class AnswerCache {
 public:
  struct Limits {
    std::size_t entries = 4096;
    std::size_t bytes = 32 << 20;
  };
  explicit AnswerCache(const Server& server) : AnswerCache(server, Limits()) {}
  AnswerCache(const Server& server, Limits limits) : server_(server), limits_(limits) {}

  // The index an answer made now would have: what tells a waiter whether to make it at all.
  StateIndex index(const ReadPlan& plan) const;
  // The answer as of now.
  AnswerPtr get(const ReadPlan& plan, bool pretty);
  // Without the cache.
  AnswerPtr make(const ReadPlan& plan, bool pretty) const;

  std::size_t entries() const;
  std::size_t bytes() const;

 private:
  struct Entry {
    std::mutex making;  // held while the answer is made
    AnswerPtr answer;
  };
  struct Slot {
    std::string key;
    std::shared_ptr<Entry> entry;
    std::size_t bytes = 0;
  };
  using Slots = std::list<Slot>;

  std::shared_ptr<Entry> entry_of(const std::string& key);
  void account(const std::string& key, const std::shared_ptr<Entry>& entry, std::size_t bytes);

  const Server& server_;
  const Limits limits_;
  mutable std::mutex mutex_;
  Slots slots_;  // most recently used first
  std::unordered_map<std::string_view, Slots::iterator> by_key_;
  std::size_t bytes_ = 0;
};

}  // namespace fyr::server
