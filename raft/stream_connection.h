// Only for the files of this folder. One connection to a peer, for one stream.
#pragma once

#include <memory>
#include <string>

#include "raft/grpc_transport.h"

namespace grpc {
class Channel;
class ChannelCredentials;
class Status;
}  // namespace grpc

namespace fyr::raft {

// When it fails it is thrown away: the pauses between attempts are ours, and a name is resolved
// anew each time.
std::shared_ptr<grpc::Channel> connect(const std::string& address,
                                       const GrpcTransportOptions& options);

// Somebody answered that nobody is there: the process is gone, the machine is not.
bool says_reset(const grpc::Status& status);

}  // namespace fyr::raft
