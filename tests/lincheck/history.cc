#include "tests/lincheck/history.h"

#include <algorithm>

#include "base/json.h"

namespace fyr::lincheck {

namespace {

struct Line {
  std::int64_t process = 0, time = 0;
  std::string type, f, key, value;
  bool has_value = false, done = true;
  std::uint64_t index = 0;
};

Result<Line> parse_line(const std::string& text) {
  auto json = parse_json(text);
  if (!json) return json.error();
  Line line;
  ObjectDecoder decoder(*json, "", UnknownFields::Ignore);
  decoder.field("process", line.process)
      .field("time", line.time)
      .field("type", line.type)
      .field("f", line.f)
      .field("key", line.key)
      .field("value", line.value)
      .field("done", line.done)
      .field("index", line.index);
  line.has_value = decoder.has("value");
  if (auto finished = decoder.finish(); !finished) return finished.error();
  return line;
}

std::optional<Verb> verb_of(const std::string& f) {
  if (f == "put") return Verb::Put;
  if (f == "cas") return Verb::Cas;
  if (f == "delete") return Verb::Delete;
  if (f == "get") return Verb::Get;
  return std::nullopt;
}

class Reader {
 public:
  Result<void> take(const Line& line) {
    if (line.type == "invoke") return begin(line);
    const auto open = open_.find(line.process);
    if (open == open_.end()) return fail(ErrorCode::InvalidArgument, "ends what did not begin");
    auto& [key, operation] = open->second;
    if (line.type == "ok") {
      operation.end = line.time;
      if (operation.verb == Verb::Get) {
        operation.value = line.has_value ? number(line.value) : 0;
        operation.index = line.index;
      }
      operation.done = line.done;
      keep(key, operation);
    } else if (line.type == "info") {
      lose(key, operation);
    } else if (line.type != "fail") {
      return fail(ErrorCode::InvalidArgument, "type \"" + line.type + "\"");
    }
    open_.erase(open);
    return {};
  }

  History finish() {
    for (auto& [process, open] : open_) lose(open.first, open.second);
    for (auto& [key, operations] : out_.keys) {
      std::ranges::stable_sort(operations, {}, &Operation::call);
    }
    return std::move(out_);
  }

 private:
  Result<void> begin(const Line& line) {
    const auto verb = verb_of(line.f);
    if (!verb) return fail(ErrorCode::InvalidArgument, "f \"" + line.f + "\"");
    Operation operation;
    operation.verb = *verb;
    operation.call = line.time;
    operation.index = line.index;
    if (*verb == Verb::Put || *verb == Verb::Cas) operation.value = number(line.value);
    if (!open_.emplace(line.process, std::pair(line.key, operation)).second) {
      return fail(ErrorCode::InvalidArgument, "a second call of a process that is not done");
    }
    return {};
  }
  int number(const std::string& value) {
    return numbers_.emplace(value, static_cast<int>(numbers_.size()) + 1).first->second;
  }
  void keep(const std::string& key, const Operation& operation) {
    out_.keys[key].push_back(operation);
    ++out_.operations;
  }
  // A read that nobody saw says nothing.
  void lose(const std::string& key, Operation operation) {
    if (operation.verb == Verb::Get) return;
    operation.known = false;
    operation.end = kNever;
    ++out_.unknown;
    keep(key, operation);
  }

  History out_;
  std::map<std::int64_t, std::pair<std::string, Operation>> open_;
  std::map<std::string, int> numbers_;
};

}  // namespace

Result<History> read_history(std::istream& in) {
  Reader reader;
  std::string text;
  for (std::size_t number = 1; std::getline(in, text); ++number) {
    if (text.empty()) continue;
    auto line = parse_line(text);
    Result<void> taken = line ? reader.take(*line) : Result<void>(line.error());
    if (!taken) {
      return fail(ErrorCode::InvalidArgument,
                  "line " + std::to_string(number) + ": " + taken.error().message);
    }
  }
  return reader.finish();
}

}  // namespace fyr::lincheck
