#include "agent/swim/broadcast.h"

#include <cmath>
#include <vector>

#include "base/check.h"

namespace fyr::agent {

int retransmit_limit(int mult, std::size_t members) {
  return mult * static_cast<int>(std::ceil(std::log10(static_cast<double>(members) + 1)));
}

BroadcastQueue::Key BroadcastQueue::key_of(const std::string& node, const Entry& entry) {
  return {entry.sent, !entry.urgent, -static_cast<std::int64_t>(entry.message.size()),
          -static_cast<std::int64_t>(entry.serial), node};
}

void BroadcastQueue::push(const std::string& node, std::string message, bool urgent) {
  drop(node);
  Entry entry{std::move(message), urgent, 0, next_serial_++};
  order_.insert(key_of(node, entry));
  entries_.emplace(node, std::move(entry));
  CHECK(order_.size() == entries_.size());
}

void BroadcastQueue::drop(const std::string& node) {
  const auto it = entries_.find(node);
  if (it == entries_.end()) return;
  order_.erase(key_of(node, it->second));
  entries_.erase(it);
}

int BroadcastQueue::take(std::string& out, std::size_t room, int limit) {
  // Taken entries are put back only afterwards, so that none goes twice into one packet.
  std::vector<Key> taken;
  for (const Key& key : order_) {
    const std::size_t length = static_cast<std::size_t>(-std::get<2>(key));
    if (length > room) continue;
    out += entries_.at(std::get<4>(key)).message;
    room -= length;
    taken.push_back(key);
    if (room < 8) break;  // no message is shorter
  }
  for (const Key& key : taken) {
    order_.erase(key);
    const std::string& node = std::get<4>(key);
    Entry& entry = entries_.at(node);
    if (++entry.sent >= limit) {
      entries_.erase(node);
    } else {
      order_.insert(key_of(node, entry));
    }
  }
  return static_cast<int>(taken.size());
}

}  // namespace fyr::agent
