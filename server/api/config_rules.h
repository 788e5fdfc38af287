// What must hold inside a splitter, a resolver and a router, given in the spelling that is kept.
//
// Pure functions. Errors: InvalidArgument, naming the place.
#pragma once

#include <boost/json/object.hpp>

#include "base/error.h"

namespace fyr::server {

Result<void> check_splitter(const boost::json::object& entry);
Result<void> check_resolver(const boost::json::object& entry);
Result<void> check_router(const boost::json::object& entry);

}  // namespace fyr::server
