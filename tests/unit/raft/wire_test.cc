// Messages as bytes: nothing is lost on the way, and no bytes of a peer do harm.
#include "raft/wire.h"

#include <gtest/gtest.h>

#include <set>

#include "base/bytes.h"
#include "base/random.h"

namespace fyr::raft {
namespace {

const StreamEnds kEnds{NodeId(7), NodeId(9), 3};

std::string joined(const FramePieces& pieces) {
  std::string out;
  for (const FramePiece& piece : pieces) out += piece.view();
  return out;
}

Result<Frame> decode(std::string_view bytes) {
  return decode_frame(std::span(&bytes, 1), kEnds);
}

// Through bytes and back, in pieces of `step` bytes.
Result<Frame> through(const FramePieces& pieces, std::size_t step) {
  const std::string bytes = joined(pieces);
  std::vector<std::string_view> views;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    views.push_back(std::string_view(bytes).substr(at, step));
  }
  return decode_frame(views, kEnds);
}

Message message(MessageBody body) {
  Message out;
  out.from = kEnds.from;
  out.to = kEnds.to;
  out.from_incarnation = kEnds.from_incarnation;
  out.to_incarnation = 11;
  out.term = Term(40);
  out.body = std::move(body);
  return out;
}

Entry entry(std::uint64_t term, std::uint64_t index, std::string data) {
  return {Term(term), Index(index), EntryType::App,
          std::make_shared<const std::string>(std::move(data))};
}

Append append_of(std::vector<Entry> entries) {
  return {Index(100), Term(5), std::move(entries), Index(90), 17, Index(80)};
}

// One of each, every field different from its default and from the others.
std::vector<Message> one_of_each() {
  Entry config = entry(8, 103, "members");
  config.type = EntryType::Config;
  std::vector<Entry> entries = {entry(5, 101, "a"), entry(7, 102, ""), config,
                                entry(8, 104, std::string(5'000, 'x'))};
  return {
      message(PreVote{Term(41), 2, Index(3), Term(4)}),
      message(PreVoteReply{Term(41), 2, true}),
      message(Vote{Index(3), Term(4), NodeId(~0ull), Term(39)}),
      message(VoteReply{true}),
      message(append_of(std::move(entries))),
      message(AppendReply{true, Index(1), Index(2), Index(3), Term(4), 5, Index(6), DiskState::Slow,
                          true}),
      message(Heartbeat{1, Index(2), Index(3)}),
      message(HeartbeatReply{1, Index(2), DiskState::Stalled, true, Index(3), 4}),
      message(ReadIndex{1, ReadMode::Default}),
      message(ReadIndex{2, ReadMode::Consistent}),
      message(ReadIndexReply{1, true, Index(2)}),
      message(TimeoutNow{Index(1), Term(2)}),
      message(SnapshotOffer{{"id", Index(1), Term(2), std::string("\0hash", 5)}, 3}),
      message(SnapshotDone{"id", true, Index(1), Term(2)}),
  };
}

// Compares by encoding again: equal values have equal bytes.
TEST(RaftWire, EveryMessageComesBackAsItWas) {
  const std::vector<Message> messages = one_of_each();
  std::set<std::size_t> kinds;
  for (const Message& sent : messages) kinds.insert(sent.body.index());
  EXPECT_EQ(kinds.size(), std::variant_size_v<MessageBody>) << "a kind is not tested";
  const std::string bytes = joined(encode_messages(6, messages));
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    const auto frame = through(encode_messages(6, messages), step);
    ASSERT_TRUE(frame) << frame.error().message;
    EXPECT_EQ(frame->sequence, 6u);
    ASSERT_EQ(frame->messages.size(), messages.size());
    EXPECT_EQ(joined(encode_messages(6, frame->messages)), bytes);
  }
}

TEST(RaftWire, TheFieldsArriveWhereTheyBelong) {
  const auto frame = through(encode_messages(1, one_of_each()), 64);
  ASSERT_TRUE(frame);
  for (const Message& got : frame->messages) {
    EXPECT_EQ(got.from, kEnds.from);
    EXPECT_EQ(got.to, kEnds.to);
    EXPECT_EQ(got.from_incarnation, kEnds.from_incarnation);
    EXPECT_EQ(got.to_incarnation, 11u);
    EXPECT_EQ(got.term, Term(40));
  }
  const auto& append = std::get<Append>(frame->messages[4].body);
  EXPECT_EQ(append.prev, Index(100));
  EXPECT_EQ(append.prev_term, Term(5));
  EXPECT_EQ(append.commit, Index(90));
  EXPECT_EQ(append.round, 17u);
  EXPECT_EQ(append.held_by_all, Index(80));
  ASSERT_EQ(append.entries.size(), 4u);
  EXPECT_EQ(append.entries[1].index, Index(102));
  EXPECT_EQ(append.entries[1].term, Term(7));
  EXPECT_EQ(*append.entries[1].data, "");
  EXPECT_EQ(append.entries[2].type, EntryType::Config);
  EXPECT_EQ(*append.entries[2].data, "members");
  EXPECT_EQ(*append.entries[3].data, std::string(5'000, 'x'));
  const auto& reply = std::get<AppendReply>(frame->messages[5].body);
  EXPECT_TRUE(reply.success);
  EXPECT_EQ(reply.match, Index(1));
  EXPECT_EQ(reply.prev, Index(2));
  EXPECT_EQ(reply.hint, Index(3));
  EXPECT_EQ(reply.hint_term, Term(4));
  EXPECT_EQ(reply.round, 5u);
  EXPECT_EQ(reply.durable_last, Index(6));
  EXPECT_EQ(reply.disk, DiskState::Slow);
  EXPECT_TRUE(reply.quarantined);
  const auto& vote = std::get<Vote>(frame->messages[2].body);
  EXPECT_EQ(vote.from_leader, NodeId(~0ull));
  EXPECT_EQ(vote.from_term, Term(39));
  const auto& beat = std::get<HeartbeatReply>(frame->messages[7].body);
  EXPECT_EQ(beat.check, Index(3));
  EXPECT_EQ(beat.digest, 4u);
  const auto& offer = std::get<SnapshotOffer>(frame->messages[12].body);
  EXPECT_EQ(offer.snapshot, (SnapshotMeta{"id", Index(1), Term(2), std::string("\0hash", 5)}));
}

TEST(RaftWire, LargeDataIsNotCopiedOnTheWayOut) {
  const auto append = append_of({entry(5, 101, "small"), entry(5, 102, std::string(100'000, 'x')),
                                 entry(5, 103, std::string(100'000, 'y'))});
  const std::vector<Message> messages = {message(append)};
  const FramePieces pieces = encode_messages(1, messages);
  int shared = 0;
  std::size_t copied = 0;
  for (const FramePiece& piece : pieces) {
    if (piece.shared) {
      ++shared;
      EXPECT_TRUE(piece.shared == append.entries[1].data || piece.shared == append.entries[2].data);
    } else {
      copied += piece.bytes.size();
    }
  }
  EXPECT_EQ(shared, 2);
  EXPECT_LT(copied, 200u);
  const auto frame = through(pieces, 1'000);
  ASSERT_TRUE(frame);
  EXPECT_EQ(*std::get<Append>(frame->messages[0].body).entries[2].data, std::string(100'000, 'y'));
}

TEST(RaftWire, AMessageTakesNoMoreThanItsWireSize) {
  for (const Message& one : one_of_each()) {
    const auto bytes = joined(encode_messages(~0ull, std::span(&one, 1)));
    EXPECT_LE(bytes.size(), wire_size(one) + 64) << one.body.index();
  }
}

TEST(RaftWire, AHelloComesBackAsItWas) {
  Hello hello;
  hello.protocol_min = 2;
  hello.protocol_max = 5;
  hello.self = {"00112233445566778899aabbccddeeff", 4, NodeId(77), 12};
  hello.to = NodeId(78);
  hello.address = "10.0.0.1:8300";
  hello.refused = "wrong_cluster";
  const auto frame = through(encode_hello(1, hello), 3);
  ASSERT_TRUE(frame) << frame.error().message;
  ASSERT_TRUE(frame->hello);
  EXPECT_EQ(frame->hello->protocol_min, 2u);
  EXPECT_EQ(frame->hello->protocol_max, 5u);
  EXPECT_EQ(frame->hello->self.cluster, hello.self.cluster);
  EXPECT_EQ(frame->hello->self.recovery_epoch, 4u);
  EXPECT_EQ(frame->hello->self.node, NodeId(77));
  EXPECT_EQ(frame->hello->self.incarnation, 12u);
  EXPECT_EQ(frame->hello->to, NodeId(78));
  EXPECT_EQ(frame->hello->address, "10.0.0.1:8300");
  EXPECT_EQ(frame->hello->refused, "wrong_cluster");
}

TEST(RaftWire, PartsOfSnapshotsComeBackAsTheyWere) {
  const auto asked = through(encode_snapshot_request(2, {"id", "000012.sst", 1 << 20, 4096}), 5);
  ASSERT_TRUE(asked && asked->snapshot_request);
  EXPECT_EQ(asked->snapshot_request->id, "id");
  EXPECT_EQ(asked->snapshot_request->file, "000012.sst");
  EXPECT_EQ(asked->snapshot_request->offset, 1u << 20);
  EXPECT_EQ(asked->snapshot_request->max_bytes, 4096u);
  const auto data = std::make_shared<const std::string>(1 << 20, 'z');
  const auto chunk = through(encode_snapshot_chunk(3, {5u << 20, data, "why"}), 1 << 16);
  ASSERT_TRUE(chunk && chunk->snapshot_chunk);
  EXPECT_EQ(chunk->snapshot_chunk->file_size, 5u << 20);
  EXPECT_EQ(*chunk->snapshot_chunk->data, *data);
  EXPECT_EQ(chunk->snapshot_chunk->error, "why");
}

TEST(RaftWire, EveryChangedBitIsNoticed) {
  const std::vector<Message> messages = {message(append_of({entry(5, 101, "abc")}))};
  const std::string good = joined(encode_messages(1, messages));
  ASSERT_TRUE(decode(good));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto frame = decode(bad);
    ASSERT_FALSE(frame) << "bit " << bit;
    EXPECT_EQ(frame.error().code, ErrorCode::Corrupt);
  }
}

TEST(RaftWire, EveryCutIsNoticed) {
  const std::string good = joined(encode_messages(1, one_of_each()));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(good).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode(good + std::string(1, '\0')));
}

// With the right checksum in front: what a faulty peer could send.
std::string sealed(std::string bytes) {
  Hello hello;
  std::string out = joined(encode_hello(1, hello)).substr(0, 5);
  const auto crc = crc32c(bytes);
  for (std::size_t i = 0; i < 4; ++i) out[i + 1] = static_cast<char>(crc >> (8 * i));
  return out + bytes;
}

TEST(RaftWire, WellSealedNonsenseIsAnErrorOrAFrameButNeverACrash) {
  const std::string good = joined(encode_messages(1, one_of_each())).substr(5);
  ASSERT_TRUE(decode(sealed(good)));
  Random random(7);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good;
    const auto changes = 1 + random.below(4);
    for (std::uint64_t i = 0; i < changes; ++i) {
      bad[random.below(600)] = static_cast<char>(random.below(256));
    }
    if (random.chance(0.2)) bad.resize(random.below(bad.size()));
    if (!decode(sealed(bad))) ++refused;
  }
  EXPECT_GT(refused, 1'000);
}

TEST(RaftWire, AppendsWhoseEntriesDoNotFitTogetherAreRefused) {
  // messages { append { entry_terms: 1, entry_types: 1 } } without its data.
  const std::string body = std::string("\x3a\x06\x1a\x01\x01\x22\x01\x01", 8);
  const std::string entry_without_data = "\x22" + std::string(1, char(body.size())) + body;
  const std::string data = std::string("\x7a\x01x", 3);
  EXPECT_TRUE(decode(sealed(entry_without_data + data)));
  EXPECT_FALSE(decode(sealed(entry_without_data))) << "no data";
  EXPECT_FALSE(decode(sealed(entry_without_data + data + data))) << "too much data";
  const std::string no_type = std::string("\x22\x05\x3a\x03\x1a\x01\x01", 7);
  EXPECT_FALSE(decode(sealed(no_type + data)));
  const std::string falling = std::string("\x22\x0a\x3a\x08\x1a\x02\x02\x01\x22\x02\x01\x01", 12);
  EXPECT_FALSE(decode(sealed(falling + data + data)));
  const std::string nothing = std::string("\x22\x02\x08\x01", 4);
  EXPECT_FALSE(decode(sealed(nothing))) << "a message without body";
}

TEST(RaftWire, AFrameAboveTheLimitIsRefusedUnread) {
  const std::string large(kMaxFrameBytes + 1, 'x');
  EXPECT_EQ(decode(large).error().code, ErrorCode::ResourceExhausted);
}

}  // namespace
}  // namespace fyr::raft
