// Decoding of what decides who gets a request: balance, subsets, sites, slow start, drain.
#include <algorithm>
#include <cctype>

#include "proxy/config_reader.h"
#include "proxy/http1_bytes.h"
#include "proxy/subset.h"

namespace fyr::proxy {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void read_strings(Reader& reader, std::string_view name, std::vector<std::string>& out) {
  const auto* value = reader.find(name);
  if (value == nullptr) return;
  if (value->is_string()) {  // one is as good as a list of one
    out.assign(1, std::string(value->get_string()));
  } else {
    reader.read(name, out);
  }
  if (std::find(out.begin(), out.end(), "") != out.end()) reader.error(name, "has an empty text");
}

void set_hash(Reader& reader, std::string_view key, HashOn on, std::string name,
              ListenerConfig& out) {
  out.hash_on = on;  // also if the name is wrong: one error is enough
  if ((on == HashOn::Header || on == HashOn::Cookie) &&
      (name.empty() || !http1::all(name, http1::kToken))) {
    reader.error(key, "needs the name of a header or cookie");
    return;
  }
  out.hash_name = on == HashOn::Header ? lower(std::move(name)) : std::move(name);
}

// "path", "source_ip", "header:NAME", "cookie:NAME".
void read_hash_on(Reader& reader, ListenerConfig& out) {
  std::string text;
  if (!reader.read("hash_on", text)) return;
  const auto colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  const std::string name = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (kind == "header") {
    set_hash(reader, "hash_on", HashOn::Header, name, out);
  } else if (kind == "cookie") {
    set_hash(reader, "hash_on", HashOn::Cookie, name, out);
  } else if (text == "path") {
    set_hash(reader, "hash_on", HashOn::Path, "", out);
  } else if (text == "source_ip") {
    set_hash(reader, "hash_on", HashOn::SourceIp, "", out);
  } else {
    reader.error("hash_on", "\"" + text + "\" is not path, source_ip, header:NAME or cookie:NAME");
  }
}

void read_balance(Reader& reader, ListenerConfig& out) {
  std::string text;
  if (const auto* value = reader.find("balance"); value != nullptr && value->is_string()) {
    text = value->get_string();
  }
  // HAProxy's words for a hash with what it is taken on.
  if (text == "uri") {
    out.balance = Balance::RingHash;
    set_hash(reader, "balance", HashOn::Path, "", out);
    return;
  }
  if (text.starts_with("hdr(") && text.ends_with(")")) {
    out.balance = Balance::RingHash;
    set_hash(reader, "balance", HashOn::Header, text.substr(4, text.size() - 5), out);
    return;
  }
  reader.choice<Balance>("balance", out.balance,
                         {{"roundrobin", Balance::RoundRobin},
                          {"leastconn", Balance::LeastConn},
                          {"least_request", Balance::LeastRequest},
                          {"ewma", Balance::Ewma},
                          {"random", Balance::Random},
                          {"first", Balance::First},
                          {"ring_hash", Balance::RingHash},
                          {"maglev", Balance::Maglev},
                          {"source", Balance::Source},
                          {"round_robin", Balance::RoundRobin},
                          {"static-rr", Balance::RoundRobin}});
}

void read_subset(Reader& reader, SubsetConfig& out) {
  read_strings(reader, "tags", out.tags);
  reader.read("meta", out.meta);
  reader.read("filter", out.filter);
}

void read_locality(Reader& reader, LocalityConfig& out) {
  if (const auto* order = reader.find("order"); order != nullptr && order->is_array()) {
    out.ignore = false;
    read_strings(reader, "order", out.order);
  } else {
    reader.choice<bool>("order", out.ignore, {{"own_first", false}, {"off", true}});
  }
  double factor = out.overprovision;
  if (reader.read("overprovision", factor)) {
    if (factor < 1 || factor > 100) {
      reader.error("overprovision", "must be between 1 and 100");
    } else {
      out.overprovision = factor;
    }
  }
}

void read_slow_start(Reader& reader, SlowStartConfig& out) {
  reader.duration("window", out.window, true);
  if (double value = out.aggression; reader.read("aggression", value)) {
    if (value < 0.1 || value > 10) {
      reader.error("aggression", "must be between 0.1 and 10");
    } else {
      out.aggression = value;
    }
  }
  reader.number("min_percent", out.min_percent, 1, 100);
}

}  // namespace

void read_choice(Reader& reader, ListenerConfig& out) {
  read_balance(reader, out);
  read_hash_on(reader, out);
  read_strings(reader, "prefer_tags", out.prefer_tags);
  read_strings(reader, "allowed_sites", out.allowed_sites);
  reader.object("subset", [&](Reader& r) { read_subset(r, out.subset); });
  reader.object("locality", [&](Reader& r) { read_locality(r, out.locality); });
  if (const auto* sites = reader.find("datacenter")) {
    const auto* locality = reader.find("locality");
    if (locality != nullptr && locality->is_object() && locality->get_object().contains("order")) {
      reader.error("datacenter", "cannot stand beside locality.order");
    }
    if (sites->is_string() || sites->is_array()) out.locality.ignore = false;
    read_strings(reader, "datacenter", out.locality.order);
  }
  reader.object("slow_start", [&](Reader& r) { read_slow_start(r, out.slow_start); });
  reader.object("drain", [&](Reader& r) {
    r.duration("deadline", out.drain.deadline);
    r.choice<OnDown>("on_down", out.drain.on_down,
                     {{"reset", OnDown::Reset},
                      {"keep", OnDown::Keep},
                      {"any", OnDown::Any},
                      {"shutdown-sessions", OnDown::Any}});
  });
}

void validate_choice(const ListenerConfig& listener, const std::string& path, Errors& errors) {
  const auto error = [&](std::string_view name, std::string_view text) {
    errors.push_back(path + "." + std::string(name) + ": " + std::string(text));
  };
  const bool hashes = listener.balance == Balance::RingHash || listener.balance == Balance::Maglev;
  if (hashes && listener.hash_on == HashOn::None) {
    error("hash_on", "is required for balance ring_hash and maglev");
  }
  if (!hashes && listener.hash_on != HashOn::None) {
    error("hash_on", "is only for balance ring_hash and maglev");
  }
  if (listener.protocol == Protocol::Tcp) {
    if (listener.hash_on != HashOn::None && listener.hash_on != HashOn::SourceIp) {
      error("hash_on", "protocol tcp has nothing but source_ip");
    }
    if (listener.balance == Balance::Ewma) {
      error("balance", "ewma is only for protocol http: tcp has no answer times");
    }
  }
  if (const auto subset = Subset::make(listener.subset); !subset) {
    error("subset.filter", subset.error().message);
  }
  if (!listener.prefer_tags.empty() && listener.balance != Balance::First) {
    error("prefer_tags", "is only for balance first");
  }
}

}  // namespace fyr::proxy
