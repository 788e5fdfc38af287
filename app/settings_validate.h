// The last step of loading: values that depend on each other and on this machine. Internal to
// app/settings*.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/settings.h"

namespace fyr::app {

// Key of a setting -> the file or flag that gave it, for messages.
using SettingSources = std::map<std::string, std::string>;

// The machine's private IPv4 addresses (RFC 1918, RFC 6598), loopback and link-local left out.
std::vector<std::string> private_addresses();

// Fills what was left out (node name, advertise address, role defaults) and appends one text for
// each contradiction or impossible value, starting with the file or flag it came from.
// `addresses` are the candidates for the address others reach us at.
void finish_settings(Settings& settings, const SettingSources& sources,
                     const std::vector<std::string>& addresses, std::vector<std::string>& errors);

}  // namespace fyr::app
