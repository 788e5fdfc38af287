// What a prepared query found, as DNS records.
#pragma once

#include <memory>
#include <string_view>

#include "base/error.h"
#include "server/dns/name_source.h"
#include "server/query/execute.h"

namespace fyr::app {

using ServiceRecordsPtr = std::shared_ptr<const dns::ServiceRecords>;

// `execution` in the order it is to be answered in.
ServiceRecordsPtr to_records(const server::Execution& execution);
// From the answer of /v1/query/NAME/execute. Corrupt: it is not one.
Result<ServiceRecordsPtr> parse_execution(std::string_view json);

}  // namespace fyr::app
