#include "proxy/endpoint_set.h"

#include <algorithm>

#include "proxy/http1.h"

namespace fyr::proxy {
namespace {

constexpr int kMaxWeight = 65535;
constexpr std::string_view kAllowedSites = "proxy.allowed_sites";  // in a service's own meta

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// Both the listener and the service may name sites; a site nobody knows is in no list.
bool may_stay_there(const EndpointInfo& info, const EndpointSetConfig& config) {
  if (!config.allowed_sites.empty() &&
      (info.site.empty() || !contains(config.allowed_sites, info.site))) {
    return false;
  }
  const auto own = info.meta.find(std::string(kAllowedSites));
  if (own == info.meta.end()) return true;
  bool named = false;
  http1::for_each_element(own->second,
                          [&](std::string_view site) { named = named || site == info.site; });
  return named && !info.site.empty();
}

int tier_of(const EndpointInfo& info, const std::vector<std::string>& sites) {
  return static_cast<int>(std::find(sites.begin(), sites.end(), info.site) - sites.begin());
}

int rank_of(const EndpointInfo& info, const std::vector<std::string>& prefer) {
  const auto best = std::find_if(prefer.begin(), prefer.end(),
                                 [&](const auto& tag) { return contains(info.tags, tag); });
  return static_cast<int>(best - prefer.begin());
}

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
  // These come last, so that residency is the reason shown whatever else holds.
  if (!config.subset.contains(info)) member.excluded = "subset";
  if (!may_stay_there(info, config)) member.excluded = "residency";
  if (member.foreign()) member.weight = 0;
  member.tier = tier_of(info, config.sites);
  member.rank = rank_of(info, config.prefer_tags);
  member.info = std::move(info);
  return member;
}

}  // namespace

EndpointSetConfig endpoint_rules(const ListenerConfig& listener, const std::string& site) {
  EndpointSetConfig rules;
  rules.only_passing = listener.only_passing;
  rules.allowed_sites = listener.allowed_sites;
  rules.prefer_tags = listener.prefer_tags;
  if (!listener.locality.ignore) {
    rules.sites = listener.locality.order;
    if (rules.sites.empty() && !site.empty()) rules.sites.push_back(site);
  }
  if (auto subset = Subset::make(listener.subset)) {
    rules.subset = std::move(*subset);
  } else {
    rules.allowed_sites.assign(1, std::string());
  }
  return rules;
}

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
