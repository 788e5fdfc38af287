// UUIDs in text form, lower case, as Consul shows them (RFC 4122, version 4 layout).
#pragma once

#include <string>
#include <string_view>

namespace fyr {

std::string make_uuid();              // from the kernel's random source
bool is_uuid(std::string_view text);  // 8-4-4-4-12 hex digits, either case

}  // namespace fyr
