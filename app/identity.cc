#include "app/identity.h"

#include <cstdlib>

#include "base/bytes.h"
#include "base/id.h"

namespace fyr::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = "fyr-data";
constexpr std::string_view kMarkerText = "fyr data directory, format 1\n";

// A folder without our marker but with the state of a cluster member was written by another
// program: touching it could destroy that program's data.
Result<void> check_owner(const fs::path& folder) {
  std::error_code ignored;
  const fs::path marker = folder / kMarker;
  if (fs::exists(marker, ignored)) {
    auto text = io::read_file(marker, 4096);
    if (!text) return text.error();
    if (*text != kMarkerText)
      return fail(ErrorCode::Unsupported, marker.string() + ": written by a newer version of fyr");
    return {};
  }
  for (const char* name : {"raft", "serf", "member", "services", "checkpoint-signature"})
    if (fs::exists(folder / name, ignored))
      return fail(ErrorCode::InvalidArgument, "data_dir " + folder.string() +
                                                  ": holds another program's data (" + name +
                                                  "); choose an empty folder");
  return io::write_file_atomically(marker, kMarkerText, 0644);
}

Result<std::string> read_or_make_node_id(const fs::path& folder, const std::string& given) {
  const fs::path path = folder / "node-id";
  if (!given.empty()) {
    auto written = io::write_file_atomically(path, to_lower(given), 0644);
    if (!written) return written.error();
    return to_lower(given);
  }
  std::error_code ignored;
  if (fs::exists(path, ignored)) {
    auto text = io::read_file(path, 4096);
    if (!text) return text.error();
    std::string id(trim(std::string_view(*text).substr(0, text->find('\n'))));
    if (!is_uuid(id))
      return fail(ErrorCode::Corrupt, path.string() + ": \"" + id + "\" is not a UUID");
    return id;
  }
  std::string id = make_uuid();
  auto written = io::write_file_atomically(path, id, 0644);
  if (!written) return written.error();
  return id;
}

}  // namespace

Result<std::unique_ptr<Identity>> Identity::open(const Settings& settings) {
  std::unique_ptr<Identity> self(new Identity);
  if (settings.data_dir.empty()) {
    std::string pattern = (fs::temp_directory_path() / "fyr-dev-XXXXXX").string();
    if (!mkdtemp(pattern.data()))
      return fail(ErrorCode::Unavailable, pattern + ": cannot be created");
    self->data_dir_ = pattern;
    self->temporary_ = true;
  } else {
    self->data_dir_ = settings.data_dir;
    auto made = io::make_directories(self->data_dir_);
    if (!made) return fail(made.error().code, "data_dir: " + made.error().message);
  }
  auto lock = io::FileLock::acquire(self->data_dir_ / "lock");
  if (!lock)
    return fail(lock.error().code,
                "data_dir " + self->data_dir_.string() + ": " + lock.error().message);
  self->lock_ = std::make_unique<io::FileLock>(std::move(*lock));
  if (auto owner = check_owner(self->data_dir_); !owner) return owner.error();
  auto id = read_or_make_node_id(self->data_dir_, settings.node_id);
  if (!id) return id.error();
  self->node_id_ = *id;
  return self;
}

Identity::~Identity() {
  if (!temporary_) return;
  std::error_code ignored;
  fs::remove_all(data_dir_, ignored);
}

}  // namespace fyr::app
