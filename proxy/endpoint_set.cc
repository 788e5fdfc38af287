#include "proxy/endpoint_set.h"

#include <algorithm>

namespace fyr::proxy {
namespace {

constexpr int kMaxWeight = 65535;

EndpointMember make_member(EndpointInfo info, const EndpointSetConfig& config) {
  EndpointMember member;
  member.key = endpoint_key(info);
  switch (info.status) {
    case CatalogStatus::Passing:
      member.weight = info.weight_passing;
      break;
    case CatalogStatus::Warning:
      member.weight = config.only_passing ? 0 : info.weight_warning;
      if (config.only_passing) member.excluded = "warning";
      break;
    case CatalogStatus::Critical:
      member.excluded = "critical";
      break;
    case CatalogStatus::Maintenance:
      member.excluded = "maintenance";
      break;
  }
  member.weight = std::clamp(member.weight, 0, kMaxWeight);
  if (member.weight == 0 && member.excluded.empty()) member.excluded = "weight";
  member.info = std::move(info);
  return member;
}

}  // namespace

std::string endpoint_key(const EndpointInfo& info) {
  return info.id + "@" + info.address + ":" + std::to_string(info.port);
}

bool EndpointSet::must_hold(const EndpointUpdate& update) const {
  if (!known_) return false;
  // What the disk remembers is older than anything a server says, but not worth less than nothing.
  if (from_disk_) return update.endpoints.empty() && !members_.empty() && !update.from_disk;
  return update.from_disk || update.index < index_;
}

EndpointSet::Verdict EndpointSet::offer(Instant now, EndpointUpdate update) {
  if (must_hold(update)) {
    if (update.from_disk) return Verdict::Unchanged;
    if (!held_until_) held_until_ = now + config_.hold;
    held_ = std::move(update);
    return Verdict::Held;
  }
  held_.reset();
  held_until_.reset();
  return apply(now, std::move(update));
}

bool EndpointSet::tick(Instant now) {
  if (!held_until_ || now < *held_until_) return false;
  EndpointUpdate update = std::move(*held_);
  held_.reset();
  held_until_.reset();
  return apply(now, std::move(update)) == Verdict::Applied;
}

EndpointSet::Verdict EndpointSet::apply(Instant now, EndpointUpdate update) {
  std::vector<EndpointMember> members;
  members.reserve(update.endpoints.size());
  for (auto& info : update.endpoints) members.push_back(make_member(std::move(info), config_));
  std::sort(members.begin(), members.end(),
            [](const EndpointMember& a, const EndpointMember& b) { return a.key < b.key; });
  members.erase(
      std::unique(members.begin(), members.end(),
                  [](const EndpointMember& a, const EndpointMember& b) { return a.key == b.key; }),
      members.end());
  const bool same = known_ && members == members_;
  known_ = true;
  index_ = update.index;
  from_disk_ = update.from_disk;
  updated_at_ = now;
  if (same) return Verdict::Unchanged;
  members_ = std::move(members);
  return Verdict::Applied;
}

}  // namespace fyr::proxy
