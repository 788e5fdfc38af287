// corrupt_row DATA_DIR KEY VALUE: gives a key of a stopped server's state another value, in a way
// that the server cannot notice by itself: the recorded digest fits.
#include <cstdio>

#include "raft/state_generations.h"
#include "server/state_database.h"

namespace {

using namespace fyr;          // NOLINT(*-using-namespace): one small program
using namespace fyr::server;  // NOLINT(*-using-namespace)

Result<void> corrupt(const std::filesystem::path& raft, const std::string& key,
                     const std::string& value) {
  const raft::StateGenerations generations(raft);
  const auto current = generations.current();
  if (!current) return current.error();
  auto database = StateDatabase::open(generations.path_of(*current));
  if (!database) return database.error();
  StateStore store;
  auto record = (*database)->load(store);
  if (!record) return record.error();
  const KvRow row = store.kv(key);
  if (!row) return fail(ErrorCode::NotFound, key + ": no such key");
  pb::KvPair changed = *row;
  changed.set_value(value);
  const auto bytes = std::make_shared<const std::string>(changed.SerializeAsString());
  StateStore other;
  for (const StoredRow& each : store.all_rows()) {
    const bool ours = each.table == Table::Kv && each.key == key;
    auto loaded = other.load_row(each.table, each.key, ours ? *bytes : each.value());
    if (!loaded) return loaded;
  }
  if (auto done = other.finish_load(record->index); !done) return done;
  ChangeList changes;
  changes.rows.push_back({Table::Kv, key, bytes});
  (*database)->add(changes);
  record->digest = other.digest();
  if (auto done = (*database)->commit(*record); !done) return done;
  return (*database)->flush();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("Usage: corrupt_row DATA_DIR KEY VALUE\n", stderr);
    return 1;
  }
  const auto done = corrupt(std::filesystem::path(argv[1]) / "raft", argv[2], argv[3]);
  if (!done) std::fprintf(stderr, "corrupt_row: %s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
