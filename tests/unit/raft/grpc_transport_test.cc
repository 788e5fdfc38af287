// Transports that talk to each other over the loopback interface.
#include "raft/grpc_transport.h"

#include <arpa/inet.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "base/metrics.h"
#include "raft/wire.h"

namespace fyr::raft {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

GrpcTransportOptions fast() {
  GrpcTransportOptions out;
  out.reconnect_min = std::chrono::milliseconds(5);
  out.reconnect_max = std::chrono::milliseconds(20);
  out.refused_wait = std::chrono::milliseconds(30);
  out.handshake_wait = std::chrono::milliseconds(500);
  out.snapshot_bytes_per_second = 1u << 30;
  return out;
}

// A transport with its listener, and everything it was told.
class Endpoint {
 public:
  explicit Endpoint(PeerIdentity self, GrpcTransportOptions options = fast(), int port = 0)
      : self_(std::move(self)), transport_(GrpcTransport::make(options)) {
    listen(port);
    Transport::Receiver receiver;
    receiver.messages = [this](std::vector<Message> got) {
      if (on_message) on_message();
      std::lock_guard lock(mutex_);
      for (Message& message : got) messages_.push_back(std::move(message));
      changed_.notify_all();
    };
    receiver.link = [this](NodeId peer, LinkState state) {
      std::lock_guard lock(mutex_);
      links_.emplace_back(peer, state);
      changed_.notify_all();
    };
    receiver.adopted = [this](const std::string& cluster, std::uint32_t epoch) {
      {
        std::lock_guard lock(mutex_);
        adopted_.push_back(cluster + "/" + std::to_string(epoch));
        changed_.notify_all();
      }
      if (adopts) transport_->adopt(cluster, epoch);
    };
    transport_->start(self_, address(), receiver);
  }
  ~Endpoint() { close(); }

  void close() {
    transport_->stop();
    stop_listening();
  }
  void stop_listening() {
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }
  void listen(int port) {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&transport_->service());
    server_ = builder.BuildAndStart();
    ASSERT_TRUE(server_);
  }

  Member member() const {
    Member out;
    out.id = self_.node;
    out.address = address();
    return out;
  }
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  GrpcTransport& operator*() { return *transport_; }
  GrpcTransport* operator->() { return transport_.get(); }

  // All messages once there are `count`.
  std::vector<Message> await(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return messages_.size() >= count; }))
        << messages_.size() << " of " << count;
    return messages_;
  }
  // The next change of a peer that was not seen yet.
  LinkState await_link() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return links_.size() > seen_links_; }));
    return links_.size() > seen_links_ ? links_[seen_links_++].second : LinkState::Down;
  }
  // Whatever it went through before.
  void await_up() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] {
      while (seen_links_ < links_.size()) {
        if (links_[seen_links_++].second == LinkState::Up) return true;
      }
      return false;
    }));
  }
  std::string await_adopted() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return !adopted_.empty(); }));
    return adopted_.empty() ? "" : adopted_.front();
  }
  std::size_t changes() {
    std::lock_guard lock(mutex_);
    return links_.size();
  }

  bool adopts = false;
  std::function<void()> on_message;

 private:
  const PeerIdentity self_;
  std::shared_ptr<GrpcTransport> transport_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Message> messages_;
  std::vector<std::pair<NodeId, LinkState>> links_;
  std::size_t seen_links_ = 0;
  std::vector<std::string> adopted_;
};

PeerIdentity node(std::uint64_t id, std::uint64_t incarnation = 1) {
  return {"cluster", 0, NodeId(id), incarnation};
}

Message message(std::uint64_t from, std::uint64_t to, MessageBody body) {
  Message out;
  out.from = NodeId(from);
  out.to = NodeId(to);
  out.term = Term(4);
  out.body = std::move(body);
  return out;
}

Message append(std::uint64_t from, std::uint64_t to, std::uint64_t index, std::size_t bytes) {
  Entry entry{Term(1), Index(index), EntryType::App, std::make_shared<std::string>(bytes, 'x')};
  return message(from, to, Append{Index(index - 1), Term(1), {entry}, {}, 1, {}});
}

double refusals(const std::string& word) {
  return static_cast<double>(
      metrics::counter("fyr.raft.handshake_refused", {{"reason", word}}).value());
}

template <class F>
bool eventually(F&& f) {
  const Instant limit = now() + kPatience;
  while (!f()) {
    if (now() > limit) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(GrpcTransport, CarriesMessagesBothWays) {
  Endpoint a(node(1, 7)), b(node(2, 9));
  a->set_peers({a.member(), b.member()});
  b->set_peers({a.member(), b.member()});
  EXPECT_EQ(a.await_link(), LinkState::Up);
  EXPECT_EQ(b.await_link(), LinkState::Up);
  a->send({message(1, 2, Heartbeat{3, Index(2), {}}), append(1, 2, 5, 4u << 20)});
  b->send({message(2, 1, VoteReply{true})});
  const auto at_b = b.await(2);
  const auto at_a = a.await(1);
  for (const Message& got : at_b) {
    EXPECT_EQ(got.from, NodeId(1));
    EXPECT_EQ(got.to, NodeId(2));
    EXPECT_EQ(got.from_incarnation, 7u);
    EXPECT_EQ(got.term, Term(4));
  }
  ASSERT_EQ(at_a.size(), 1u);
  EXPECT_EQ(at_a[0].from_incarnation, 9u);
  EXPECT_TRUE(std::get<VoteReply>(at_a[0].body).granted);
}

TEST(GrpcTransport, KeepsTheOrderOfDataAndLosesNothingThatFits) {
  Endpoint a(node(1)), b(node(2));
  a->set_peers({b.member()});
  ASSERT_EQ(a.await_link(), LinkState::Up);
  constexpr std::uint64_t kCount = 20'000;
  for (std::uint64_t i = 1; i <= kCount; ++i) a->send({append(1, 2, i, i % 1'000)});
  const auto got = b.await(kCount);
  ASSERT_EQ(got.size(), kCount);
  for (std::uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(std::get<Append>(got[i].body).prev, Index(i));
    ASSERT_EQ(std::get<Append>(got[i].body).entries[0].data->size(), (i + 1) % 1'000);
  }
}

TEST(GrpcTransport, AnswersAPeerThatIsInNoConfigurationYet) {
  Endpoint a(node(1)), b(node(2));
  a->set_peers({b.member()});
  ASSERT_EQ(b.await_link(), LinkState::Up) << "it has dialled back";
  b->send({message(2, 1, VoteReply{true})});
  EXPECT_EQ(a.await(1).size(), 1u);
}

TEST(GrpcTransport, APeerOfAnotherClusterIsRefusedByName) {
  Endpoint a(node(1)), b({"other", 0, NodeId(2), 1});
  const double before = refusals("wrong_cluster");
  a->set_peers({b.member()});
  EXPECT_TRUE(eventually([&] { return refusals("wrong_cluster") > before; }));
  a->send({message(1, 2, VoteReply{true})});
  EXPECT_EQ(a.changes(), 0u);
}

TEST(GrpcTransport, AfterARefusalItWaits) {
  GrpcTransportOptions slow = fast();
  slow.refused_wait = std::chrono::hours(1);
  Endpoint a(node(1), slow), b({"cluster", 5, NodeId(2), 1});
  const double before = refusals("recovery_epoch");
  a->set_peers({b.member()});
  EXPECT_TRUE(eventually([&] { return refusals("recovery_epoch") >= before + 2; }));
  Endpoint c(node(3));
  a->set_peers({b.member(), c.member()});
  EXPECT_EQ(a.await_link(), LinkState::Up) << "that one came later and is connected by now";
  EXPECT_EQ(refusals("recovery_epoch"), before + 2) << "one for each stream, not more";
}

TEST(GrpcTransport, AnotherNodeBehindTheAddressIsRefused) {
  Endpoint a(node(1)), b(node(2));
  Member wrong = b.member();
  wrong.id = NodeId(3);
  const double before = refusals("wrong_node");
  a->set_peers({wrong});
  EXPECT_TRUE(eventually([&] { return refusals("wrong_node") > before; }));
}

TEST(GrpcTransport, ARolledBackDiskIsRefused) {
  Endpoint a(node(1));
  {
    Endpoint b(node(2, 5));
    b->set_peers({a.member()});
    ASSERT_EQ(b.await_link(), LinkState::Up);
  }
  Endpoint rolled_back(node(2, 4));
  const double before = refusals("rolled_back_disk");
  rolled_back->set_peers({a.member()});
  EXPECT_TRUE(eventually([&] { return refusals("rolled_back_disk") > before; }));
}

TEST(GrpcTransport, ANodeWithoutClusterAdoptsThatOfItsPeer) {
  Endpoint a({"cluster", 6, NodeId(1), 1}), b({"", 0, NodeId(2), 1});
  b.adopts = true;
  a->set_peers({b.member()});
  EXPECT_EQ(b.await_adopted(), "cluster/6");
  EXPECT_EQ(a.await_link(), LinkState::Up);
  EXPECT_EQ(b.await_link(), LinkState::Up);
  b->send({message(2, 1, VoteReply{true})});
  EXPECT_EQ(a.await(1).size(), 1u);
}

TEST(GrpcTransport, APeerThatEndsIsResetAtOnceAndComesBack) {
  GrpcTransportOptions options = fast();
  options.keepalive = std::chrono::hours(1);
  Endpoint a(node(1), options);
  int port = 0;
  {
    Endpoint b(node(2));
    port = b.port();
    a->set_peers({b.member()});
    ASSERT_EQ(a.await_link(), LinkState::Up);
  }
  EXPECT_EQ(a.await_link(), LinkState::Reset);
  Endpoint b(node(2, 2), fast(), port);
  a.await_up();  // attempts while nobody listened have failed in one way or another
  a->send({message(1, 2, VoteReply{true})});
  EXPECT_EQ(b.await(1).size(), 1u);
}

TEST(GrpcTransport, ARefusedConnectionIsAReset) {
  Endpoint a(node(1));
  Member nobody;
  nobody.id = NodeId(2);
  nobody.address = "127.0.0.1:1";
  a->set_peers({nobody});
  EXPECT_EQ(a.await_link(), LinkState::Reset);
}

// Takes connections and says nothing, ever.
class SilentListener {
 public:
  SilentListener() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    socklen_t size = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
  }
  ~SilentListener() { ::close(fd_); }
  int port = 0;

 private:
  const int fd_;
};

TEST(GrpcTransport, ASilentPeerIsGivenUpAndTriedAgain) {
  GrpcTransportOptions options = fast();
  options.handshake_wait = std::chrono::milliseconds(50);
  const SilentListener silent;
  Endpoint a(node(1), options), b(node(2));
  Member moved = b.member();
  moved.address = "127.0.0.1:" + std::to_string(silent.port);
  a->set_peers({moved});
  std::promise<void> never;
  never.get_future().wait_for(std::chrono::milliseconds(300));
  EXPECT_EQ(a.changes(), 0u) << "it was never up, and silence is no reset";
  a->set_address(NodeId(2), b.address());
  EXPECT_EQ(a.await_link(), LinkState::Up);
}

TEST(GrpcTransport, AFullQueueDropsAndSaysSo) {
  GrpcTransportOptions options = fast();
  options.data.bytes = 4u << 20;
  std::promise<void> gate;
  const auto open = gate.get_future().share();
  Endpoint a(node(1), options), b(node(2));
  b.on_message = [open] { open.wait(); };
  a->set_peers({b.member()});
  ASSERT_EQ(a.await_link(), LinkState::Up);
  std::uint64_t sent = 0;
  // Until the buffers of the kernel and of gRPC are full as well.
  while (a.changes() < 3 && sent < 500) a->send({append(1, 2, ++sent, 1u << 20)});
  EXPECT_EQ(a.await_link(), LinkState::Down);
  EXPECT_EQ(a.await_link(), LinkState::Up);
  gate.set_value();
  EXPECT_GE(b.await(3).size(), 3u);
}

TEST(GrpcTransport, ForgetsAPeerThatIsNoLongerWanted) {
  Endpoint a(node(1)), b(node(2));
  a->set_peers({b.member()});
  ASSERT_EQ(a.await_link(), LinkState::Up);
  b.close();
  a->set_peers({});
  Endpoint c(node(3));
  a->set_peers({c.member()});
  while (a.await_link() != LinkState::Up) {
  }
  a->send({message(1, 2, VoteReply{true}), message(1, 3, VoteReply{true})});
  EXPECT_EQ(c.await(1).size(), 1u);
}

// A client of the service that may say anything.
class RawStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RawStream(const std::string& address)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {
    stub_.PrepareBidiStreamingCall(&context_, "/fyr.pb.RaftRpc/Control", {}, this);
    AddHold();
    StartCall();
  }
  ~RawStream() override {
    context_.TryCancel();
    end();
  }
  // The answer; empty: the stream ended.
  std::string ask(std::string bytes) {
    if (!write(std::move(bytes))) return "";
    std::promise<bool> done;
    read_ = &done;
    StartRead(&in_);
    if (!done.get_future().get()) return "";
    std::vector<grpc::Slice> slices;
    (void)in_.Dump(&slices);
    std::string out;
    for (const auto& slice : slices) out.append(slice.begin(), slice.end());
    return out;
  }
  bool write(std::string bytes) {
    const grpc::Slice slice(bytes);
    out_ = grpc::ByteBuffer(&slice, 1);
    std::promise<bool> done;
    write_ = &done;
    StartWrite(&out_);
    return done.get_future().get();
  }
  grpc::Status end() {
    if (!ended_) {
      RemoveHold();
      status_ = done_.get_future().get();
      ended_ = true;
    }
    return status_;
  }
  void OnReadDone(bool ok) override { read_->set_value(ok); }
  void OnWriteDone(bool ok) override { write_->set_value(ok); }
  void OnDone(const grpc::Status& status) override { done_.set_value(status); }

 private:
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  grpc::ByteBuffer in_, out_;
  std::promise<bool>* read_ = nullptr;
  std::promise<bool>* write_ = nullptr;
  std::promise<grpc::Status> done_;
  grpc::Status status_;
  bool ended_ = false;
};

std::string joined(const FramePieces& pieces) {
  std::string out;
  for (const FramePiece& piece : pieces) out += piece.view();
  return out;
}

std::string hello_bytes(std::uint64_t from, std::uint64_t to) {
  Hello hello;
  hello.self = node(from);
  hello.to = NodeId(to);
  return joined(encode_hello(1, hello));
}

// The word of the refusal in an answer.
std::string refused(const std::string& answer) {
  const std::string_view view = answer;
  const auto frame = decode_frame(std::span(&view, 1), {});
  EXPECT_TRUE(frame && frame->hello) << "no answer";
  return frame && frame->hello ? frame->hello->refused : "";
}

TEST(GrpcTransport, BadFramesEndTheStreamAndThenPauseThePeer) {
  Endpoint a(node(1));
  const auto before = metrics::counter("fyr.raft.bad_frames").value();
  const Message vote = message(2, 1, VoteReply{true});
  std::string changed = joined(encode_messages(2, std::span(&vote, 1)));
  changed.back() = static_cast<char>(changed.back() ^ 1);
  const std::string twice = joined(encode_messages(3, std::span(&vote, 1)));
  for (const std::string& bad : {changed, twice, std::string(kMaxFrameBytes + 1, 'x')}) {
    RawStream stream(a.address());
    ASSERT_EQ(refused(stream.ask(hello_bytes(2, 1))), "");
    EXPECT_EQ(stream.ask(bad), "");
    EXPECT_EQ(stream.end().error_code(), grpc::StatusCode::DATA_LOSS);
  }
  EXPECT_EQ(metrics::counter("fyr.raft.bad_frames").value(), before + 3);
  RawStream paused(a.address());
  EXPECT_EQ(refused(paused.ask(hello_bytes(2, 1))), "paused");
  RawStream other(a.address());
  EXPECT_EQ(refused(other.ask(hello_bytes(3, 1))), "");
}

TEST(GrpcTransport, AStreamWithoutHandshakeEnds) {
  Endpoint a(node(1));
  RawStream first_a_message(a.address());
  const Message vote = message(2, 1, VoteReply{true});
  EXPECT_EQ(first_a_message.ask(joined(encode_messages(1, std::span(&vote, 1)))), "");
  EXPECT_EQ(first_a_message.end().error_code(), grpc::StatusCode::DATA_LOSS);
  RawStream silent(a.address());
  EXPECT_EQ(silent.end().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(GrpcTransport, ANewStreamOfAPeerReplacesItsOldOne) {
  Endpoint a(node(1));
  RawStream old(a.address());
  ASSERT_EQ(refused(old.ask(hello_bytes(2, 1))), "");
  RawStream fresh(a.address());
  ASSERT_EQ(refused(fresh.ask(hello_bytes(2, 1))), "");
  EXPECT_EQ(old.end().error_code(), grpc::StatusCode::ABORTED);
}

TEST(GrpcTransport, StreamsHaveALimit) {
  GrpcTransportOptions few = fast();
  few.max_inbound = 4;
  few.handshake_wait = std::chrono::hours(1);
  Endpoint a(node(1), few);
  std::vector<std::unique_ptr<RawStream>> streams;
  for (std::uint64_t i = 0; i < 4; ++i) {
    streams.push_back(std::make_unique<RawStream>(a.address()));
    ASSERT_EQ(refused(streams.back()->ask(hello_bytes(2 + i, 1))), "");
  }
  RawStream one_more(a.address());
  EXPECT_EQ(one_more.ask(hello_bytes(9, 1)), "");
  EXPECT_EQ(one_more.end().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// ---- snapshots ----------------------------------------------------------------------------

// A snapshot with one file of some bytes; can be told to fail.
class Source final : public SnapshotSource {
 public:
  explicit Source(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<Part> read(const std::string& id, const std::string& file, std::uint64_t offset,
                    std::size_t max_bytes) override {
    ++reads;
    if (on_read) on_read();
    if (id != "snap") return fail(ErrorCode::NotFound, "no such snapshot");
    if (file.empty()) return Part{"manifest", 8};
    return Part{bytes_.substr(offset, max_bytes), bytes_.size()};
  }
  std::atomic<int> reads{0};
  std::function<void()> on_read;

 private:
  const std::string bytes_;
};

class Sink final : public SnapshotSink {
 public:
  Result<std::optional<Part>> next() override {
    if (manifest.empty()) return std::optional<Part>({"", 0, 1u << 20});
    if (size && bytes.size() == *size) return std::optional<Part>();
    return std::optional<Part>({"file", bytes.size(), 100'000});
  }
  Result<void> put(const Part& part, SnapshotSource::Part got) override {
    if (part.file.empty()) {
      manifest = got.bytes;
      return {};
    }
    if (spoil-- > 0) return fail(ErrorCode::Corrupt, "chunk");
    EXPECT_EQ(part.offset, bytes.size());
    bytes += got.bytes;
    size = got.file_size;
    return {};
  }
  std::string manifest, bytes;
  std::optional<std::uint64_t> size;
  int spoil = 0;
};

class SnapshotTransfer : public ::testing::Test {
 protected:
  void SetUp() override {
    from_->serve_snapshots(&source_);
    to_->set_peers({from_.member()});
    ASSERT_EQ(to_.await_link(), LinkState::Up);
  }
  std::future<Result<void>> fetch(const std::string& id) {
    auto promise = std::make_shared<std::promise<Result<void>>>();
    auto future = promise->get_future();
    to_->fetch_snapshot({NodeId(1), {id, Index(1), Term(1), "hash"}}, sink_,
                        [promise](Result<void> result) { promise->set_value(std::move(result)); });
    return future;
  }
  const std::string content_ = std::string(3'456'789, 'q');
  Source source_{content_};
  std::shared_ptr<Sink> sink_ = std::make_shared<Sink>();
  Endpoint from_{node(1)}, to_{node(2)};
};

TEST_F(SnapshotTransfer, PullsTheManifestAndEveryByte) {
  const auto result = fetch("snap").get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(sink_->manifest, "manifest");
  EXPECT_EQ(sink_->bytes, content_);
}

TEST_F(SnapshotTransfer, ASnapshotThatIsGoneIsAnError) {
  const auto result = fetch("other").get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::NotFound);
}

TEST_F(SnapshotTransfer, AsksAgainForASpoiltPart) {
  sink_->spoil = 1;
  const auto result = fetch("snap").get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(sink_->bytes, content_);
}

TEST_F(SnapshotTransfer, GoesOnAfterTheConnectionBroke) {
  std::promise<void> halfway;
  source_.on_read = [&] {
    if (source_.reads == 10) halfway.set_value();
  };
  auto result = fetch("snap");
  halfway.get_future().get();
  const int port = from_.port();
  from_.stop_listening();
  from_.listen(port);
  const auto end = result.get();
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(sink_->bytes, content_);
  EXPECT_LE(source_.reads, 40) << "what had come was not asked for again";
}

TEST_F(SnapshotTransfer, CanBeCancelled) {
  std::promise<void> begun, gate;
  source_.on_read = [&, open = gate.get_future().share()] {
    if (source_.reads != 3) return;
    begun.set_value();
    open.wait();
  };
  auto result = fetch("snap");
  begun.get_future().get();
  to_->cancel_snapshot();
  EXPECT_EQ(result.get().error().code, ErrorCode::Stopped);
  gate.set_value();
}

TEST_F(SnapshotTransfer, EndsWhenTheTransportStops) {
  std::promise<void> begun, gate;
  source_.on_read = [&, open = gate.get_future().share()] {
    if (source_.reads != 3) return;
    begun.set_value();
    open.wait();
  };
  auto result = fetch("snap");
  begun.get_future().get();
  to_->stop();
  EXPECT_EQ(result.get().error().code, ErrorCode::Stopped);
  gate.set_value();
}

TEST(GrpcTransport, StopsWhileBusy) {
  for (int round = 0; round < 10; ++round) {
    Endpoint a(node(1)), b(node(2));
    a->set_peers({b.member()});
    b->set_peers({a.member()});
    ASSERT_EQ(a.await_link(), LinkState::Up);
    ASSERT_EQ(b.await_link(), LinkState::Up);
    std::atomic<bool> end{false};
    std::thread talker([&] {
      for (std::uint64_t i = 1; !end; ++i) {
        a->send({append(1, 2, i, 10'000), message(1, 2, Heartbeat{i})});
      }
    });
    b.await(100);
    b.close();
    const auto after = b.await(100).size();
    end = true;
    talker.join();
    EXPECT_EQ(b.await(100).size(), after) << "told something after the stop";
  }
}

}  // namespace
}  // namespace fyr::raft
