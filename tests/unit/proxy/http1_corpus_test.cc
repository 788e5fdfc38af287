// Replays the fuzzer's corpus: every input that ever mattered, in every ordinary run.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "tests/fuzz/http1_properties.h"

namespace fyr::proxy::http1 {
namespace {

std::vector<std::string> corpus() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(HTTP1_CORPUS_DIR)) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    out.push_back(text.str());
  }
  return out;
}

TEST(Http1Corpus, EveryInputKeepsTheProperties) {
  const auto inputs = corpus();
  ASSERT_GE(inputs.size(), 15u);
  for (const auto& input : inputs) check_http1(input);
}

// A little fuzzing without a fuzzer: bytes of the corpus exchanged, cut and doubled.
TEST(Http1Corpus, MutatedInputsKeepTheProperties) {
  const auto inputs = corpus();
  Random random(20251122);
  for (int round = 0; round < 20000; ++round) {
    std::string input = inputs[random.below(inputs.size())];
    for (auto edits = random.below(4) + 1; edits > 0 && input.size() > 2; --edits) {
      const auto at = 1 + random.below(input.size() - 1);
      switch (random.below(4)) {
        case 0:
          input[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          input.erase(at, random.below(8));
          break;
        case 2:
          input.insert(at, input.substr(1 + random.below(input.size() - 1), random.below(40)));
          break;
        default:
          input[at] = "\r\n \t:,;\0xX09"[random.below(12)];
          break;
      }
    }
    check_http1(input);
  }
}

}  // namespace
}  // namespace fyr::proxy::http1
