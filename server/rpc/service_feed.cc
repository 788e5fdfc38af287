#include "server/rpc/service_feed.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>

#include "base/check.h"

namespace fyr::server {

namespace {

grpc::ByteBuffer to_bytes(const pb::WatchEvent& event) {
  grpc::ByteBuffer bytes;
  bool own = false;
  const auto status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, pb::WatchEvent>(event, &bytes, &own);
  CHECK(status.ok());
  return bytes;
}

void add_entry(pb::WatchEvent& event, const ServiceHealth& row) {
  pb::ServiceEntry& entry = *event.add_set();
  *entry.mutable_node() = *row.node;
  *entry.mutable_service() = *row.service;
  for (const CheckRow& check : row.checks) *entry.add_checks() = *check;
}

// Rows are immutable: the same pointers are the same content.
bool is_same(const ServiceHealth& a, const ServiceHealth& b) {
  return a.node == b.node && a.service == b.service && a.checks == b.checks;
}

}  // namespace

bool ServiceFeed::refresh(const Server& server) {
  const auto listing =
      server.read([&](const StateStore& store) { return store.service_health(service_); });
  if (listing.index == index_) return false;
  std::map<Key, ServiceHealth> rows;
  for (const ServiceHealth& row : listing.rows) {
    rows.emplace(Key(row.node->name(), row.service->id()), row);
  }
  if (index_ != 0 && listing.index > index_) {
    append_delta(listing.index, rows);
  } else {
    history_.clear();  // the first read, or the state went back: only a snapshot is right
  }
  index_ = listing.index;
  rows_ = std::move(rows);
  snapshot_.reset();
  return true;
}

void ServiceFeed::append_delta(std::uint64_t index, const std::map<Key, ServiceHealth>& rows) {
  pb::WatchEvent event;
  event.set_index(index);
  event.set_epoch(epoch_);
  for (const auto& [key, row] : rows) {
    const auto old = rows_.find(key);
    if (old == rows_.end() || !is_same(old->second, row)) add_entry(event, row);
  }
  for (const auto& [key, row] : rows_) {
    if (rows.contains(key)) continue;
    pb::InstanceKey& removed = *event.add_removed();
    removed.set_node(key.first);
    removed.set_service_id(key.second);
  }
  history_.push_back({index_, {index, to_bytes(event)}});
  if (history_.size() > kHistory) history_.pop_front();
}

bool ServiceFeed::covers(std::uint64_t position) const {
  if (position == 0) return false;
  return position == index_ || std::any_of(history_.begin(), history_.end(),
                                           [&](const Delta& d) { return d.from == position; });
}

std::optional<ServiceFeed::Event> ServiceFeed::next(std::uint64_t position) {
  if (position == index_) return std::nullopt;
  for (const Delta& delta : history_) {
    if (delta.from == position) return delta.event;
  }
  if (!snapshot_) {
    pb::WatchEvent event;
    event.set_index(index_);
    event.set_epoch(epoch_);
    event.set_snapshot(true);
    for (const auto& [key, row] : rows_) add_entry(event, row);
    snapshot_ = Event{index_, to_bytes(event)};
  }
  return snapshot_;
}

ServiceFeed::Event ServiceFeed::heartbeat() const {
  pb::WatchEvent event;
  event.set_index(index_);
  event.set_epoch(epoch_);
  event.set_heartbeat(true);
  return {index_, to_bytes(event)};
}

}  // namespace fyr::server
