// The agent's registrations on disk, so that they outlive a restart without servers.
//
// data_dir/services/ and data_dir/checks/: one file for each item, named by the SHA-256 of its id,
// one JSON object: id and kind to read, the row as base64 of its wire form, a checksum. Written to
// a temporary file, synced, renamed; a removal syncs the folder too, so that it lasts.
// data_dir/checks/state/: the last status of each check, not synced: losing the newest costs one
// run of the check. A file that does not read is renamed to
// *.bad and reported; the agent starts without it. Mode 0600: rows carry tokens.
//
// Blocking. Threading: one thread at a time.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/checks/core.h"
#include "agent/local/local_state.h"
#include "base/error.h"

namespace fyr::agent {

class Persistence {
 public:
  // Makes the folders. An empty path keeps nothing and never fails.
  static Result<Persistence> open(std::filesystem::path data_dir);

  // What one registration or removal changes.
  struct Change {
    std::vector<LocalService> services;
    std::vector<LocalCheck> checks;
    std::vector<std::string> gone_services;
    std::vector<std::string> gone_checks;  // with their states
    bool empty() const {
      return services.empty() && checks.empty() && gone_services.empty() && gone_checks.empty();
    }
  };
  // One round: each change with its result, all of them waiting for the disk together. They must
  // not name the same item twice.
  std::vector<Result<void>> write(const std::vector<Change>& changes);

  Result<void> save_service(const LocalService& service);
  Result<void> remove_service(const std::string& id);
  Result<void> save_check(const LocalCheck& check);
  Result<void> remove_check(const std::string& id);  // with its state

  // `memory.age` is not kept; the wall clock of now is, and age is worked out when reading.
  Result<void> save_state(const std::string& check_id, const CheckMemory& memory);
  Result<void> remove_state(const std::string& check_id);
  // Says that the agent lives: states of checks that run are as fresh as this.
  Result<void> touch();

  struct Loaded {
    std::vector<LocalService> services;
    std::vector<LocalCheck> checks;
    std::map<std::string, CheckMemory> states;  // by check id
    std::vector<std::string> set_aside;         // files that did not read, with the reason
  };
  Result<Loaded> load();

 private:
  explicit Persistence(std::filesystem::path data_dir) : root_(std::move(data_dir)) {}
  bool off() const { return root_.empty(); }
  std::filesystem::path path(const char* folder, const std::string& id) const;

  std::filesystem::path root_;
};

}  // namespace fyr::agent
