// ApplyResult and Error on the wire (server.proto); only for the files of this folder.
#pragma once

#include "server.pb.h"
#include "server/state/store.h"

namespace fyr::server {

// 0 is "no error"; a code we do not know counts as Internal.
inline int to_wire(ErrorCode code) {
  return 1 + static_cast<int>(code);
}
Error error_from_wire(int code, const std::string& message);

void encode_result(const ApplyResult& result, pb::CommandResult& out);
ApplyResult decode_result(const pb::CommandResult& result);

}  // namespace fyr::server
