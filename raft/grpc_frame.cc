#include "raft/grpc_frame.h"

#include <grpcpp/support/slice.h>

namespace fyr::raft {
namespace {

using Shared = std::shared_ptr<const std::string>;

void drop_shared(void* kept) {
  delete static_cast<Shared*>(kept);  // tidy: delete: gRPC keeps plain pointers
}

grpc::Slice to_slice(FramePiece& piece) {
  if (!piece.shared) return grpc::Slice(piece.bytes);
  const std::string& bytes = *piece.shared;
  // gRPC only reads it.
  auto* data = const_cast<char*>(bytes.data());
  auto* kept = new Shared(std::move(piece.shared));  // tidy: new: gRPC keeps plain pointers
  return grpc::Slice(data, bytes.size(), drop_shared, kept);
}

}  // namespace

grpc::ByteBuffer to_buffer(FramePieces pieces) {
  if (pieces.size() == 1) {
    const grpc::Slice slice = to_slice(pieces.front());
    return grpc::ByteBuffer(&slice, 1);
  }
  std::vector<grpc::Slice> slices;
  slices.reserve(pieces.size());
  for (FramePiece& piece : pieces) slices.push_back(to_slice(piece));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

Result<Frame> from_buffer(const grpc::ByteBuffer& buffer, const StreamEnds& ends) {
  grpc::Slice single;
  std::vector<grpc::Slice> slices;
  std::vector<std::string_view> views;
  const auto view = [](const grpc::Slice& slice) {
    return std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size());
  };
  if (buffer.Length() > kMaxFrameBytes) {
    return fail(ErrorCode::ResourceExhausted,
                "frame: " + std::to_string(buffer.Length()) + " bytes");
  }
  if (buffer.TrySingleSlice(&single).ok()) {
    const std::string_view all = view(single);
    return decode_frame(std::span(&all, 1), ends);
  }
  if (!buffer.Dump(&slices).ok()) return fail(ErrorCode::Corrupt, "frame: not readable");
  views.reserve(slices.size());
  for (const grpc::Slice& slice : slices) views.push_back(view(slice));
  return decode_frame(views, ends);
}

}  // namespace fyr::raft
