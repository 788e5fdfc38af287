#include "raft/state_generations.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <vector>

#include "raft/checked_file.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

constexpr char kCurrent[] = "current";
constexpr char kKind[] = "state-1";

bool is_number(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

Error cannot_remove(const fs::path& path, const std::error_code& error) {
  return fail(ErrorCode::Internal, path.string() + ": cannot be removed: " + error.message());
}

}  // namespace

Result<std::uint64_t> StateGenerations::current() const {
  auto text = read_checked_file(folder_ / kCurrent, kKind, 4096);
  if (!text) {
    if (text.error().code == ErrorCode::NotFound) return 1;
    return text.error();
  }
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  if (parsed.ec != std::errc() || value == 0) {
    return fail(ErrorCode::Corrupt, (folder_ / kCurrent).string() + ": not a number");
  }
  return value;
}

Result<void> StateGenerations::set_current(std::uint64_t generation) const {
  std::error_code error;
  if (!fs::is_directory(path_of(generation), error)) {
    return fail(ErrorCode::Internal, path_of(generation).string() + ": is not there");
  }
  return write_checked_file(folder_ / kCurrent, kKind, std::to_string(generation));
}

Result<void> StateGenerations::remove(std::uint64_t generation) const {
  std::error_code error;
  fs::remove_all(path_of(generation), error);
  if (error) return cannot_remove(path_of(generation), error);
  return {};
}

Result<void> StateGenerations::remove_others() const {
  auto kept = current();
  if (!kept) return kept.error();
  std::vector<fs::path> old;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (is_number(name) && name != std::to_string(*kept)) old.push_back(it->path());
  }
  for (const fs::path& path : old) {
    fs::remove_all(path, error);
    if (error) return cannot_remove(path, error);
  }
  return {};
}

}  // namespace fyr::raft
