// The kinds of configuration entries: which fields they have, and what must hold between them.
//
// Names are matched without regard to case and underscores ("mesh_gateway" is "MeshGateway");
// unknown ones are refused. What is kept is one spelling of each entry, so that equal entries have
// equal bytes.
//
// Pure functions. Errors: InvalidArgument, naming the field.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "registry.pb.h"

namespace fyr::server {

bool is_config_kind(std::string_view kind);

// Types, names and kind: a body that fails here is no entry at all.
Result<pb::ConfigEntry> decode_config_entry(const boost::json::value& value);
// What the entry says: rules of its kind.
Result<void> check_config_entry(const pb::ConfigEntry& entry);

}  // namespace fyr::server
