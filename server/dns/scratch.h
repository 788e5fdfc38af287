// Working space of one thread that answers queries, kept between them so that none allocates.
//
// Threading: one owner at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"

namespace fyr::dns {

// A set of byte strings that live in a message, by content: open addressing, emptied by counting
// up a stamp. Bounded by the records a message can hold.
class SeenBytes {
 public:
  void reset(std::size_t expected);
  // False if equal bytes were inserted since reset.
  bool insert(const std::string& message, std::size_t at, std::size_t size);

 private:
  struct Slot {
    std::uint32_t stamp = 0;
    std::uint16_t at = 0;
    std::uint16_t size = 0;
  };
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::size_t used_ = 0;
  std::uint32_t stamp_ = 0;
};

// Numbers 0..count-1 in random order, one at a time: a partial Fisher-Yates shuffle (Durstenfeld
// 1964), so choosing three of a thousand costs three steps. The order is put back afterwards.
class Draw {
 public:
  struct Space {
    std::vector<std::uint32_t> order;  // always 0, 1, 2, ... between draws
    std::vector<std::uint32_t> swaps;
  };
  Draw(Space& space, std::size_t count, Random& random);
  ~Draw();
  Draw(const Draw&) = delete;
  Draw& operator=(const Draw&) = delete;
  std::optional<std::uint32_t> next();

 private:
  Space& space_;
  Random& random_;
  std::size_t count_;
};

struct Scratch {
  Draw::Space draw;
  SeenBytes seen;
  std::string target;  // name being built
  std::string text;    // TXT being built
  struct Target {      // of an SRV record already in the message
    std::uint32_t record;
    std::uint16_t at;
    std::uint16_t size;
    bool is_node;
  };
  std::vector<Target> targets;
};

}  // namespace fyr::dns
