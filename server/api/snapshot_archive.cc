#include "server/api/snapshot_archive.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/io/http_router.h"
#include "base/json.h"

namespace fyr::server {
namespace {

constexpr char kMeta[] = "meta.json";
constexpr char kState[] = "state.bin";
constexpr char kSums[] = "SHA256SUMS";
constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxMembers = 3;

// ---- tar (POSIX.1-1988, ustar) ----------------------------------------------------------------

// Where fields are in a header, and how long.
struct Field {
  std::size_t at, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12},
    kTime{136, 12}, kSum{148, 8}, kType{156, 1}, kMagic{257, 8};

void put_octal(std::string& block, Field field, std::uint64_t value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%0*llo", static_cast<int>(field.size - 1),
                static_cast<unsigned long long>(value));
  block.replace(field.at, field.size - 1, text.data(), field.size - 1);
}

std::uint64_t header_sum(std::string_view block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kSum.at && i < kSum.at + kSum.size;
    sum += own ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

void add_member(std::string& out, std::string_view name, std::string_view content) {
  std::string block(kBlock, '\0');
  block.replace(kName.at, name.size(), name);
  put_octal(block, kMode, 0600);
  put_octal(block, kUid, 0);
  put_octal(block, kGid, 0);
  put_octal(block, kSize, content.size());
  put_octal(block, kTime, 0);
  block[kType.at] = '0';
  block.replace(kMagic.at, 8,
                std::string_view("ustar\0"
                                 "00",
                                 8));
  put_octal(block, {kSum.at, kSum.size - 1}, header_sum(block));
  block[kSum.at + 7] = ' ';
  out += block;
  out += content;
  out.append((kBlock - content.size() % kBlock) % kBlock, '\0');
}

std::optional<std::uint64_t> octal(std::string_view block, Field field) {
  std::uint64_t value = 0;
  bool any = false;
  for (const char c : block.substr(field.at, field.size)) {
    if (c == ' ' && !any) continue;
    if (c == '\0' || c == ' ') break;
    if (c < '0' || c > '7' || value > (std::uint64_t{1} << 56)) return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
    any = true;
  }
  return any ? std::optional(value) : std::nullopt;
}

struct TarMember {
  std::string name;
  std::string_view content;
};

Error bad_tar(const char* what) {
  return fail(ErrorCode::Corrupt, std::string("failed to read snapshot file: ") + what);
}

Result<std::vector<TarMember>> members_of(std::string_view tar) {
  std::vector<TarMember> out;
  while (tar.size() >= kBlock) {
    const std::string_view block = tar.substr(0, kBlock);
    if (block.find_first_not_of('\0') == std::string_view::npos) {
      if (tar.find_first_not_of('\0') != std::string_view::npos)
        return bad_tar("something follows its end");
      return out;
    }
    if (octal(block, kSum) != header_sum(block)) return bad_tar("a header fails its checksum");
    const auto size = octal(block, kSize);
    const char type = block[kType.at];
    if (!size || (type != '0' && type != '\0')) return bad_tar("a member is no plain file");
    tar.remove_prefix(kBlock);
    if (*size > tar.size()) return bad_tar("unexpected EOF");
    const std::string_view name = block.substr(kName.at, kName.size);
    if (out.size() == kMaxMembers) return bad_tar("too many members");
    out.push_back({std::string(name.substr(0, name.find('\0'))), tar.substr(0, *size)});
    tar.remove_prefix(std::min(tar.size(), (*size + kBlock - 1) / kBlock * kBlock));
  }
  return bad_tar("unexpected EOF");
}

// ---- gzip -------------------------------------------------------------------------------------

class Inflater {
 public:
  Inflater() : ready_(inflateInit2(&stream_, 15 + 16) == Z_OK) {}
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Result<std::string> run(std::string_view bytes) {
    if (bytes.empty()) return bad("EOF");
    if (!ready_ || !bytes.starts_with("\x1f\x8b")) return bad("gzip: invalid header");
    // zlib takes a pointer to non-const and does not write through it.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    std::string out;
    std::vector<char> buffer(256 << 10);
    int status = Z_OK;
    while (status == Z_OK) {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream_.avail_out = static_cast<uInt>(buffer.size());
      status = inflate(&stream_, Z_NO_FLUSH);
      out.append(buffer.data(), buffer.size() - stream_.avail_out);
      if (out.size() > kMaxStateBytes + (1 << 20)) return bad("it is too large");
    }
    if (status == Z_BUF_ERROR) return bad("unexpected EOF");
    if (status != Z_STREAM_END) return bad("gzip: invalid checksum");
    if (stream_.avail_in != 0) return bad("something follows its end");
    return out;
  }

 private:
  static Error bad(const char* what) {
    return fail(ErrorCode::Corrupt, std::string("failed to decompress snapshot: ") + what);
  }
  z_stream stream_{};
  const bool ready_;
};

// ---- content ----------------------------------------------------------------------------------

std::string meta_json(const SnapshotArchive& archive) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("Version").number(std::uint64_t{1});
  json.key("ID").string(archive.id);
  json.key("Index").number(archive.index);
  json.key("Term").number(archive.term);
  json.key("Peers").string("");  // members are not part of a saved state
  json.key("Configuration").begin_object().key("Servers").begin_array().end_array().end_object();
  json.key("ConfigurationIndex").number(std::uint64_t{0});
  json.key("Size").number(std::uint64_t{archive.state.size()});
  json.end_object();
  return out + "\n";
}

std::string sum_line(std::string_view name, std::string_view content) {
  return to_hex(sha256(content)) + "  " + std::string(name) + "\n";
}

std::uint64_t number_of(const boost::json::object& meta, std::string_view key) {
  const auto* value = meta.if_contains(key);
  if (value && value->is_uint64()) return value->get_uint64();
  return value && value->is_int64() ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

}  // namespace

std::string write_archive(const SnapshotArchive& archive) {
  const std::string meta = meta_json(archive);
  std::string tar;
  tar.reserve(archive.state.size() + 8 * kBlock);
  add_member(tar, kMeta, meta);
  add_member(tar, kState, archive.state);
  add_member(tar, kSums, sum_line(kMeta, meta) + sum_line(kState, archive.state));
  tar.append(2 * kBlock, '\0');
  return io::gzip(tar);
}

Result<SnapshotArchive> read_archive(std::string_view bytes) {
  auto tar = Inflater().run(bytes);
  if (!tar) return tar.error();
  auto members = members_of(*tar);
  if (!members) return members.error();
  const auto find = [&](std::string_view name) -> const std::string_view* {
    const auto it = std::ranges::find(*members, name, &TarMember::name);
    return it == members->end() ? nullptr : &it->content;
  };
  const auto *meta = find(kMeta), *state = find(kState), *sums = find(kSums);
  if (!meta || !state || !sums || members->size() != kMaxMembers)
    return bad_tar("meta.json, state.bin and SHA256SUMS are expected");
  const std::string first = sum_line(kMeta, *meta), second = sum_line(kState, *state);
  if (*sums != first + second && *sums != second + first)
    return fail(ErrorCode::Corrupt, "failed checking integrity of snapshot: hash check failed");
  const auto parsed = parse_json(*meta);
  if (!parsed || !parsed->is_object()) return bad_tar("meta.json cannot be read");
  SnapshotArchive out;
  const auto& object = parsed->get_object();
  if (const auto* id = object.if_contains("ID"); id && id->is_string())
    out.id = std::string(id->get_string());
  out.index = number_of(object, "Index");
  out.term = number_of(object, "Term");
  out.state = std::string(*state);
  return out;
}

}  // namespace fyr::server
