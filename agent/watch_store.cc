#include "agent/watch_store.h"

#include <system_error>

#include "base/bytes.h"
#include "base/io/file.h"
#include "base/log.h"

namespace fyr::agent {

namespace {

constexpr std::string_view kFormat = "fyr-watch 1 ";

std::filesystem::path path_of(const std::filesystem::path& folder, const std::string& service) {
  return folder / to_hex(sha256(service));
}

std::string head_of(const std::string& service, std::string_view body) {
  std::string crc;
  append_be32(crc, crc32c(body));
  return std::string(kFormat) + to_hex(crc) + " " + percent_encode(service) + "\n";
}

}  // namespace

Result<void> save_view(const std::filesystem::path& folder, const std::string& service,
                       const ServiceView& view) {
  pb::WatchEvent event;
  event.set_index(view.index);
  event.set_epoch(view.epoch);
  event.set_snapshot(true);
  for (const auto& row : view.rows) *event.add_set() = *row;
  const std::string body = event.SerializeAsString();
  return io::write_file_atomically(path_of(folder, service), head_of(service, body) + body, 0600,
                                   false);
}

ViewPtr load_view(const std::filesystem::path& folder, const std::string& service) {
  if (folder.empty()) return nullptr;
  const auto path = path_of(folder, service);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return nullptr;
  auto text = io::read_file(path);
  if (!text) {
    log::warn("agent", "last known list of {}: {}", service, text.error().message);
    return nullptr;
  }
  const auto end = text->find('\n');
  const std::string_view body =
      end == std::string::npos ? std::string_view() : std::string_view(*text).substr(end + 1);
  pb::WatchEvent event;
  if (end == std::string::npos || text->compare(0, end + 1, head_of(service, body)) != 0 ||
      !event.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    log::warn("agent", "last known list of {} is damaged and not used: {}", service, path.string());
    return nullptr;
  }
  auto view = std::make_shared<ServiceView>();
  view->index = event.index();
  view->epoch = event.epoch();
  view->from_disk = true;
  for (const pb::ServiceEntry& entry : event.set()) {
    view->rows.push_back(std::make_shared<const pb::ServiceEntry>(entry));
  }
  return view;
}

}  // namespace fyr::agent
