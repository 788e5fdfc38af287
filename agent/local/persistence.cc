#include "agent/local/persistence.h"

#include <algorithm>
#include <functional>
#include <system_error>

#include "base/bytes.h"
#include "base/io/file.h"
#include "base/json.h"

namespace fyr::agent {

namespace {

namespace fs = std::filesystem;

constexpr const char* kServices = "services";
constexpr const char* kChecks = "checks";
constexpr const char* kStates = "checks/state";
constexpr const char* kAlive = "checks/alive.stamp";
constexpr int kVersion = 1;

// One file: {"version","kind","id","source","token","row","definition","checksum"}.
struct Record {
  int version = 0;
  std::string kind;
  std::string id;
  std::string source;
  std::string token;
  std::string row;         // wire form
  std::string definition;  // wire form, of checks
};

std::string checksum_of(const Record& record) {
  std::string bytes;
  for (const auto* part :
       {&record.kind, &record.id, &record.source, &record.token, &record.row, &record.definition}) {
    append_be32(bytes, static_cast<std::uint32_t>(part->size()));
    bytes += *part;
  }
  return to_hex(sha256(bytes));
}

std::string encode(const Record& record) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("version").number(record.version);
  writer.key("kind").string(record.kind);
  writer.key("id").string(record.id);
  writer.key("source").string(record.source);
  writer.key("token").string(record.token);
  writer.key("row").string(to_base64(record.row));
  writer.key("definition").string(to_base64(record.definition));
  writer.key("checksum").string(checksum_of(record));
  writer.end_object();
  out += '\n';
  return out;
}

Result<Record> decode(const std::string& text, const std::string& kind) {
  auto value = parse_json(text);
  if (!value) return value.error();
  Record record;
  std::string row, definition, checksum;
  ObjectDecoder decoder(*value, "", UnknownFields::Ignore);
  decoder.field("version", record.version)
      .field("kind", record.kind)
      .field("id", record.id)
      .field("source", record.source)
      .field("token", record.token)
      .field("row", row)
      .field("definition", definition)
      .field("checksum", checksum);
  if (auto done = decoder.finish(); !done) return done.error();
  if (record.version != kVersion) {
    return fail(ErrorCode::Unsupported, "version " + std::to_string(record.version));
  }
  auto row_bytes = from_base64(row);
  auto definition_bytes = from_base64(definition);
  if (!row_bytes || !definition_bytes || record.kind != kind) {
    return fail(ErrorCode::Corrupt, "not a " + kind);
  }
  record.row = std::move(*row_bytes);
  record.definition = std::move(*definition_bytes);
  if (checksum != checksum_of(record)) return fail(ErrorCode::Corrupt, "checksum does not match");
  return record;
}

std::string to_text(Source source) {
  return source == Source::File ? "file" : "api";
}
Source to_source(const std::string& text) {
  return text == "file" ? Source::File : Source::Api;
}

std::string to_file(const LocalService& service) {
  return encode({kVersion,
                 "service",
                 service.row.id(),
                 to_text(service.source),
                 service.token,
                 service.row.SerializeAsString(),
                 {}});
}

std::string to_file(const LocalCheck& check) {
  pb::HealthCheck row = check.row;
  row.clear_output();  // the status has its own file
  return encode({kVersion, "check", row.check_id(), to_text(check.source), check.token,
                 row.SerializeAsString(), check.definition.SerializeAsString()});
}

Result<LocalService> read_service(const std::string& text) {
  auto record = decode(text, "service");
  if (!record) return record.error();
  LocalService service;
  if (!service.row.ParseFromString(record->row) || service.row.id() != record->id) {
    return fail(ErrorCode::Corrupt, "row does not read");
  }
  service.token = record->token;
  service.source = to_source(record->source);
  return service;
}

Result<LocalCheck> read_check(const std::string& text) {
  auto record = decode(text, "check");
  if (!record) return record.error();
  LocalCheck check;
  if (!check.row.ParseFromString(record->row) || check.row.check_id() != record->id ||
      !check.definition.ParseFromString(record->definition)) {
    return fail(ErrorCode::Corrupt, "row does not read");
  }
  check.token = record->token;
  check.source = to_source(record->source);
  return check;
}

struct State {
  std::string id;
  CheckMemory memory;
  std::int64_t written_ns = 0;
};

Result<State> read_state(const std::string& text) {
  auto value = parse_json(text);
  if (!value) return value.error();
  State state;
  std::string status;
  std::int64_t critical_for = 0, ttl_left = 0;
  ObjectDecoder decoder(*value, "", UnknownFields::Ignore);
  decoder.field("id", state.id)
      .field("status", status)
      .field("output", state.memory.output)
      .field("critical_for_ns", critical_for)
      .field("ttl_left_ns", ttl_left)
      .field("written_ns", state.written_ns);
  if (auto done = decoder.finish(); !done) return done.error();
  const auto parsed = parse_check_status(status);
  if (!parsed || state.id.empty()) return fail(ErrorCode::Corrupt, "no status");
  state.memory.status = *parsed;
  state.memory.critical_for = Duration(std::max<std::int64_t>(critical_for, 0));
  state.memory.ttl_left = Duration(std::max<std::int64_t>(ttl_left, 0));
  return state;
}

// A process that was killed while it wrote leaves these; nobody else writes here now.
void remove_leftovers(const fs::path& folder) {
  auto names = io::list_files(folder);
  if (!names) return;
  for (const std::string& name : *names) {
    if (name.find(".tmp-") != std::string::npos) (void)io::remove_file(folder / name);
  }
}

// Reads every file of a folder; those that do not read are set aside.
Result<void> for_each_file(const fs::path& folder, std::vector<std::string>& set_aside,
                           const std::function<Result<void>(const std::string& text)>& use) {
  auto names = io::list_files(folder);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (name.find('.') != std::string::npos) continue;  // temporary or set aside before
    const fs::path path = folder / name;
    auto text = io::read_file(path);
    Result<void> used = text ? use(*text) : Result<void>(text.error());
    if (used) continue;
    std::error_code ignored;
    fs::rename(path, path.string() + ".bad", ignored);
    set_aside.push_back(path.string() + ": " + used.error().message);
  }
  return {};
}

}  // namespace

Result<Persistence> Persistence::open(fs::path data_dir) {
  Persistence self(std::move(data_dir));
  if (self.off()) return self;
  for (const char* folder : {kServices, kChecks, kStates}) {
    if (auto made = io::make_directories(self.root_ / folder); !made) return made.error();
    remove_leftovers(self.root_ / folder);
  }
  return self;
}

fs::path Persistence::path(const char* folder, const std::string& id) const {
  return root_ / folder / to_hex(sha256(id));
}

std::vector<Result<void>> Persistence::write(const std::vector<Change>& changes) {
  if (off()) return std::vector<Result<void>>(changes.size());
  std::vector<std::vector<io::FileChange>> groups;
  for (const Change& change : changes) {
    auto& files = groups.emplace_back();
    // A service comes after its checks and leaves before them: one that is read has them all.
    for (const LocalCheck& check : change.checks) {
      files.push_back({path(kChecks, check.row.check_id()), to_file(check)});
    }
    for (const LocalService& service : change.services) {
      files.push_back({path(kServices, service.row.id()), to_file(service)});
    }
    for (const std::string& id : change.gone_services) files.push_back({path(kServices, id), {}});
    for (const std::string& id : change.gone_checks) files.push_back({path(kChecks, id), {}});
  }
  auto results = io::change_files(groups);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    for (const std::string& id : changes[i].gone_checks) {
      // Of no use without its check; not worth a wait.
      if (results[i]) results[i] = remove_state(id);
    }
  }
  return results;
}

Result<void> Persistence::save_service(const LocalService& service) {
  Change change;
  change.services.push_back(service);
  return write({change}).front();
}

Result<void> Persistence::remove_service(const std::string& id) {
  Change change;
  change.gone_services.push_back(id);
  return write({change}).front();
}

Result<void> Persistence::save_check(const LocalCheck& check) {
  Change change;
  change.checks.push_back(check);
  return write({change}).front();
}

Result<void> Persistence::remove_check(const std::string& id) {
  Change change;
  change.gone_checks.push_back(id);
  return write({change}).front();
}

Result<void> Persistence::save_state(const std::string& check_id, const CheckMemory& memory) {
  if (off()) return {};
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("id").string(check_id);
  writer.key("status").string(to_string(memory.status));
  writer.key("output").string(memory.output);
  writer.key("critical_for_ns").number(static_cast<std::int64_t>(memory.critical_for.count()));
  writer.key("ttl_left_ns").number(static_cast<std::int64_t>(memory.ttl_left.count()));
  writer.key("written_ns").number(static_cast<std::int64_t>(wall_now().time_since_epoch().count()));
  writer.end_object();
  out += '\n';
  return io::write_file_atomically(path(kStates, check_id), out, 0600, false);
}

Result<void> Persistence::remove_state(const std::string& check_id) {
  return off() ? Result<void>() : io::remove_file(path(kStates, check_id));
}

Result<void> Persistence::touch() {
  if (off()) return {};
  const auto text = std::to_string(wall_now().time_since_epoch().count()) + "\n";
  return io::write_file_atomically(root_ / kAlive, text, 0600, false);
}

Result<Persistence::Loaded> Persistence::load() {
  Loaded loaded;
  if (off()) return loaded;
  const auto use = [](auto& list, auto read) {
    return [&list, read](const std::string& text) -> Result<void> {
      auto item = read(text);
      if (!item) return item.error();
      list.push_back(std::move(*item));
      return {};
    };
  };
  std::vector<State> states;
  auto done =
      for_each_file(root_ / kServices, loaded.set_aside, use(loaded.services, read_service));
  if (done) done = for_each_file(root_ / kChecks, loaded.set_aside, use(loaded.checks, read_check));
  if (done) done = for_each_file(root_ / kStates, loaded.set_aside, use(states, read_state));
  if (!done) return done.error();

  std::int64_t alive_ns = 0;
  if (auto text = io::read_file(root_ / kAlive, 64))
    alive_ns = std::strtoll(text->c_str(), nullptr, 10);
  const std::int64_t now_ns = wall_now().time_since_epoch().count();
  for (State& state : states) {
    // A TTL runs from the moment it was written; other states are as fresh as the agent was.
    const bool ttl = state.memory.ttl_left > Duration::zero();
    const std::int64_t fresh = ttl ? state.written_ns : std::max(state.written_ns, alive_ns);
    state.memory.age = Duration(std::max<std::int64_t>(now_ns - fresh, 0));
    if (state.memory.status == CheckStatus::Critical) {
      // It stayed critical for as long as the agent lived on.
      state.memory.critical_for += Duration(std::max<std::int64_t>(alive_ns - state.written_ns, 0));
    }
    loaded.states[state.id] = std::move(state.memory);
  }
  return loaded;
}

}  // namespace fyr::agent
