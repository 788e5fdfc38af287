#include "agent/watch_view.h"

namespace fyr::agent {

void WatchView::connected(std::string server) {
  server_ = std::move(server);
  resumed_from_ = resume_index();
  resumable_ = true;
  fresh_stream_ = true;
}

std::uint64_t WatchView::resume_index() const {
  // What is held is not ours to build on with another server.
  return resumable_ && view_ && !held_ && !view_->from_disk ? view_->index : 0;
}

WatchView::Rows WatchView::rows_of(const ServiceView& view) {
  Rows rows;
  for (const auto& row : view.rows) {
    rows.emplace(Key(row->node().name(), row->service().id()), row);
  }
  return rows;
}

ViewPtr WatchView::make_view(const pb::WatchEvent& event, const Rows& rows) {
  auto view = std::make_shared<ServiceView>();
  view->index = event.index();
  view->epoch = event.epoch();
  view->rows.reserve(rows.size());
  for (const auto& [key, row] : rows) view->rows.push_back(row);
  return view;
}

bool WatchView::is_suspicious(const ServiceView& candidate) const {
  if (!view_) return false;
  return candidate.index < view_->index || (candidate.rows.empty() && !view_->rows.empty());
}

ViewPtr WatchView::publish(ViewPtr view) {
  held_.reset();
  const bool same =
      view_ && !view_->from_disk && view_->index == view->index && view_->rows == view->rows;
  view_ = std::move(view);
  return same ? nullptr : view_;
}

ViewPtr WatchView::apply(Instant now, const pb::WatchEvent& event, bool& broken) {
  broken = false;
  if (event.heartbeat()) {
    fresh_stream_ = false;  // a resumed stream: nothing was missed
    return nullptr;
  }
  const ViewPtr& base = held_ ? held_ : view_;
  Rows rows = base ? rows_of(*base) : Rows();
  if (event.snapshot()) {
    Rows kept;
    for (const pb::ServiceEntry& entry : event.set()) {
      const Key key(entry.node().name(), entry.service().id());
      const auto old = rows.find(key);
      // Rows that did not change stay the same objects: readers compare pointers.
      const bool same =
          old != rows.end() && old->second->SerializeAsString() == entry.SerializeAsString();
      kept[key] = same ? old->second : std::make_shared<const pb::ServiceEntry>(entry);
    }
    ViewPtr candidate = make_view(event, kept);
    const bool first = std::exchange(fresh_stream_, false);
    if (!is_suspicious(*candidate) || !(first || held_)) return publish(std::move(candidate));
    if (held_ && held_from_ != server_) return publish(std::move(candidate));
    if (!held_) held_until_ = now + hold_;
    held_ = std::move(candidate);
    held_from_ = server_;
    return nullptr;
  }
  // A stream that goes on from our own index may begin with what changed meanwhile.
  const bool continues =
      !fresh_stream_ || (base && resumed_from_ != 0 && base->index == resumed_from_);
  if (!base || !continues || event.index() <= base->index) {
    broken = !base || event.index() > base->index;
    return nullptr;  // an older one that came late is dropped
  }
  fresh_stream_ = false;
  for (const pb::InstanceKey& removed : event.removed()) {
    rows.erase(Key(removed.node(), removed.service_id()));
  }
  for (const pb::ServiceEntry& entry : event.set()) {
    rows[Key(entry.node().name(), entry.service().id())] =
        std::make_shared<const pb::ServiceEntry>(entry);
  }
  ViewPtr candidate = make_view(event, rows);
  if (held_ && is_suspicious(*candidate)) {
    held_ = std::move(candidate);
    return nullptr;
  }
  return publish(std::move(candidate));
}

ViewPtr WatchView::tick(Instant now) {
  if (!held_ || now < held_until_) return nullptr;
  return publish(std::move(held_));
}

}  // namespace fyr::agent
