// Expected failures as values.
//
// `Result<T>` carries a T or an Error. The code enum is small on purpose: it says what a caller
// can do about the failure; the message says what happened, naming the field or path. One table
// (error.cc) turns a code into the caller's language: HTTP, gRPC, DNS, exit status.
//
// CommitUnknown is an outcome of its own: the write may or may not have happened. It is never
// retried silently unless the command is idempotent.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>

namespace fyr {

enum class ErrorCode {
  NotLeader,      // ask the leader instead
  NoLeader,       // nobody leads; text clients match on: "No cluster leader"
  CommitUnknown,  // the write may have happened
  Timeout,
  Unavailable,  // a peer cannot be reached now
  Conflict,     // compare-and-set lost, name taken
  NotFound,
  InvalidArgument,  // bad input; message names the field
  PermissionDenied,
  ResourceExhausted,  // a limit was reached
  Stopped,            // we are shutting down
  Corrupt,            // data on disk or on the wire fails its checks
  Unsupported,
  Internal,
};

struct Error {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
};

std::string_view to_string(ErrorCode code);
int to_http_status(ErrorCode code);
int to_grpc_status(ErrorCode code);  // value of grpc::StatusCode
int to_dns_rcode(ErrorCode code);
int to_exit_status(ErrorCode code);  // sysexits where one fits, else 1

template <class T>
using Result = boost::system::result<T, Error>;

// Called by Result::value() on an error; a bug of the caller, so it stops the process.
[[noreturn]] void throw_exception_from_error(const Error& error,
                                             const boost::source_location& location);

// `return fail(ErrorCode::InvalidArgument, "ports.http: must be a number");`
inline Error fail(ErrorCode code, std::string message) {
  return Error{code, std::move(message)};
}

}  // namespace fyr
