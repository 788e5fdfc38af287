// Only for the files of this folder. Frames as the byte buffers of gRPC.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "raft/wire.h"

namespace fyr::raft {

// Large pieces stay where they are and live as long as the buffer.
grpc::ByteBuffer to_buffer(FramePieces pieces);
Result<Frame> from_buffer(const grpc::ByteBuffer& buffer, const StreamEnds& ends);

}  // namespace fyr::raft
