// The data directory and who we are in it: created, checked for foreign contents, locked, and the
// node id kept there.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "app/settings.h"
#include "base/error.h"
#include "base/io/file.h"

namespace fyr::app {

class Identity {
 public:
  // Errors name the path: not writable, used by another process, holding another program's data.
  // With -dev and no data_dir a temporary folder is used and removed by the destructor.
  static Result<std::unique_ptr<Identity>> open(const Settings& settings);
  ~Identity();

  const std::filesystem::path& data_dir() const { return data_dir_; }
  const std::string& node_id() const { return node_id_; }

 private:
  Identity() = default;
  std::filesystem::path data_dir_;
  std::string node_id_;
  bool temporary_ = false;
  std::unique_ptr<io::FileLock> lock_;
};

}  // namespace fyr::app
