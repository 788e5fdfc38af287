// One read of the registry: what it depends on and how its answer is made. Equal keys mean equal
// answers, so that one set of bytes serves every client that asks the same.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/io/http_server.h"
#include "server/state/store.h"

namespace fyr::server {

// Everything of an answer that does not depend on who asks.
struct Rendered {
  int status = 200;
  io::HttpHeaders headers;
  std::shared_ptr<const std::string> body;

  static Rendered json(std::string body);
};

struct ReadPlan {
  // Path and relevant parameters in one spelling; see CacheKey.
  std::string key;
  std::vector<Topic> topics;
  // Copies what is needed out of the store (under its lock; be short) and returns what makes the
  // answer of it (outside the lock).
  std::function<std::function<Rendered()>(const StateStore&)> fetch;

  bool shows_consistency = false;  // X-Consul-Effective-Consistency: catalog and health only
  bool kept = true;                // in the cache; false for values that can be large and many
  bool waits = true;               // false: ?index means nothing here
  // A waiter is left waiting when a change leaves its answer byte for byte the same.
  bool quiet = false;
};

// Builds the key of a plan: parts of any bytes, unambiguously.
class CacheKey {
 public:
  explicit CacheKey(std::string_view family) { add(family); }
  CacheKey& add(std::string_view part) {
    key_ += std::to_string(part.size());
    key_ += ':';
    key_ += part;
    return *this;
  }
  CacheKey& add(bool flag) {
    key_ += flag ? '1' : '0';
    return *this;
  }
  std::string take() { return std::move(key_); }

 private:
  std::string key_;
};

}  // namespace fyr::server
