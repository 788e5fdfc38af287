#include "raft/wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <limits>

#include "base/bytes.h"
#include "base/check.h"
#include "raft.pb.h"

namespace fyr::raft {
namespace {

// Tags of the frame's fields that are written by hand.
constexpr char kCrcTag = '\x0d';   // 1, fixed32
constexpr char kDataTag = '\x7a';  // 15, length-delimited
constexpr std::size_t kCrcField = 5;
// Below this a copy is cheaper than a piece of its own.
constexpr std::size_t kSharedFrom = 2'048;
constexpr std::size_t kFrameOverhead = 64;
constexpr std::size_t kMessageOverhead = 128;
constexpr std::size_t kEntryOverhead = 20;

// ---- writing ------------------------------------------------------------------------------

pb::RaftMessage& next_message(pb::RaftFrame& frame, const Message& message) {
  pb::RaftMessage& out = *frame.add_messages();
  out.set_term(message.term.value);
  out.set_to_incarnation(message.to_incarnation);
  return out;
}

void fill(pb::RaftMessage& out, const PreVote& in) {
  auto& to = *out.mutable_pre_vote();
  to.set_campaign(in.campaign.value);
  to.set_round(in.round);
  to.set_last(in.last.value);
  to.set_last_term(in.last_term.value);
}
void fill(pb::RaftMessage& out, const PreVoteReply& in) {
  auto& to = *out.mutable_pre_vote_reply();
  to.set_campaign(in.campaign.value);
  to.set_round(in.round);
  to.set_granted(in.granted);
}
void fill(pb::RaftMessage& out, const Vote& in) {
  auto& to = *out.mutable_vote();
  to.set_last(in.last.value);
  to.set_last_term(in.last_term.value);
  to.set_from_leader(in.from_leader.value);
  to.set_from_term(in.from_term.value);
}
void fill(pb::RaftMessage& out, const VoteReply& in) {
  out.mutable_vote_reply()->set_granted(in.granted);
}
void fill(pb::RaftMessage& out, const Append& in) {
  auto& to = *out.mutable_append();
  to.set_prev(in.prev.value);
  to.set_prev_term(in.prev_term.value);
  Index before = in.prev;
  for (const Entry& entry : in.entries) {
    CHECK(entry.index == before.next());
    before = entry.index;
    to.add_entry_terms(entry.term.value);
    to.add_entry_types(static_cast<std::uint32_t>(entry.type));
  }
  to.set_commit(in.commit.value);
  to.set_round(in.round);
  to.set_held_by_all(in.held_by_all.value);
}
void fill(pb::RaftMessage& out, const AppendReply& in) {
  auto& to = *out.mutable_append_reply();
  to.set_success(in.success);
  to.set_match(in.match.value);
  to.set_prev(in.prev.value);
  to.set_hint(in.hint.value);
  to.set_hint_term(in.hint_term.value);
  to.set_round(in.round);
  to.set_durable_last(in.durable_last.value);
  to.set_disk(static_cast<std::uint32_t>(in.disk));
  to.set_quarantined(in.quarantined);
}
void fill(pb::RaftMessage& out, const Heartbeat& in) {
  auto& to = *out.mutable_heartbeat();
  to.set_round(in.round);
  to.set_commit(in.commit.value);
  to.set_held_by_all(in.held_by_all.value);
}
void fill(pb::RaftMessage& out, const HeartbeatReply& in) {
  auto& to = *out.mutable_heartbeat_reply();
  to.set_round(in.round);
  to.set_durable_last(in.durable_last.value);
  to.set_disk(static_cast<std::uint32_t>(in.disk));
  to.set_quarantined(in.quarantined);
  to.set_check(in.check.value);
  to.set_digest(in.digest);
}
void fill(pb::RaftMessage& out, const ReadIndex& in) {
  auto& to = *out.mutable_read_index();
  to.set_sequence(in.sequence);
  to.set_mode(in.mode == ReadMode::Consistent ? 1 : 0);
}
void fill(pb::RaftMessage& out, const ReadIndexReply& in) {
  auto& to = *out.mutable_read_index_reply();
  to.set_sequence(in.sequence);
  to.set_granted(in.granted);
  to.set_index(in.index.value);
}
void fill(pb::RaftMessage& out, const TimeoutNow& in) {
  auto& to = *out.mutable_timeout_now();
  to.set_last(in.last.value);
  to.set_last_term(in.last_term.value);
}
void fill(pb::RaftMessage& out, const SnapshotOffer& in) {
  auto& to = *out.mutable_snapshot_offer();
  to.set_round(in.round);
  auto& snapshot = *to.mutable_snapshot();
  snapshot.set_id(in.snapshot.id);
  snapshot.set_index(in.snapshot.index.value);
  snapshot.set_term(in.snapshot.term.value);
  snapshot.set_manifest_hash(in.snapshot.manifest_hash);
}
void fill(pb::RaftMessage& out, const SnapshotDone& in) {
  auto& to = *out.mutable_snapshot_done();
  to.set_id(in.id);
  to.set_installed(in.installed);
  to.set_index(in.index.value);
  to.set_term(in.term.value);
}

// The frame as pieces: its fields, then data, and in front the checksum over both.
class FrameWriter {
 public:
  FrameWriter(std::uint64_t sequence, pb::RaftFrame& frame) {
    frame.set_sequence(sequence);
    std::string head(kCrcField, '\0');
    frame.AppendToString(&head);
    pieces_.push_back({std::move(head), nullptr});
  }

  void add(const std::shared_ptr<const std::string>& data) {
    static const std::string kNone;
    const std::string& bytes = data ? *data : kNone;
    std::string& open = open_piece();
    open.push_back(kDataTag);
    for (std::size_t left = bytes.size();; left >>= 7) {
      open.push_back(static_cast<char>(left < 0x80 ? left : (left & 0x7f) | 0x80));
      if (left < 0x80) break;
    }
    if (bytes.size() < kSharedFrom) {
      open += bytes;
    } else {
      pieces_.push_back({{}, data});
    }
  }

  FramePieces finish() {
    std::string& head = pieces_.front().bytes;
    std::uint32_t crc = crc32c(std::string_view(head).substr(kCrcField));
    for (std::size_t i = 1; i < pieces_.size(); ++i) crc = crc32c(pieces_[i].view(), crc);
    head[0] = kCrcTag;
    for (std::size_t i = 0; i < 4; ++i) head[i + 1] = static_cast<char>(crc >> (8 * i));
    return std::move(pieces_);
  }

 private:
  std::string& open_piece() {
    if (pieces_.back().shared) pieces_.emplace_back();
    return pieces_.back().bytes;
  }
  FramePieces pieces_;
};

// ---- reading ------------------------------------------------------------------------------

// Protobuf's view of bytes in several pieces.
class PiecesInput final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit PiecesInput(std::span<const std::string_view> pieces) : pieces_(pieces) {}
  bool Next(const void** data, int* size) override {
    while (piece_ < pieces_.size() && offset_ == pieces_[piece_].size()) {
      ++piece_;
      offset_ = 0;
    }
    if (piece_ == pieces_.size()) return false;
    const std::string_view rest = pieces_[piece_].substr(offset_);
    *data = rest.data();
    *size = static_cast<int>(rest.size());
    offset_ += rest.size();
    read_ += rest.size();
    return true;
  }
  void BackUp(int count) override {
    offset_ -= static_cast<std::size_t>(count);
    read_ -= static_cast<std::size_t>(count);
  }
  bool Skip(int count) override {
    const void* data = nullptr;
    int size = 0;
    while (count > 0 && Next(&data, &size)) {
      if (size > count) BackUp(size - count);
      count -= std::min(size, count);
    }
    return count == 0;
  }
  int64_t ByteCount() const override { return static_cast<int64_t>(read_); }

 private:
  std::span<const std::string_view> pieces_;
  std::size_t piece_ = 0;
  std::size_t offset_ = 0;
  std::size_t read_ = 0;
};

bool crc_fits(std::span<const std::string_view> pieces) {
  std::uint32_t stored = 0;
  std::uint32_t crc = 0;
  std::size_t at = 0;
  for (std::string_view piece : pieces) {
    for (; at < kCrcField && !piece.empty(); piece.remove_prefix(1), ++at) {
      if (at == 0 && piece.front() != kCrcTag) return false;
      if (at > 0) {
        const auto byte = static_cast<unsigned char>(piece.front());
        stored |= static_cast<std::uint32_t>(byte) << (8 * (at - 1));
      }
    }
    crc = crc32c(piece, crc);
  }
  return at == kCrcField && crc == stored;
}

Error corrupt(std::string what) {
  return fail(ErrorCode::Corrupt, "frame: " + std::move(what));
}

std::shared_ptr<const std::string> take_data(pb::RaftFrame& frame, int at) {
  return std::make_shared<const std::string>(std::move(*frame.mutable_data(at)));
}

DiskState disk_state(std::uint32_t value) {
  // One that is not known yet is bad news.
  return value == 0 || value == 1 || value == 3 ? static_cast<DiskState>(value)
                                                : DiskState::Stalled;
}

Result<Append> read_append(const pb::RaftAppend& in, pb::RaftFrame& frame, int& next_data) {
  Append out;
  out.prev = Index(in.prev());
  out.prev_term = Term(in.prev_term());
  out.commit = Index(in.commit());
  out.round = in.round();
  out.held_by_all = Index(in.held_by_all());
  const int count = in.entry_terms_size();
  if (in.entry_types_size() != count) return corrupt("entries: types and terms differ in number");
  if (count > frame.data_size() - next_data) return corrupt("entries: data is missing");
  const auto room = std::numeric_limits<std::uint64_t>::max() - in.prev();
  if (static_cast<std::uint64_t>(count) > room) return corrupt("prev: too large");
  out.entries.reserve(static_cast<std::size_t>(count));
  Index index = out.prev;
  Term term = out.prev_term;
  for (int i = 0; i < count; ++i) {
    index = index.next();
    if (Term(in.entry_terms(i)) < term) return corrupt("entries: a term falls");
    term = Term(in.entry_terms(i));
    if (in.entry_types(i) > std::numeric_limits<std::uint8_t>::max()) {
      return corrupt("entries: unknown type");
    }
    out.entries.push_back(
        {term, index, static_cast<EntryType>(in.entry_types(i)), take_data(frame, next_data++)});
  }
  return out;
}

AppendReply read(const pb::RaftAppendReply& in) {
  AppendReply out;
  out.success = in.success();
  out.match = Index(in.match());
  out.prev = Index(in.prev());
  out.hint = Index(in.hint());
  out.hint_term = Term(in.hint_term());
  out.round = in.round();
  out.durable_last = Index(in.durable_last());
  out.disk = disk_state(in.disk());
  out.quarantined = in.quarantined();
  return out;
}

HeartbeatReply read(const pb::RaftHeartbeatReply& in) {
  HeartbeatReply out;
  out.round = in.round();
  out.durable_last = Index(in.durable_last());
  out.disk = disk_state(in.disk());
  out.quarantined = in.quarantined();
  out.check = Index(in.check());
  out.digest = in.digest();
  return out;
}

SnapshotOffer read(pb::RaftSnapshotOffer& in) {
  pb::RaftSnapshotMeta& snapshot = *in.mutable_snapshot();
  SnapshotOffer out;
  out.round = in.round();
  out.snapshot.id = std::move(*snapshot.mutable_id());
  out.snapshot.index = Index(snapshot.index());
  out.snapshot.term = Term(snapshot.term());
  out.snapshot.manifest_hash = std::move(*snapshot.mutable_manifest_hash());
  return out;
}

Result<MessageBody> read_body(pb::RaftMessage& in, pb::RaftFrame& frame, int& next_data) {
  switch (in.body_case()) {
    case pb::RaftMessage::kPreVote: {
      const auto& from = in.pre_vote();
      return PreVote{Term(from.campaign()), from.round(), Index(from.last()),
                     Term(from.last_term())};
    }
    case pb::RaftMessage::kPreVoteReply: {
      const auto& from = in.pre_vote_reply();
      return PreVoteReply{Term(from.campaign()), from.round(), from.granted()};
    }
    case pb::RaftMessage::kVote: {
      const auto& from = in.vote();
      return Vote{Index(from.last()), Term(from.last_term()), NodeId(from.from_leader()),
                  Term(from.from_term())};
    }
    case pb::RaftMessage::kVoteReply:
      return VoteReply{in.vote_reply().granted()};
    case pb::RaftMessage::kAppend: {
      auto append = read_append(in.append(), frame, next_data);
      if (!append) return append.error();
      return std::move(*append);
    }
    case pb::RaftMessage::kAppendReply:
      return read(in.append_reply());
    case pb::RaftMessage::kHeartbeat: {
      const auto& from = in.heartbeat();
      return Heartbeat{from.round(), Index(from.commit()), Index(from.held_by_all())};
    }
    case pb::RaftMessage::kHeartbeatReply:
      return read(in.heartbeat_reply());
    case pb::RaftMessage::kReadIndex: {
      const auto mode = in.read_index().mode() == 0 ? ReadMode::Default : ReadMode::Consistent;
      return ReadIndex{in.read_index().sequence(), mode};
    }
    case pb::RaftMessage::kReadIndexReply: {
      const auto& from = in.read_index_reply();
      return ReadIndexReply{from.sequence(), from.granted(), Index(from.index())};
    }
    case pb::RaftMessage::kTimeoutNow:
      return TimeoutNow{Index(in.timeout_now().last()), Term(in.timeout_now().last_term())};
    case pb::RaftMessage::kSnapshotOffer:
      return read(*in.mutable_snapshot_offer());
    case pb::RaftMessage::kSnapshotDone: {
      auto& from = *in.mutable_snapshot_done();
      return SnapshotDone{std::move(*from.mutable_id()), from.installed(), Index(from.index()),
                          Term(from.term())};
    }
    case pb::RaftMessage::BODY_NOT_SET:
      break;
  }
  return corrupt("a message of a kind not known here");
}

Hello read(pb::RaftHello& in) {
  Hello out;
  out.protocol_min = in.protocol_min();
  out.protocol_max = in.protocol_max();
  out.self.cluster = std::move(*in.mutable_cluster());
  out.self.recovery_epoch = in.recovery_epoch();
  out.self.node = NodeId(in.from());
  out.self.incarnation = in.incarnation();
  out.to = NodeId(in.to());
  out.address = std::move(*in.mutable_address());
  out.refused = std::move(*in.mutable_refused());
  return out;
}

// Everything of a frame but its messages.
Result<void> read_rest(pb::RaftFrame& in, int& next_data, Frame& out) {
  out.sequence = in.sequence();
  if (in.has_hello()) out.hello = read(*in.mutable_hello());
  if (in.has_snapshot_request()) {
    auto& from = *in.mutable_snapshot_request();
    out.snapshot_request =
        SnapshotRequest{std::move(*from.mutable_id()), std::move(*from.mutable_file()),
                        from.offset(), from.max_bytes()};
  }
  if (in.has_snapshot_chunk()) {
    if (next_data == in.data_size()) return corrupt("snapshot_chunk: data is missing");
    auto& from = *in.mutable_snapshot_chunk();
    out.snapshot_chunk =
        SnapshotChunk{from.size(), take_data(in, next_data++), std::move(*from.mutable_error())};
  }
  if (next_data != in.data_size()) return corrupt("data: more than there are entries");
  return {};
}

}  // namespace

std::size_t wire_size(const Message& message) {
  std::size_t size = kMessageOverhead;
  if (const auto* append = std::get_if<Append>(&message.body)) {
    for (const Entry& entry : append->entries) {
      size += kEntryOverhead + (entry.data ? entry.data->size() : 0);
    }
  } else if (const auto* offer = std::get_if<SnapshotOffer>(&message.body)) {
    size += offer->snapshot.id.size() + offer->snapshot.manifest_hash.size();
  } else if (const auto* done = std::get_if<SnapshotDone>(&message.body)) {
    size += done->id.size();
  }
  return size;
}

FramePieces encode_hello(std::uint64_t sequence, const Hello& hello) {
  pb::RaftFrame frame;
  pb::RaftHello& out = *frame.mutable_hello();
  out.set_protocol_min(hello.protocol_min);
  out.set_protocol_max(hello.protocol_max);
  out.set_cluster(hello.self.cluster);
  out.set_recovery_epoch(hello.self.recovery_epoch);
  out.set_from(hello.self.node.value);
  out.set_to(hello.to.value);
  out.set_incarnation(hello.self.incarnation);
  out.set_address(hello.address);
  out.set_refused(hello.refused);
  return FrameWriter(sequence, frame).finish();
}

FramePieces encode_messages(std::uint64_t sequence, std::span<const Message> messages) {
  pb::RaftFrame frame;
  std::size_t size = kFrameOverhead;
  for (const Message& message : messages) {
    size += wire_size(message);
    pb::RaftMessage& out = next_message(frame, message);
    std::visit([&](const auto& body) { fill(out, body); }, message.body);
  }
  CHECK(messages.size() == 1 || size <= kMaxFrameBytes);
  FrameWriter writer(sequence, frame);
  for (const Message& message : messages) {
    if (const auto* append = std::get_if<Append>(&message.body)) {
      for (const Entry& entry : append->entries) writer.add(entry.data);
    }
  }
  return writer.finish();
}

FramePieces encode_snapshot_request(std::uint64_t sequence, const SnapshotRequest& request) {
  pb::RaftFrame frame;
  pb::RaftSnapshotRequest& out = *frame.mutable_snapshot_request();
  out.set_id(request.id);
  out.set_file(request.file);
  out.set_offset(request.offset);
  out.set_max_bytes(request.max_bytes);
  return FrameWriter(sequence, frame).finish();
}

FramePieces encode_snapshot_chunk(std::uint64_t sequence, SnapshotChunk chunk) {
  pb::RaftFrame frame;
  frame.mutable_snapshot_chunk()->set_size(chunk.file_size);
  frame.mutable_snapshot_chunk()->set_error(chunk.error);
  FrameWriter writer(sequence, frame);
  writer.add(chunk.data);
  return writer.finish();
}

Result<Frame> decode_frame(std::span<const std::string_view> pieces, const StreamEnds& ends) {
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  if (size > kMaxFrameBytes) {
    return fail(ErrorCode::ResourceExhausted, "frame: " + std::to_string(size) + " bytes");
  }
  if (!crc_fits(pieces)) return corrupt("the checksum does not fit");
  PiecesInput input(pieces);
  pb::RaftFrame in;
  if (!in.ParseFromZeroCopyStream(&input)) return corrupt("not a message");
  Frame out;
  int next_data = 0;
  out.messages.reserve(static_cast<std::size_t>(in.messages_size()));
  for (pb::RaftMessage& message : *in.mutable_messages()) {
    auto body = read_body(message, in, next_data);
    if (!body) return body.error();
    Message& added = out.messages.emplace_back();
    added.from = ends.from;
    added.to = ends.to;
    added.from_incarnation = ends.from_incarnation;
    added.to_incarnation = message.to_incarnation();
    added.term = Term(message.term());
    added.body = std::move(*body);
  }
  if (auto done = read_rest(in, next_data, out); !done) return done.error();
  return out;
}

}  // namespace fyr::raft
