// Sync over a transport that answers, fails or keeps silent as the test says.
#include "agent/local/sync.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace fyr::agent {
namespace {

using namespace std::chrono_literals;

class FakeServers final : public SyncTransport {
 public:
  void push(pb::PushRequest request, std::function<void(Result<pb::PushResponse>)> done) override {
    std::lock_guard lock(mutex_);
    ++pushes_;
    pushed_.push_back(request);
    changed_.notify_all();
    if (down_) return done(fail(ErrorCode::Unavailable, "down"));
    for (const pb::PushItem& item : request.items()) {
      if (item.register_().service().id() != refused_) continue;
      return done(fail(ErrorCode::InvalidArgument, "entry: too large"));
    }
    pb::PushResponse response;
    response.set_index(++index_);
    taken_ += request.items_size();
    for (int i = 0; i < request.items_size(); ++i) response.add_results();
    done(std::move(response));
  }
  void node_state(pb::NodeStateRequest,
                  std::function<void(Result<pb::NodeStateResponse>)> done) override {
    std::lock_guard lock(mutex_);
    ++compares_;
    changed_.notify_all();
    if (down_) return done(fail(ErrorCode::Unavailable, "down"));
    pb::NodeStateResponse response;
    response.set_index(index_);
    done(std::move(response));
  }

  template <class F>
  bool wait(F&& f) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, f);
  }
  void set_down(bool down) {
    std::lock_guard lock(mutex_);
    down_ = down;
  }

  std::vector<pb::PushRequest> pushed_;
  int pushes_ = 0, compares_ = 0, taken_ = 0;
  std::string refused_ = "none";  // id of a service no push of which is taken

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool down_ = false;
  std::uint64_t index_ = 0;
};

class SyncTest : public ::testing::Test {
 protected:
  SyncTest() {
    pb::Node node;
    node.set_name("n1");
    state_ = std::make_unique<LocalState>(node, 1);
    SyncOptions options;
    options.times.retry_min = 10ms;
    sync_ = std::make_shared<Sync>(runtime_, 0, *state_, servers_, options, Random(1));
    runtime_.start();
  }
  ~SyncTest() override {
    on_thread([&] { sync_->stop(); });
    runtime_.stop();
  }
  void on_thread(std::function<void()> task) {
    std::mutex mutex;
    std::condition_variable done;
    bool ran = false;
    runtime_.post(0, [&] {
      task();
      std::lock_guard lock(mutex);
      ran = true;
      done.notify_all();
    });
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return ran; });
  }
  void add_services(int from, int to) {
    for (int i = from; i < to; ++i) {
      LocalService service;
      service.row.set_id("s" + std::to_string(i));
      service.row.set_service("s");
      state_->set_service(std::move(service));
      sync_->item_changed();
    }
  }

  FakeServers servers_;
  std::unique_ptr<LocalState> state_;
  std::shared_ptr<Sync> sync_;
  io::Runtime runtime_{1};
};

TEST_F(SyncTest, FiftyChangesOfOneMomentAreOnePush) {
  on_thread([&] { sync_->start(); });
  ASSERT_TRUE(servers_.wait([&] { return servers_.pushes_ == 1; }));  // the node
  on_thread([&] { add_services(0, 50); });
  ASSERT_TRUE(servers_.wait([&] { return servers_.pushes_ == 2; }));
  EXPECT_EQ(servers_.pushed_[1].items_size(), 50);
}

TEST_F(SyncTest, AFailedPushIsRetriedUntilItWorksAndOnlyTheNewestStateIsSent) {
  on_thread([&] { sync_->start(); });
  ASSERT_TRUE(servers_.wait([&] { return servers_.pushes_ == 1; }));
  servers_.set_down(true);
  on_thread([&] { add_services(0, 1); });
  ASSERT_TRUE(servers_.wait([&] { return servers_.pushes_ >= 4; }));
  on_thread([&] { add_services(0, 3); });
  servers_.set_down(false);
  on_thread([&] { sync_->servers_changed(); });
  ASSERT_TRUE(servers_.wait(
      [&] { return !servers_.pushed_.empty() && servers_.pushed_.back().items_size() == 3; }));
}

TEST_F(SyncTest, AnItemThatMakesEveryPushRefusedIsSetAsideAndTheOthersArrive) {
  servers_.refused_ = "s13";
  on_thread([&] { sync_->start(); });
  ASSERT_TRUE(servers_.wait([&] { return servers_.taken_ == 1; }));  // the node
  on_thread([&] { add_services(0, 40); });
  ASSERT_TRUE(servers_.wait([&] { return servers_.taken_ == 40; }));
  EXPECT_LT(servers_.pushes_, 40);
  // The servers have taken the last one; their answer comes a moment later.
  LocalState::Counts counts;
  const Instant end = now() + std::chrono::seconds(20);
  do {
    on_thread([&] { counts = state_->counts(); });
  } while (counts.out_of_sync != 1 && now() < end);
  EXPECT_EQ(counts.out_of_sync, 1u);
  EXPECT_EQ(counts.blocked, 1u);
}

TEST_F(SyncTest, AComparisonThatFailsIsRetriedBeforeAnythingIsPushed) {
  servers_.set_down(true);
  on_thread([&] {
    add_services(0, 1);
    sync_->start();
  });
  ASSERT_TRUE(servers_.wait([&] { return servers_.compares_ >= 3; }));
  EXPECT_EQ(servers_.pushes_, 0);
  servers_.set_down(false);
  ASSERT_TRUE(servers_.wait([&] { return servers_.pushes_ == 1; }));
}

}  // namespace
}  // namespace fyr::agent
