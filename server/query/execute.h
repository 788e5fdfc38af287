// Running prepared queries on the state: which query a name means, and which instances it finds.
//
// Pure functions; randomness is given.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "server/query/near.h"
#include "server/state/store.h"

namespace fyr::server {

// By id, else by name, else the template with the longest prefix of the name, filled in.
// NotFound "Query not found"; InvalidArgument for a template asked for by id.
Result<QueryRow> resolve_query(const StateStore& store, std::string_view id_or_name);

// What Consul refuses whatever the state is.
Result<void> check_query(const pb::PreparedQuery& query);

struct Execution {
  QueryRow query;
  std::vector<ServiceHealth> rows;  // that the query lets through, in the state's order
  Distances distances;              // from the node the answer is sorted for
  std::string near;                 // its name; empty: none
};

// `near`: a node's name, or empty for what the query says; "_agent" is `agent`.
Execution execute_query(const StateStore& store, QueryRow query, std::string_view near,
                        std::string_view agent);

// Random order, then the nearest first; at most `limit` rows (0: all).
void order_rows(Execution& execution, Random& random, std::size_t limit);

}  // namespace fyr::server
