// Between the files of transactions. Private to server/state.
#pragma once

#include "server/state/tables.h"

namespace fyr::server {

// The part of the state that the transaction can read or change, laid beside the live one: what
// its operations do there they will do here. Rows are shared, so it costs a pointer for each row
// of the nodes, keys and trees that are named.
void copy_for_rehearsal(const Tables& from, const pb::Txn& txn, Tables& to);

}  // namespace fyr::server
