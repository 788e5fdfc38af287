#include "raft/configuration.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/bytes.h"
#include "base/check.h"

namespace fyr::raft {
namespace {

// 1: everybody is a data server. 2: with kinds; written only where there are others, so that an
// earlier release can read the rest.
constexpr char kWithKinds = 2;

void append_text(std::string& out, const std::string& text) {
  CHECK_MSG(text.size() <= 0xffff, "a member's text is too long");
  append_be16(out, static_cast<std::uint16_t>(text.size()));
  out += text;
}

void append_ids(std::string& out, const std::vector<NodeId>& ids) {
  append_be16(out, static_cast<std::uint16_t>(ids.size()));
  for (const NodeId id : ids) append_be64(out, id.value);
}

// Takes bytes from the front; after the first shortage everything reads as empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::string_view bytes(std::size_t count) {
    if (rest_.size() < count) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  std::uint8_t byte() {
    const std::string_view b = bytes(1);
    return b.empty() ? 0 : static_cast<std::uint8_t>(b[0]);
  }
  std::uint16_t be16() {
    const std::uint16_t high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::uint64_t be64() {
    const std::string_view b = bytes(8);
    return b.empty() ? 0 : read_be64(b);
  }
  std::string text() { return std::string(bytes(be16())); }
  std::vector<NodeId> ids() {
    std::vector<NodeId> out;
    for (std::uint16_t left = be16(); left > 0 && ok_; --left) out.emplace_back(be64());
    return out;
  }
  bool ok() const { return ok_; }
  bool complete() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

bool Configuration::is_voter(NodeId id) const {
  return std::ranges::find(voters, id) != voters.end() ||
         std::ranges::find(outgoing, id) != outgoing.end();
}

const Member* Configuration::find(NodeId id) const {
  const auto found = std::ranges::find(members, id, &Member::id);
  return found == members.end() ? nullptr : &*found;
}

std::vector<NodeId> all_voters(const Configuration& configuration) {
  std::vector<NodeId> out = configuration.voters;
  for (const NodeId id : configuration.outgoing) {
    if (std::ranges::find(out, id) == out.end()) out.push_back(id);
  }
  return out;
}

int leading_priority(const Configuration& configuration, NodeId id) {
  const Member* member = configuration.find(id);
  if (member == nullptr) return 0;
  return member->kind == MemberKind::Witness ? -1 : member->priority;
}

Configuration single_voter(Member member) {
  Configuration out;
  out.voters.push_back(member.id);
  out.members.push_back(std::move(member));
  return out;
}

std::string encode_configuration(const Configuration& configuration) {
  const bool kinds = !std::ranges::all_of(
      configuration.members, [](const Member& each) { return each.kind == MemberKind::Data; });
  std::string out(1, kinds ? kWithKinds : 1);
  append_be16(out, static_cast<std::uint16_t>(configuration.members.size()));
  for (const Member& member : configuration.members) {
    append_be64(out, member.id.value);
    append_text(out, member.name);
    append_text(out, member.address);
    append_text(out, member.site);
    out.push_back(static_cast<char>(member.priority));
    if (kinds) out.push_back(static_cast<char>(member.kind));
  }
  append_ids(out, configuration.voters);
  append_ids(out, configuration.outgoing);
  append_ids(out, configuration.learners);
  return out;
}

Result<Configuration> decode_configuration(std::string_view bytes) {
  Reader reader(bytes);
  const char version = static_cast<char>(reader.byte());
  if (version < 1 || version > kWithKinds) {
    return fail(ErrorCode::Unsupported,
                "configuration: unknown version " + std::to_string(static_cast<int>(version)));
  }
  Configuration out;
  for (std::uint16_t left = reader.be16(); left > 0 && reader.ok(); --left) {
    Member member;
    member.id = NodeId(reader.be64());
    member.name = reader.text();
    member.address = reader.text();
    member.site = reader.text();
    member.priority = reader.byte();
    const std::uint8_t kind = version == kWithKinds ? reader.byte() : 0;
    if (kind > static_cast<std::uint8_t>(MemberKind::ReadServer)) {
      return fail(ErrorCode::Unsupported, "configuration: unknown kind of member");
    }
    member.kind = static_cast<MemberKind>(kind);
    out.members.push_back(std::move(member));
  }
  out.voters = reader.ids();
  out.outgoing = reader.ids();
  out.learners = reader.ids();
  if (!reader.complete()) return fail(ErrorCode::Corrupt, "configuration: wrong length");
  return out;
}

std::string to_text(NodeId id) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id.value));
  return text;
}

std::optional<NodeId> node_id_from_text(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  NodeId id;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id.value, 16);
  if (text.size() != kDigits || error != std::errc() || stop != end) return std::nullopt;
  return id;
}

}  // namespace fyr::raft
