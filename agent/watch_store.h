// The last known list of a watched service on disk: data_dir/watch/<sha256 of the name>, one head
// line (format, CRC32C, name) and the snapshot in wire form. Written to a temporary file and
// renamed; a file that does not read counts as absent.
//
// Blocking. Threading: any, one at a time a service.
#pragma once

#include <filesystem>
#include <string>

#include "agent/watch_view.h"
#include "base/error.h"

namespace fyr::agent {

Result<void> save_view(const std::filesystem::path& folder, const std::string& service,
                       const ServiceView& view);
// Null: none, or not readable (logged).
ViewPtr load_view(const std::filesystem::path& folder, const std::string& service);

}  // namespace fyr::agent
