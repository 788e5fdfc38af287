// Templates of prepared queries: ${name.full}, ${name.prefix}, ${name.suffix}, ${match(N)} and
// ${agent.segment} in their texts stand for parts of the name that was asked for; $${ is ${.
//
// Pure functions. Errors: InvalidArgument, in the words of a refused query.
#pragma once

#include <string_view>

#include "base/error.h"
#include "registry.pb.h"

namespace fyr::server {

inline bool is_template(const pb::PreparedQuery& query) {
  return !query.template_type().empty();
}

// The type, the expression and every variable.
Result<void> check_template(const pb::PreparedQuery& query);

// The query for this name.
Result<pb::PreparedQuery> render_template(const pb::PreparedQuery& query, std::string_view name);

}  // namespace fyr::server
