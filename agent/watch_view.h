// What a watch stream's events make of the last known view: a plain function of events, so that
// the rules about suspicious snapshots can be tested without a network.
//
// Right after a (re)connect a snapshot with a lower index than ours, or an empty one in place of a
// non-empty one, is more likely a server that lost or has not yet got its data than the truth. It
// is held for a while; a second server that says the same, or the end of the time, releases it.
// Deltas apply to what is held too and may make it plausible.
//
// Pure. One owner thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "watch.pb.h"

namespace fyr::agent {

// All instances of one service as of `index`; rows by node, then service id.
struct ServiceView {
  std::uint64_t index = 0;
  std::uint64_t epoch = 0;
  std::vector<std::shared_ptr<const pb::ServiceEntry>> rows;
  bool from_disk = false;  // last known list; no server confirmed it yet
};

using ViewPtr = std::shared_ptr<const ServiceView>;

class WatchView {
 public:
  explicit WatchView(Duration hold) : hold_(hold) {}

  // The last known list, before any server was heard.
  void load(ViewPtr view) { view_ = std::move(view); }
  // A stream was opened, to this server; the next snapshot comes right after it.
  void connected(std::string server);

  // The new view to publish, null if nothing changes for readers. A delta that does not fit is an
  // error of the server: `broken` is set and the stream has to start over.
  ViewPtr apply(Instant now, const pb::WatchEvent& event, bool& broken);
  // Releases what was held long enough.
  ViewPtr tick(Instant now);

  const ViewPtr& view() const { return view_; }
  bool holding() const { return held_ != nullptr; }
  // Where a new stream may resume: 0 for none.
  std::uint64_t resume_index() const;
  // The next stream begins with a snapshot: what the last one sent did not fit what we have.
  void forget_resume() { resumable_ = false; }
  std::uint64_t resume_epoch() const { return view_ ? view_->epoch : 0; }

 private:
  using Key = std::pair<std::string, std::string>;
  using Rows = std::map<Key, std::shared_ptr<const pb::ServiceEntry>>;

  static Rows rows_of(const ServiceView& view);
  static ViewPtr make_view(const pb::WatchEvent& event, const Rows& rows);
  bool is_suspicious(const ServiceView& candidate) const;
  ViewPtr publish(ViewPtr view);

  const Duration hold_;
  ViewPtr view_;
  ViewPtr held_;
  Instant held_until_{};
  std::string held_from_;
  std::string server_;
  bool fresh_stream_ = false;       // nothing came on it yet
  std::uint64_t resumed_from_ = 0;  // the index it was asked to go on from; 0: a snapshot
  bool resumable_ = true;
};

}  // namespace fyr::agent
