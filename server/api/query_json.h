// Prepared queries as Consul shows and takes them.
//
// Threading: pure functions. Errors: InvalidArgument in Go's words.
#pragma once

#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/json.h"
#include "registry.pb.h"

namespace fyr::server {

void encode_query(JsonWriter& out, const pb::PreparedQuery& query);
Result<pb::PreparedQuery> decode_query(const boost::json::value& value);

}  // namespace fyr::server
