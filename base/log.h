// Logging: one line a fact, level, component, text. Never blocks a data path: the sink has a
// bounded queue and drops (counted) when it is full. Thread-safe. spdlog lives behind log.cc only.
//
//   log::info("raft", "became leader in term {}", term);
#pragma once

#include <cstdint>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>

namespace fyr::log {

enum class Level { Trace, Debug, Info, Warn, Error };

struct Options {
  Level level = Level::Info;
  std::string file;  // empty: standard error
  bool json = false;
};

void configure(const Options& options);
void set_level(Level level);
bool enabled(Level level);
void flush();

// "INFO", "warn", "ERR" ...; false if unknown.
bool parse_level(std::string_view text, Level& out);

void write(Level level, std::string_view component, std::string_view text);

// A second reader of every line of `level` and above, whatever the output's level (the monitor
// stream). Called on the thread that logs, so it must not block or log; it may still run once
// while remove_tap returns. Lines are text without a line end. Returns an id for remove_tap, 0
// when too many are listening.
std::uint64_t add_tap(std::function<void(Level, std::string_view line)> tap,
                      Level level = Level::Info);
void remove_tap(std::uint64_t id);

namespace detail {
// Replaces each "{}" in turn; surplus arguments are dropped, surplus braces stay.
inline void format_next(std::ostringstream& out, std::string_view& format) {
  out << format;
  format = {};
}
template <class First, class... Rest>
void format_next(std::ostringstream& out, std::string_view& format, const First& first,
                 const Rest&... rest) {
  const auto at = format.find("{}");
  if (at == std::string_view::npos) return format_next(out, format);
  out << format.substr(0, at) << first;
  format.remove_prefix(at + 2);
  format_next(out, format, rest...);
}
}  // namespace detail

template <class... Args>
void write_format(Level level, std::string_view component, std::string_view format,
                  const Args&... args) {
  if (!enabled(level)) return;
  std::ostringstream out;
  detail::format_next(out, format, args...);
  write(level, component, out.str());
}
template <class... A>
void trace(std::string_view c, std::string_view f, const A&... a) {
  write_format(Level::Trace, c, f, a...);
}
template <class... A>
void debug(std::string_view c, std::string_view f, const A&... a) {
  write_format(Level::Debug, c, f, a...);
}
template <class... A>
void info(std::string_view c, std::string_view f, const A&... a) {
  write_format(Level::Info, c, f, a...);
}
template <class... A>
void warn(std::string_view c, std::string_view f, const A&... a) {
  write_format(Level::Warn, c, f, a...);
}
template <class... A>
void error(std::string_view c, std::string_view f, const A&... a) {
  write_format(Level::Error, c, f, a...);
}

}  // namespace fyr::log
