#include "agent/events.h"

#include <re2/re2.h>

#include <algorithm>

#include "agent.pb.h"
#include "base/bytes.h"
#include "base/json.h"

namespace fyr::agent {

namespace {

constexpr std::size_t kMaxEvent = 512;

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

Result<void> check_expression(const char* what, const std::string& text) {
  const RE2 expression(text, quiet());
  if (expression.ok()) return {};
  return fail(ErrorCode::Internal, std::string("Invalid ") + what +
                                       " filter: error parsing regexp: " + expression.error());
}

bool matches(const std::string& expression, const std::string& text) {
  return RE2::PartialMatch(text, RE2(expression, quiet()));
}

}  // namespace

Result<void> validate(const UserEvent& event) {
  if (event.name.empty()) return fail(ErrorCode::InvalidArgument, "Missing name");
  if (!event.tag_filter.empty() && event.service_filter.empty()) {
    return fail(ErrorCode::Internal, "Cannot provide tag filter without service filter");
  }
  for (const auto& [what, text] :
       {std::pair("node", &event.node_filter), std::pair("service", &event.service_filter),
        std::pair("tag", &event.tag_filter)}) {
    if (auto ok = check_expression(what, *text); !ok) return ok;
  }
  const std::size_t size = event.name.size() + event.payload.size() + event.node_filter.size() +
                           event.service_filter.size() + event.tag_filter.size();
  if (size > kMaxEvent) {
    return fail(ErrorCode::Internal,
                "user event exceeds configured limit of 512 bytes before encoding");
  }
  return {};
}

std::string encode_event(const UserEvent& event) {
  pb::UserEvent out;
  out.set_id(event.id);
  out.set_name(event.name);
  out.set_payload(event.payload);
  out.set_node_filter(event.node_filter);
  out.set_service_filter(event.service_filter);
  out.set_tag_filter(event.tag_filter);
  return out.SerializeAsString();
}

Result<UserEvent> decode_event(std::uint64_t time, const std::string& bytes) {
  pb::UserEvent in;
  if (!in.ParseFromString(bytes) || in.name().empty())
    return fail(ErrorCode::Corrupt, "user event: cannot be read");
  UserEvent out;
  out.id = in.id();
  out.name = in.name();
  out.payload = in.payload();
  out.node_filter = in.node_filter();
  out.service_filter = in.service_filter();
  out.tag_filter = in.tag_filter();
  out.time = time;
  return out;
}

bool is_for(const UserEvent& event, const std::string& node,
            const std::vector<NamedService>& services) {
  if (!event.node_filter.empty() && !matches(event.node_filter, node)) return false;
  if (event.service_filter.empty()) return true;
  return std::any_of(services.begin(), services.end(), [&](const NamedService& service) {
    if (!matches(event.service_filter, service.name)) return false;
    return event.tag_filter.empty() ||
           std::any_of(service.tags.begin(), service.tags.end(),
                       [&](const std::string& tag) { return matches(event.tag_filter, tag); });
  });
}

void EventRing::add(UserEvent event) {
  event.number = ++last_;
  events_.push_back(std::move(event));
  if (events_.size() > kSize) events_.pop_front();
}

std::vector<const UserEvent*> EventRing::list(std::string_view name) const {
  std::vector<const UserEvent*> out;
  for (const UserEvent& event : events_) {
    if (name.empty() || event.name == name) out.push_back(&event);
  }
  return out;
}

std::uint64_t EventRing::index(std::string_view name) const {
  const auto found = list(name);
  return found.empty() ? 1 : found.back()->number;
}

void append_json(std::string& out, const UserEvent& event, bool with_time) {
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("ID").string(event.id);
  writer.key("Name").string(event.name);
  writer.key("Payload");
  if (event.payload.empty()) {
    writer.null();
  } else {
    writer.string(to_base64(event.payload));
  }
  writer.key("NodeFilter").string(event.node_filter);
  writer.key("ServiceFilter").string(event.service_filter);
  writer.key("TagFilter").string(event.tag_filter);
  writer.key("Version").number(1);
  writer.key("LTime").number(with_time ? event.time : std::uint64_t{0});
  writer.end_object();
}

}  // namespace fyr::agent
