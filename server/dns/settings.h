// What the operator may say about DNS answers (`domain`, `alt_domain`, `dns_config`).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace fyr::dns {

struct SoaSettings {
  std::uint32_t refresh = 3600;
  std::uint32_t retry = 600;
  std::uint32_t expire = 86400;
  std::uint32_t min_ttl = 0;  // also the TTL of negative answers
};

struct Settings {
  std::string datacenter = "dc1";
  std::string domain = "consul.";
  std::string alt_domain;  // empty: none
  std::chrono::seconds node_ttl{0};
  // By exact service name or "prefix*"; the longest match wins. "*" matches all.
  std::map<std::string, std::chrono::seconds> service_ttl;
  bool only_passing = false;     // leave instances in state warning out
  bool node_meta_txt = true;     // node metadata as TXT beside addresses
  bool enable_truncate = false;  // set TC also when udp_answer_limit sampled the answer
  bool disable_compression = false;
  int a_record_limit = 0;    // most A/AAAA records of one answer; 0: all
  int udp_answer_limit = 3;  // over UDP without EDNS; 1 to 8
  SoaSettings soa;
};

}  // namespace fyr::dns
