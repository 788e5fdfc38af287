// The rows of a state as one piece of bytes: what a snapshot archive carries and a restore reads.
//
// Format: "fyr-rows", version, then for each row its table (1 byte), the lengths of key and value
// (big-endian u32) and both; a 0 byte and the number of rows end it. Never renumber, raise the
// version.
//
// Pure. Errors: Corrupt (says where), Unsupported.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "server/state/store.h"

namespace fyr::server {

// Staged rows are left out: they belong to no state yet.
std::string encode_rows(const std::vector<StoredRow>& rows);

using TakeRow =
    std::function<Result<void>(Table table, std::string_view key, std::string_view value)>;
Result<void> decode_rows(std::string_view bytes, const TakeRow& take);

// Reads the rows into a fresh state as of `index`: every row as if it was written then.
Result<StateStore> restored_state(std::string_view bytes, StateIndex index);

// Restores `bytes` into a state of its own and compares that, row by row, with those it was saved
// from. Corrupt, with the table, if they differ. Takes as long and as much memory as a restore.
Result<void> test_restore(const std::vector<StoredRow>& saved, std::string_view bytes,
                          StateIndex index);

}  // namespace fyr::server
