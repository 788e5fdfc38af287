// Messages as bytes and back: frames of raft.proto (raft.md §11).
//
// A frame carries a CRC32C over everything in it and its number on its stream. The data of entries
// is not copied on the way out: a frame is a list of pieces, some of which are the entries' own
// strings. On the way in each entry is copied once, into a string of its own.
//
// `from`, `to` and the sender's incarnation are not in a frame: the handshake of the stream says
// them, once, and what the bytes of a frame claim about them could not be trusted anyway.
//
// What a peer sends can be anything: every defect is Corrupt, never a crash. Entries of an append
// always follow each other, and their terms rise.
//
// Pure, no state. Errors: Corrupt; ResourceExhausted for a frame above kMaxFrameBytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "raft/outputs.h"

namespace fyr::raft {

constexpr std::size_t kMaxFrameBytes = 16u << 20;
constexpr std::uint32_t kProtocolMin = 1;
constexpr std::uint32_t kProtocolMax = 1;

// Says who opens a stream, or who answers (raft.md §1).
struct Hello {
  std::uint32_t protocol_min = kProtocolMin;
  std::uint32_t protocol_max = kProtocolMax;
  PeerIdentity self;
  NodeId to{};
  std::string address;  // where the sender can be reached; the other may not have it in its log yet
  std::string refused;  // in an answer: a word that says why not
};

// Bytes of one file of a snapshot; an empty name is its manifest.
struct SnapshotRequest {
  std::string id;
  std::string file;
  std::uint64_t offset = 0;
  std::uint32_t max_bytes = 0;
};
struct SnapshotChunk {
  std::uint64_t file_size = 0;
  std::shared_ptr<const std::string> data;
  std::string error;  // why there is no data
};

// Either bytes of its own or the string of an entry.
struct FramePiece {
  std::string bytes;
  std::shared_ptr<const std::string> shared;
  std::string_view view() const { return shared ? std::string_view(*shared) : bytes; }
};
using FramePieces = std::vector<FramePiece>;

struct Frame {
  std::uint64_t sequence = 0;
  std::optional<Hello> hello;
  std::vector<Message> messages;
  std::optional<SnapshotRequest> snapshot_request;
  std::optional<SnapshotChunk> snapshot_chunk;
};

// What the handshake of a stream said; decoding puts it into the messages.
struct StreamEnds {
  NodeId from{}, to{};
  std::uint64_t from_incarnation = 0;
};

// Most that the message takes in a frame, a little more for small ones.
std::size_t wire_size(const Message& message);

FramePieces encode_hello(std::uint64_t sequence, const Hello& hello);
// The messages of one frame; the sum of their wire_size() is at most kMaxFrameBytes.
FramePieces encode_messages(std::uint64_t sequence, std::span<const Message> messages);
FramePieces encode_snapshot_request(std::uint64_t sequence, const SnapshotRequest& request);
FramePieces encode_snapshot_chunk(std::uint64_t sequence, SnapshotChunk chunk);

Result<Frame> decode_frame(std::span<const std::string_view> pieces, const StreamEnds& ends);

}  // namespace fyr::raft
