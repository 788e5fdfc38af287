#include "base/error.h"

#include <array>

#include "base/check.h"

namespace fyr {
namespace {

// What each code means to the outside, in the order of the enum.
struct Row {
  ErrorCode code;
  std::string_view name;
  int http;
  int grpc;  // grpc::StatusCode
  int dns;   // RFC 1035 section 4.1.1, RFC 2136
  int exit;  // sysexits.h
};

constexpr std::array<Row, 14> kRows = {{
    // Consul answers 500 for a missing leader, and its clients match on the text.
    {ErrorCode::NotLeader, "NotLeader", 500, 9, 2, 69},
    {ErrorCode::NoLeader, "NoLeader", 500, 14, 2, 69},
    {ErrorCode::CommitUnknown, "CommitUnknown", 500, 2, 2, 75},
    {ErrorCode::Timeout, "Timeout", 504, 4, 2, 75},
    {ErrorCode::Unavailable, "Unavailable", 503, 14, 2, 69},
    {ErrorCode::Conflict, "Conflict", 409, 10, 2, 1},
    {ErrorCode::NotFound, "NotFound", 404, 5, 3, 1},
    {ErrorCode::InvalidArgument, "InvalidArgument", 400, 3, 1, 64},
    {ErrorCode::PermissionDenied, "PermissionDenied", 403, 7, 5, 77},
    {ErrorCode::ResourceExhausted, "ResourceExhausted", 429, 8, 5, 75},
    {ErrorCode::Stopped, "Stopped", 503, 14, 2, 69},
    {ErrorCode::Corrupt, "Corrupt", 500, 15, 2, 65},
    {ErrorCode::Unsupported, "Unsupported", 501, 12, 4, 1},
    {ErrorCode::Internal, "Internal", 500, 13, 2, 70},
}};

constexpr bool rows_follow_the_enum() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].code) != i) return false;
  }
  return static_cast<std::size_t>(ErrorCode::Internal) + 1 == kRows.size();
}
static_assert(rows_follow_the_enum());

const Row& row(ErrorCode code) {
  const auto index = static_cast<std::size_t>(code);
  CHECK(index < kRows.size());
  return kRows[index];
}

}  // namespace

std::string_view to_string(ErrorCode code) {
  return row(code).name;
}
int to_http_status(ErrorCode code) {
  return row(code).http;
}
int to_grpc_status(ErrorCode code) {
  return row(code).grpc;
}
int to_dns_rcode(ErrorCode code) {
  return row(code).dns;
}
int to_exit_status(ErrorCode code) {
  return row(code).exit;
}

void throw_exception_from_error(const Error& error, const boost::source_location& location) {
  check_failed(location.file_name(), static_cast<int>(location.line()),
               "Result::value() called on an error", error.message);
}

}  // namespace fyr
