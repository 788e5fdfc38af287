#include "server/api/answer_cache.h"

#include <algorithm>

#include "base/io/http_router.h"
#include "base/json.h"

namespace fyr::server {
namespace {

// What an entry costs beyond its body: key, list node, table entry, headers.
constexpr std::size_t kEntryOverhead = 512;

StateIndex index_of(const StateStore& store, const std::vector<Topic>& topics) {
  StateIndex index = 1;
  for (const auto& topic : topics) index = std::max(index, store.index_of(topic));
  return index;
}

bool is_json(const Rendered& rendered) {
  return std::any_of(rendered.headers.begin(), rendered.headers.end(), [](const auto& header) {
    return header.first == "Content-Type" && header.second == "application/json";
  });
}

}  // namespace

Rendered Rendered::json(std::string body) {
  Rendered out;
  out.headers.emplace_back("Content-Type", "application/json");
  out.body = std::make_shared<const std::string>(std::move(body));
  return out;
}

std::shared_ptr<const std::string> Answer::gzip_body() const {
  if (!rendered_.body || rendered_.body->size() < io::kGzipThreshold) return nullptr;
  std::call_once(gzip_once_, [this] {
    gzip_ = std::make_shared<const std::string>(io::gzip(*rendered_.body));
  });
  return gzip_;
}

StateIndex AnswerCache::index(const ReadPlan& plan) const {
  return server_.read([&](const StateStore& store) { return index_of(store, plan.topics); });
}

AnswerPtr AnswerCache::make(const ReadPlan& plan, bool pretty) const {
  StateIndex index = 1;
  auto render = server_.read([&](const StateStore& store) {
    index = index_of(store, plan.topics);
    return plan.fetch(store);
  });
  Rendered rendered = render();
  if (pretty && rendered.body && is_json(rendered)) {
    rendered.body = std::make_shared<const std::string>(indent_json(*rendered.body) + "\n");
  }
  return std::make_shared<const Answer>(index, std::move(rendered));
}

AnswerPtr AnswerCache::get(const ReadPlan& plan, bool pretty) {
  if (!plan.kept) return make(plan, pretty);
  const std::string key = pretty ? plan.key + "p" : plan.key;
  auto entry = entry_of(key);
  AnswerPtr answer;
  {
    std::lock_guard lock(entry->making);
    if (entry->answer && entry->answer->index() == index(plan)) return entry->answer;
    answer = make(plan, pretty);
    entry->answer = answer;
  }
  account(key, entry, answer->bytes());
  return answer;
}

std::shared_ptr<AnswerCache::Entry> AnswerCache::entry_of(const std::string& key) {
  std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    slots_.splice(slots_.begin(), slots_, found->second);
    return found->second->entry;
  }
  slots_.push_front({key, std::make_shared<Entry>(), kEntryOverhead + 2 * key.size()});
  by_key_.emplace(slots_.front().key, slots_.begin());
  bytes_ += slots_.front().bytes;
  return slots_.front().entry;
}

// Sets what an entry weighs and makes room. A compressed copy, which may be made later, is counted
// as half of the body from the start.
void AnswerCache::account(const std::string& key, const std::shared_ptr<Entry>& entry,
                          std::size_t bytes) {
  std::list<Slot> dropped;  // destroyed after the lock
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found != by_key_.end() && found->second->entry == entry) {
    auto& slot = *found->second;
    bytes_ -= slot.bytes;
    slot.bytes = kEntryOverhead + 2 * key.size() + bytes + bytes / 2;
    bytes_ += slot.bytes;
  }
  while (!slots_.empty() && (slots_.size() > limits_.entries || bytes_ > limits_.bytes)) {
    const auto last = std::prev(slots_.end());
    bytes_ -= last->bytes;
    by_key_.erase(last->key);
    dropped.splice(dropped.end(), slots_, last);
  }
}

std::size_t AnswerCache::entries() const {
  std::lock_guard lock(mutex_);
  return slots_.size();
}

std::size_t AnswerCache::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace fyr::server
