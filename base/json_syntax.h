// Why a text is no JSON, in the words of Go's encoding/json: Consul's clients show and match them.
// Only used after a parse has failed, so it is written for clarity, not for speed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fyr {

// "" if the text is one JSON value after all.
std::string describe_json_syntax_error(std::string_view text, std::size_t max_depth);

}  // namespace fyr
