// Small files that are replaced as a whole: a line that says what they are, a payload, and a
// CRC32C over both. Errors name the path.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fyr::raft {

// `kind` is one word with its version, like "members-1". Durable on return.
Result<void> write_checked_file(const std::filesystem::path& path, std::string_view kind,
                                std::string_view payload);
// NotFound: there is no such file; Corrupt: it is not one of this kind, or damaged.
Result<std::string> read_checked_file(const std::filesystem::path& path, std::string_view kind,
                                      std::size_t max_bytes = 1 << 20);

}  // namespace fyr::raft
