// Several nodes in one process with real disks, talking over the loopback interface or, for the
// thread sanitizer, over a LocalNetwork.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "raft/grpc_transport.h"
#include "raft/node.h"
#include "tests/unit/raft/local_network.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {

// A transport and what it listens with; the address stays the same in every life.
class TestConnection {
 public:
  virtual ~TestConnection() = default;
  virtual std::shared_ptr<Transport> open() = 0;
  virtual void close() = 0;
  virtual std::string address() const = 0;
};

class GrpcConnection final : public TestConnection {
 public:
  std::shared_ptr<Transport> open() override {
    transport_ = GrpcTransport::make();
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.SetMaxReceiveMessageSize(64 << 20);
    int port = 0;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port_),
                             grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&transport_->service());
    server_ = builder.BuildAndStart();
    EXPECT_TRUE(server_ && port != 0) << "port " << port_;
    port_ = port;
    return transport_;
  }
  void close() override {
    if (transport_) transport_->stop();
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    if (server_) server_->Wait();
    server_.reset();
    transport_.reset();
  }
  std::string address() const override { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int port_ = 0;
  std::shared_ptr<GrpcTransport> transport_;
  std::unique_ptr<grpc::Server> server_;
};

class LocalConnection final : public TestConnection {
 public:
  explicit LocalConnection(LocalNetwork& network) : network_(network) {}
  std::shared_ptr<Transport> open() override { return transport_ = network_.add(); }
  void close() override {
    if (transport_) transport_->stop();
    transport_.reset();
  }
  std::string address() const override { return "local"; }

 private:
  LocalNetwork& network_;
  std::shared_ptr<Transport> transport_;
};

// One node; can be stopped and started again on the same folder and address.
class TestNode {
 public:
  using MakeMachine = std::function<std::unique_ptr<StateMachine>()>;
  TestNode(std::filesystem::path folder, std::string name, MakeMachine make_machine,
           std::unique_ptr<TestConnection> connection)
      : folder_(std::move(folder)),
        name_(std::move(name)),
        make_machine_(std::move(make_machine)),
        connection_(std::move(connection)) {}
  ~TestNode() { stop(); }

  void start() {
    if (!machine_) machine_ = make_machine_();
    NodeOptions options;
    options.directory = folder_;
    options.name = name_;
    options.transport = connection_->open();
    options.address = connection_->address();
    if (tune) tune(options);
    auto opened = Node::open(std::move(options), *machine_);
    ASSERT_TRUE(opened) << opened.error().message;
    node_ = std::move(*opened);
  }
  // The machine stays as it is: it stands for a database.
  void stop() {
    if (node_) node_->stop();
    node_.reset();
    connection_->close();
  }
  bool runs() const { return node_ != nullptr; }
  Member member() const {
    Member out;
    out.id = node_->id();
    out.name = name_;
    out.address = connection_->address();
    return out;
  }
  Node& operator*() { return *node_; }
  Node* operator->() { return node_.get(); }
  StateMachine& machine() { return *machine_; }

  std::function<void(NodeOptions&)> tune;

 private:
  const std::filesystem::path folder_;
  const std::string name_;
  const MakeMachine make_machine_;
  const std::unique_ptr<TestConnection> connection_;
  std::unique_ptr<StateMachine> machine_;
  std::unique_ptr<Node> node_;
};

template <class T, class F>
Result<T> wait_for_answer(F&& ask) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  ask([promise](Result<T> result) { promise->set_value(std::move(result)); });
  if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
    return fail(ErrorCode::Timeout, "no answer in a minute");
  }
  return future.get();
}

class TestCluster {
 public:
  // `network`: null for gRPC.
  explicit TestCluster(TestNode::MakeMachine make_machine, LocalNetwork* network = nullptr)
      : make_machine_(std::move(make_machine)), network_(network) {}

  // Not in the cluster yet.
  TestNode& add() {
    const std::string name = "node-" + std::to_string(nodes_.size());
    std::unique_ptr<TestConnection> connection;
    if (network_) {
      connection = std::make_unique<LocalConnection>(*network_);
    } else {
      connection = std::make_unique<GrpcConnection>();
    }
    nodes_.push_back(std::make_unique<TestNode>(folder_.path() / name, name, make_machine_,
                                                std::move(connection)));
    nodes_.back()->tune = [this](NodeOptions& options) {
      if (tune) tune(options);
      const auto before = options.on_role_change;
      options.on_role_change = [this, before](const Status& status) {
        if (before) before(status);
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
      };
    };
    return *nodes_.back();
  }
  // `count` nodes, one of which founds the cluster of all.
  void found(int count) {
    std::vector<Member> members;
    for (int i = 0; i < count; ++i) {
      add().start();
      members.push_back(nodes_.back()->member());
    }
    const auto founded = wait_for_answer<void>(
        [&](auto done) { (*nodes_[0])->found_cluster(members, std::move(done)); });
    ASSERT_TRUE(founded) << founded.error().message;
  }
  // Among those that run; null after a while without one.
  TestNode* leader() {
    std::unique_lock lock(mutex_);
    const auto find = [this]() -> TestNode* {
      for (const auto& node : nodes_) {
        if (node->runs() && (*node)->status().role == Role::Leader) return node.get();
      }
      return nullptr;
    };
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return find() != nullptr; });
    return find();
  }
  TestNode* follower() {
    TestNode* const leads = leader();
    for (const auto& node : nodes_) {
      if (node.get() != leads && node->runs()) return node.get();
    }
    return nullptr;
  }
  Result<Node::Applied> propose(TestNode& at, std::string data) {
    return wait_for_answer<Node::Applied>(
        [&](auto done) { at->propose(std::move(data), std::move(done)); });
  }
  // At whoever leads, again and again until it is certain that it happened.
  Result<Node::Applied> write(const std::string& data) {
    const Instant limit = now() + std::chrono::seconds(60);
    while (true) {
      TestNode* const at = leader();
      if (!at) return fail(ErrorCode::NoLeader, "nobody leads");
      auto result = propose(*at, data);
      if (result || now() > limit) return result;
      std::this_thread::yield();
    }
  }
  // Until the state of every running node has all that was acknowledged before.
  bool catch_up() {
    const Instant limit = now() + std::chrono::seconds(60);
    for (const auto& node : nodes_) {
      const auto read = [&] {
        return wait_for_answer<Index>(
            [&](auto done) { (*node)->read(ReadMode::Consistent, std::move(done)); });
      };
      while (node->runs() && !read()) {
        if (now() > limit) return false;
        std::this_thread::yield();
      }
    }
    return true;
  }
  TestNode& operator[](std::size_t i) { return *nodes_[i]; }
  std::size_t size() const { return nodes_.size(); }

  std::function<void(NodeOptions&)> tune;

 private:
  TempFolder folder_;
  const TestNode::MakeMachine make_machine_;
  LocalNetwork* const network_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<TestNode>> nodes_;
};

}  // namespace fyr::raft
