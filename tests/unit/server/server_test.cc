// One server with the real Raft node, log and state database.
#include "server/server.h"

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "tests/unit/server/temporary_folder.h"
#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using namespace std::chrono_literals;

class ServerTest : public testing::Test {
 protected:
  void open() {
    server_.reset();
    ServerOptions options;
    options.data_dir = folder_.path();
    options.node_name = "s1";
    options.rpc_address = "127.0.0.1:8300";
    options.bootstrap = true;
    auto opened = Server::open(std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    server_ = std::move(*opened);
    // The wait itself must work: reads queue until there is a leader.
    ASSERT_TRUE(wait_read(Consistency::Default));
  }

  Result<ReadStamp> wait_read(Consistency consistency) {
    auto answer = std::make_shared<std::promise<Result<ReadStamp>>>();
    auto future = answer->get_future();
    server_->wait_read(consistency,
                       [answer](Result<ReadStamp> stamp) { answer->set_value(std::move(stamp)); });
    return future.get();
  }

  Result<ApplyResult> write(const pb::Command& command) {
    auto answer = std::make_shared<std::promise<Result<ApplyResult>>>();
    auto future = answer->get_future();
    server_->write(command,
                   [answer](Result<ApplyResult> result) { answer->set_value(std::move(result)); });
    return future.get();
  }

  std::string value(const std::string& key) {
    return server_->read([&](const StateStore& store) {
      const KvRow row = store.kv(key);
      return row ? row->value() : "(absent)";
    });
  }

  TemporaryFolder folder_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AWriteIsReadableWhenItIsAnsweredAndSurvivesARestart) {
  open();
  const auto result = write(kv_command(pb::KvWrite::SET, "a", "1"));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->done);
  EXPECT_EQ(value("a"), "1");
  EXPECT_GE(result->index, 1u);
  open();
  EXPECT_EQ(value("a"), "1");
  const auto next = write(kv_command(pb::KvWrite::SET, "b", "1"));
  ASSERT_TRUE(next);
  EXPECT_GT(next->index, result->index);
}

TEST_F(ServerTest, ARefusalIsAResultAndNotAFailure) {
  open();
  const auto result = write(session_command(1, "nowhere"));
  ASSERT_TRUE(result);
  ASSERT_TRUE(result->error);
  EXPECT_EQ(result->error->message, "Missing node registration");
}

TEST_F(ServerTest, ReadsOfEveryConsistencyAreServedByTheLeader) {
  open();
  // The lease is published a moment after the first write was answered.
  const Instant limit = now() + std::chrono::seconds(5);
  while (!server_->try_read(Consistency::Default) && now() < limit) std::this_thread::yield();
  EXPECT_TRUE(server_->try_read(Consistency::Default));
  EXPECT_FALSE(server_->try_read(Consistency::Consistent)) << "never without asking";
  EXPECT_TRUE(wait_read(Consistency::Consistent));
  const auto stale = server_->try_read(Consistency::Stale);
  ASSERT_TRUE(stale);
  EXPECT_TRUE(stale->known_leader);
  EXPECT_EQ(stale->last_contact, Duration::zero());
  EXPECT_TRUE(server_->leader().self);
  EXPECT_EQ(server_->leader().address, "127.0.0.1:8300");
  EXPECT_THAT(server_->raft_peers(), testing::ElementsAre("127.0.0.1:8300"));
}

TEST_F(ServerTest, StampsNeverGoBackAlsoOverARestart) {
  open();
  const auto index_of_delay = [&](int session, const std::string& key) {
    EXPECT_TRUE(write(session_command(session, "n", {}, "release", 3'600'000'000'000)));
    EXPECT_TRUE(write(kv_command(pb::KvWrite::LOCK, key, "", 0, session_id(session))));
    EXPECT_TRUE(write(destroy_command(session)));
  };
  ASSERT_TRUE(write(node_command("n")));
  index_of_delay(1, "k");
  ASSERT_TRUE(write(session_command(2, "n")));
  auto lock = write(kv_command(pb::KvWrite::LOCK, "k", "", 0, session_id(2)));
  ASSERT_TRUE(lock);
  EXPECT_FALSE(lock->done) << "inside the lock-delay";
  open();
  lock = write(kv_command(pb::KvWrite::LOCK, "k", "", 0, session_id(2)));
  ASSERT_TRUE(lock);
  EXPECT_FALSE(lock->done) << "a restart shortens no delay";
}

TEST_F(ServerTest, AWatcherIsWokenWithTheIndexOfTheWrite) {
  open();
  auto woken = std::make_shared<std::promise<StateIndex>>();
  auto future = woken->get_future();
  auto subscription = server_->publisher().subscribe(
      {{TopicKind::Service, "web"}}, [woken](StateIndex index) { woken->set_value(index); });
  const auto result = write(service_command("n", "web", "web"));
  ASSERT_TRUE(result);
  EXPECT_EQ(future.get(), result->index);
}

TEST_F(ServerTest, LeadershipIsToldAtOnceToThoseWhoAskLate) {
  open();
  std::promise<bool> told;
  server_->on_leadership([&](bool leads) { told.set_value(leads); });
  EXPECT_TRUE(told.get_future().get());
}

TEST_F(ServerTest, GossipNewsBecomeCatalogEntries) {
  open();
  auto changed = std::make_shared<std::promise<void>>();
  auto future = changed->get_future();
  auto subscription = server_->publisher().subscribe(
      {{TopicKind::Node, "m"}}, [changed](StateIndex) { changed->set_value(); });
  MemberFact fact;
  fact.name = "m";
  fact.address = "10.0.0.7";
  server_->reconcile(fact);
  future.get();
  EXPECT_EQ(server_->read([](const StateStore& store) { return store.node("m")->address(); }),
            "10.0.0.7");
}

TEST_F(ServerTest, SessionsWithATtlAreRenewedOrEnd) {
  open();
  ASSERT_TRUE(write(node_command("n")));
  const auto with_ttl = [](int id, Duration ttl) {
    pb::Command command = session_command(id, "n");
    command.mutable_session_create()->mutable_session()->set_ttl_ns(ttl.count());
    return command;
  };
  const auto renew = [&](int id) {
    std::promise<Result<SessionRow>> answer;
    server_->renew_session(session_id(id),
                           [&](Result<SessionRow> row) { answer.set_value(std::move(row)); });
    return answer.get_future().get();
  };
  auto gone = std::make_shared<std::promise<void>>();
  auto future = gone->get_future();
  ASSERT_TRUE(write(with_ttl(1, 100ms)));
  ASSERT_TRUE(write(with_ttl(2, 1h)));
  ASSERT_TRUE(write(session_command(3, "n")));
  const auto before = now();
  auto subscription = server_->publisher().subscribe({{TopicKind::Session, session_id(1)}},
                                                     [gone](StateIndex) { gone->set_value(); });
  const auto renewed = renew(2);
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_EQ((*renewed)->id(), session_id(2));
  EXPECT_TRUE(renew(3)) << "a session without a TTL always renews";
  future.get();
  EXPECT_LT(now() - before, 5s);
  const auto late = renew(1);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::NotFound);
  EXPECT_EQ(late.error().message, "Session id '" + session_id(1) + "' not found");
  EXPECT_TRUE(renew(2));
}

TEST_F(ServerTest, ManyWritersLoseNothing) {
  open();
  constexpr int kWriters = 4, kEach = 200;
  std::vector<std::thread> writers;
  std::atomic<int> failed{0};
  for (int w = 0; w < kWriters; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < kEach; ++i) {
        const std::string key = std::to_string(w) + "/" + std::to_string(i);
        const auto result = write(kv_command(pb::KvWrite::SET, key, key));
        if (!result || value(key) != key) failed.fetch_add(1);
      }
    });
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(failed.load(), 0);
  open();
  EXPECT_EQ(server_->read([](const StateStore& store) { return store.kv_count(); }),
            static_cast<std::size_t>(kWriters * kEach));
}

TEST_F(ServerTest, StoppingWhileBusyAnswersEveryWrite) {
  open();
  std::mutex mutex;
  std::condition_variable all;
  int answers = 0;
  constexpr int kWrites = 500;
  for (int i = 0; i < kWrites; ++i)
    server_->write(kv_command(pb::KvWrite::SET, std::to_string(i), "x"), [&](Result<ApplyResult>) {
      std::lock_guard lock(mutex);
      ++answers;
      all.notify_one();
    });
  server_->stop();
  std::unique_lock lock(mutex);
  all.wait(lock, [&] { return answers == kWrites; });
  const auto late = std::make_shared<std::promise<Result<ApplyResult>>>();
  lock.unlock();
  server_->write(kv_command(pb::KvWrite::SET, "late", "x"),
                 [late](Result<ApplyResult> result) { late->set_value(std::move(result)); });
  EXPECT_FALSE(late->get_future().get());
}

}  // namespace
}  // namespace fyr::server
