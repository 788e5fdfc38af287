// lincheck FILE: is the recorded history linearizable? Prints the verdict and, for the first key
// that is not, a small illegal part of what happened. Exit status 0: yes, 1: no, 2: cannot be
// read, 3: undecided.
#include <cstdio>
#include <fstream>

#include "tests/lincheck/checker.h"

namespace {

using namespace fyr::lincheck;

const char* word(Verb verb) {
  switch (verb) {
    case Verb::Put:
      return "put";
    case Verb::Cas:
      return "cas";
    case Verb::Delete:
      return "delete";
    case Verb::Get:
      return "get";
  }
  return "";
}

void print(const std::string& key, const std::vector<Operation>& operations) {
  std::printf("key %s, by time of call (ns):\n", key.c_str());
  for (const Operation& o : operations) {
    const std::string end = o.end == kNever ? "never ended" : std::to_string(o.end);
    std::printf("  %lld - %s  %s value #%d index %llu%s\n", static_cast<long long>(o.call),
                end.c_str(), word(o.verb), o.value, static_cast<unsigned long long>(o.index),
                o.verb == Verb::Cas && !o.done ? " lost" : "");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("Usage: lincheck FILE\n", stderr);
    return 2;
  }
  std::ifstream in(argv[1]);
  auto history = read_history(in);
  if (!in.eof() || !history) {
    std::fprintf(stderr, "lincheck: %s: %s\n", argv[1],
                 history ? "cannot be read" : history.error().message.c_str());
    return 2;
  }
  std::size_t undecided = 0;
  for (const auto& [key, operations] : history->keys) {
    switch (check(operations)) {
      case Verdict::Linearizable:
        break;
      case Verdict::Undecided:
        ++undecided;
        break;
      case Verdict::Illegal:
        print(key, shrink(operations));
        std::printf("NOT linearizable\n");
        return 1;
    }
  }
  std::printf("%s: %zu operations on %zu keys, %zu of unknown outcome, %zu keys undecided\n",
              undecided ? "undecided" : "linearizable", history->operations, history->keys.size(),
              history->unknown, undecided);
  return undecided ? 3 : 0;
}
