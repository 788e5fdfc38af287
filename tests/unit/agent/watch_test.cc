// The watch client over a real server's streams.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "agent/server_picker.h"
#include "agent/watch_client.h"
#include "tests/unit/agent/fake_exchange.h"
#include "tests/unit/agent/folder.h"
#include "tests/unit/agent/test_server.h"

namespace fyr::agent {
namespace {

using namespace std::chrono_literals;

// The newest view a subscription was given.
class Seen {
 public:
  WatchClient::OnView callback() {
    return [this](ViewPtr view) {
      std::lock_guard lock(mutex_);
      last_ = std::move(view);
      ++count_;
      changed_.notify_all();
    };
  }
  template <class F>
  ViewPtr wait(F&& condition, std::chrono::seconds limit = 10s) {
    std::unique_lock lock(mutex_);
    const bool met = changed_.wait_for(lock, limit, [&] { return last_ && condition(*last_); });
    return met ? last_ : nullptr;
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  ViewPtr last_;
  int count_ = 0;
};

class Watching : public ::testing::Test {
 protected:
  Watching() {
    runtime_.start();
    own_.start();
    server_.open(runtime_, server_folder_.path());
    open_client();
  }
  ~Watching() override {
    client_.reset();
    server_.close();
    own_.stop();
    runtime_.stop();
  }
  void open_client() {
    client_.reset();
    WatchClientOptions options;
    options.directory = client_folder_.path() / "watch";
    options.first_answer = 500ms;
    options.hold = 1s;
    options.backoff_max = 500ms;
    ServerPickerOptions picker;
    picker.addresses = {server_.address()};
    client_ =
        std::make_unique<WatchClient>(own_, 0, 1, ServerPicker::make(picker, nullptr), options);
  }
  void put(const std::string& node, int port, const std::string& status = "passing") {
    pb::Command command;
    pb::Register& request = *command.mutable_register_();
    request.mutable_node()->set_name(node);
    request.mutable_node()->set_address("10.0.0.1");
    request.mutable_service()->set_id("web");
    request.mutable_service()->set_service("web");
    request.mutable_service()->set_port(port);
    pb::HealthCheck& check = *request.add_checks();
    check.set_check_id("c");
    check.set_name("c");
    check.set_service_id("web");
    check.set_status(status);
    server_.write(command);
  }
  void remove(const std::string& node) {
    pb::Command command;
    command.mutable_deregister()->set_node(node);
    server_.write(command);
  }

  Folder server_folder_, client_folder_;
  io::Runtime runtime_{2};
  io::Runtime own_{2};
  TestServer server_;
  std::unique_ptr<WatchClient> client_;
};

TEST_F(Watching, ASubscriptionSeesEveryChangeOfItsService) {
  put("n1", 80);
  Seen seen;
  auto watch = client_->subscribe("WEB", seen.callback());
  const ViewPtr first = seen.wait([](const ServiceView& v) { return v.rows.size() == 1; });
  ASSERT_TRUE(first);
  EXPECT_EQ(first->rows[0]->service().port(), 80);
  EXPECT_EQ(first->rows[0]->checks(0).status(), "passing");
  put("n2", 81);
  ASSERT_TRUE(seen.wait([](const ServiceView& v) { return v.rows.size() == 2; }));
  put("n2", 81, "critical");
  ASSERT_TRUE(
      seen.wait([](const ServiceView& v) { return v.rows[1]->checks(0).status() == "critical"; }));
  remove("n1");
  const ViewPtr last = seen.wait([](const ServiceView& v) { return v.rows.size() == 1; });
  ASSERT_TRUE(last);
  EXPECT_EQ(last->rows[0]->node().name(), "n2");
  EXPECT_GT(last->index, first->index);
  ASSERT_TRUE(client_->age("web"));
  EXPECT_LT(*client_->age("web"), 10s);
}

TEST_F(Watching, OtherServicesDoNotWakeIt) {
  put("n1", 80);
  Seen seen;
  auto watch = client_->subscribe("web", seen.callback());
  ASSERT_TRUE(seen.wait([](const ServiceView& v) { return v.rows.size() == 1; }));
  const int before = seen.count();
  pb::Command other;
  other.mutable_register_()->mutable_node()->set_name("n9");
  other.mutable_register_()->mutable_node()->set_address("10.0.0.9");
  other.mutable_register_()->mutable_service()->set_service("other");
  server_.write(other);
  put("n2", 80);
  ASSERT_TRUE(seen.wait([](const ServiceView& v) { return v.rows.size() == 2; }));
  EXPECT_EQ(seen.count(), before + 1);
}

TEST_F(Watching, AfterTheSubscriptionEndedNothingComes) {
  put("n1", 80);
  Seen ended, alive;
  auto watch = client_->subscribe("web", ended.callback());
  auto other = client_->subscribe("web", alive.callback());
  ASSERT_TRUE(ended.wait([](const ServiceView&) { return true; }));
  watch.reset();
  const int before = ended.count();
  put("n2", 80);
  ASSERT_TRUE(alive.wait([](const ServiceView& v) { return v.rows.size() == 2; }));
  EXPECT_EQ(ended.count(), before);
}

TEST_F(Watching, TheViewSurvivesTheServerAndGoesOnWhenItIsBack) {
  put("n1", 80);
  Seen seen;
  auto watch = client_->subscribe("web", seen.callback());
  ASSERT_TRUE(seen.wait([](const ServiceView& v) { return v.rows.size() == 1; }));
  server_.close();
  const ViewPtr kept = client_->get("web", [](const Result<ViewPtr>&) {});
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->rows.size(), 1u);
  server_.open(runtime_, server_folder_.path());
  put("n2", 80);
  EXPECT_TRUE(seen.wait([](const ServiceView& v) { return v.rows.size() == 2; }));
}

TEST_F(Watching, ANewClientStartsWithTheLastKnownListAndNoServer) {
  put("n1", 80);
  {
    Seen seen;
    auto watch = client_->subscribe("web", seen.callback());
    ASSERT_TRUE(seen.wait([](const ServiceView& v) { return v.rows.size() == 1; }));
    ASSERT_TRUE(eventually([&] {
      std::error_code error;
      return std::filesystem::exists(client_folder_.path() / "watch", error) &&
             !std::filesystem::is_empty(client_folder_.path() / "watch", error);
    }));
  }
  server_.close();
  open_client();
  Seen seen;
  auto watch = client_->subscribe("web", seen.callback());
  EXPECT_EQ(seen.count(), 1) << "before subscribe returned";
  const ViewPtr view = seen.wait([](const ServiceView&) { return true; });
  EXPECT_TRUE(view->from_disk);
  EXPECT_EQ(view->rows.size(), 1u);
  server_.open(runtime_, server_folder_.path());
  EXPECT_TRUE(seen.wait([](const ServiceView& v) { return !v.from_disk; }));
}

TEST_F(Watching, GetAnswersLaterForAServiceItDoesNotKnowYet) {
  put("n1", 80);
  std::promise<Result<ViewPtr>> got;
  const auto subscriptions = server_.server().publisher().size();
  EXPECT_FALSE(client_->peek("web"));
  EXPECT_EQ(server_.server().publisher().size(), subscriptions) << "looking starts no stream";
  ASSERT_FALSE(client_->get("web", [&](Result<ViewPtr> view) { got.set_value(std::move(view)); }));
  const auto view = got.get_future().get();
  ASSERT_TRUE(view);
  EXPECT_EQ((*view)->rows.size(), 1u);
  EXPECT_TRUE(client_->get("web", [](const Result<ViewPtr>&) {}));
  EXPECT_TRUE(client_->peek("Web"));
  std::promise<Result<ViewPtr>> absent;
  ASSERT_FALSE(client_->get("absent", [&](Result<ViewPtr> v) { absent.set_value(std::move(v)); }));
  const auto empty = absent.get_future().get();
  ASSERT_TRUE(empty);
  EXPECT_TRUE((*empty)->rows.empty());
}

TEST_F(Watching, GetFailsWhenNoServerAnswers) {
  server_.close();
  std::promise<Result<ViewPtr>> got;
  ASSERT_FALSE(client_->get("web", [&](Result<ViewPtr> v) { got.set_value(std::move(v)); }));
  auto future = got.get_future();
  ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(future.get().error().code, ErrorCode::Unavailable);
}

TEST_F(Watching, NamesThatDoNotExistAreForgotten) {
  for (int i = 0; i < 400; ++i) {
    (void)client_->get("random-" + std::to_string(i), [](const Result<ViewPtr>&) {});
    if (i % 50 == 49) {
      std::promise<void> answered;
      const auto view = client_->get("last-" + std::to_string(i),
                                     [&](const Result<ViewPtr>&) { answered.set_value(); });
      if (!view) answered.get_future().wait();
    }
  }
  EXPECT_LT(client_->streams(), 320u);
}

TEST_F(Watching, NodesAreFoundByNameAndAddress) {
  put("n1", 80);
  const auto find = [&](const std::string& name, const std::string& address) {
    std::promise<std::size_t> count;
    client_->find_nodes(name, address, [&](const Result<std::vector<pb::Node>>& nodes) {
      count.set_value(nodes ? nodes->size() : 99);
    });
    return count.get_future().get();
  };
  EXPECT_EQ(find("N1", ""), 1u);
  EXPECT_EQ(find("", "10.0.0.1"), 1u);
  EXPECT_EQ(find("n2", ""), 0u);
}

}  // namespace
}  // namespace fyr::agent
