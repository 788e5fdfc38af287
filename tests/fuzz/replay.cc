// Gives every file of a folder to a fuzzer's entry point, without a fuzzer: what was once found
// stays mended in every ordinary build. A violation stops the process; the last name printed is
// the input that did it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("replay: name the folder of the corpus\n", stderr);
    return 2;
  }
  std::vector<std::filesystem::path> inputs;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(arguments[1], failure)) {
    inputs.push_back(entry.path());
  }
  std::sort(inputs.begin(), inputs.end());
  for (const auto& path : inputs) {
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      std::fputs("replay: the file cannot be read\n", stderr);
      return 1;
    }
    // A copy of its exact size: AddressSanitizer then sees a byte read too far.
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  if (inputs.empty()) {
    std::fprintf(stderr, "replay: %s holds no input\n", arguments[1]);
    return 1;
  }
  std::printf("%zu inputs\n", inputs.size());
  return 0;
}
