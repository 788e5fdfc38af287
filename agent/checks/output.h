// The text a check shows: bounded, valid UTF-8, without NUL. Which end is kept depends on the kind:
// programs and HTTP bodies say what matters last, TTL notes first.
//
// Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fyr::agent {

// Invalid sequences become U+FFFD, NUL is removed.
std::string clean_text(std::string_view bytes);

// The last `limit` bytes of a program's output, headed by how much was left out. `tail` may
// already be cut; `total` is what the program wrote.
std::string script_output(std::string_view tail, std::size_t total, std::size_t limit);

// The last `limit` bytes, silently.
std::string body_output(std::string_view tail, std::size_t limit);

// The first `limit` bytes, followed by how much was left out.
std::string note_output(std::string_view text, std::size_t limit);

}  // namespace fyr::agent
