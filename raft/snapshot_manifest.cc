#include "raft/snapshot_manifest.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace fyr::raft {
namespace {

constexpr std::string_view kHead = "fyr snapshot 1\n";
constexpr std::string_view kHeadOfAny = "fyr snapshot ";
constexpr std::uint64_t kMaxFiles = 100'000;

void append_text(std::string& out, std::string_view text) {
  append_be32(out, static_cast<std::uint32_t>(text.size()));
  out += text;
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
  std::uint32_t be32() {
    std::uint32_t value = 0;
    for (const char c : bytes(4)) value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
  }
  std::uint64_t be64() {
    const std::string_view b = bytes(8);
    return b.empty() ? 0 : read_be64(b);
  }
  std::string text() { return std::string(bytes(be32())); }
  bool ok() const { return ok_; }
  bool complete() const { return ok_ && rest_.empty(); }
  std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// A name must stay in its folder, and must not be ours.
bool is_plain(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name != kManifestName && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

Error bad(const char* what) {
  return fail(ErrorCode::Corrupt, std::string("snapshot manifest: ") + what);
}

}  // namespace

std::uint64_t SnapshotManifest::bytes() const {
  std::uint64_t sum = 0;
  for (const SnapshotFile& file : files) sum += file.size;
  return sum;
}

const SnapshotFile* SnapshotManifest::find(std::string_view name) const {
  const auto it = std::ranges::find(files, name, &SnapshotFile::name);
  return it == files.end() ? nullptr : &*it;
}

std::string encode_manifest(const SnapshotManifest& manifest) {
  std::string out(kHead);
  append_text(out, manifest.id);
  append_be64(out, manifest.index.value);
  append_be64(out, manifest.term.value);
  append_text(out, encode_configuration(manifest.configuration));
  append_text(out, manifest.cluster);
  append_be32(out, static_cast<std::uint32_t>(manifest.files.size()));
  for (const SnapshotFile& file : manifest.files) {
    CHECK(file.chunks.size() == (file.size + kSnapshotChunk - 1) / kSnapshotChunk);
    append_text(out, file.name);
    append_be64(out, file.size);
    for (const std::uint32_t crc : file.chunks) append_be32(out, crc);
  }
  append_be32(out, crc32c(out));
  return out;
}

Result<SnapshotManifest> decode_manifest(std::string_view bytes) {
  if (bytes.size() > kMaxManifestBytes) return bad("too long");
  if (!bytes.starts_with(kHead)) {
    if (bytes.starts_with(kHeadOfAny)) {
      return fail(ErrorCode::Unsupported, "snapshot manifest: written by a later version");
    }
    return bad("not one");
  }
  if (bytes.size() < kHead.size() + 4) return bad("cut short");
  const std::string_view covered = bytes.substr(0, bytes.size() - 4);
  std::string crc;
  append_be32(crc, crc32c(covered));
  if (bytes.substr(covered.size()) != crc) return bad("fails its checksum");
  Reader reader(covered.substr(kHead.size()));
  SnapshotManifest out;
  out.id = reader.text();
  out.index = Index(reader.be64());
  out.term = Term(reader.be64());
  auto configuration = decode_configuration(reader.text());
  if (!configuration) return bad(configuration.error().message.c_str());
  out.configuration = std::move(*configuration);
  out.cluster = reader.text();
  const std::uint32_t files = reader.be32();
  if (files > kMaxFiles) return bad("too many files");
  if (!is_plain(out.id)) return bad("its id is no plain name");
  for (std::uint32_t i = 0; i < files && reader.ok(); ++i) {
    SnapshotFile file;
    file.name = reader.text();
    file.size = reader.be64();
    const std::uint64_t chunks =
        file.size / kSnapshotChunk + (file.size % kSnapshotChunk == 0 ? 0 : 1);
    if (!reader.ok() || chunks * 4 > reader.left()) return bad("cut short");
    if (!is_plain(file.name)) return bad("a file name leads out of its folder");
    for (std::uint64_t c = 0; c < chunks; ++c) file.chunks.push_back(reader.be32());
    out.files.push_back(std::move(file));
  }
  if (!reader.complete()) return bad("wrong length");
  return out;
}

SnapshotMeta meta_of(const SnapshotManifest& manifest, std::string_view encoded) {
  return {manifest.id, manifest.index, manifest.term, to_hex(sha256(encoded))};
}

}  // namespace fyr::raft
