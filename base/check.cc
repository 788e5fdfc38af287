#include "base/check.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace fyr {

// Writes with one system call and without the logger: the process may be in any state here.
void check_failed(const char* file, int line, const char* condition, std::string_view detail) {
  std::string text = "CHECK failed: ";
  text += condition;
  if (!detail.empty()) {
    text += " (";
    text += detail;
    text += ')';
  }
  text += " at ";
  text += file;
  text += ':';
  text += std::to_string(line);
  text += '\n';
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  std::abort();
}

}  // namespace fyr
