// The driver over real sockets on loopback. Waiting is for published changes, with a limit.
#include "agent/swim/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>

namespace fyr::agent {
namespace {

using std::chrono::seconds;

class MembershipTest : public ::testing::Test {
 protected:
  MembershipTest() : runtime_(2) { runtime_.start(); }
  ~MembershipTest() override {
    members_.clear();
    runtime_.stop();
  }

  Membership& open(const std::string& name, Tags tags = {}) {
    MembershipOptions options;
    options.name = name;
    options.bind = {"127.0.0.1", 0};
    options.tags = std::move(tags);
    options.seed = members_.size() + 1;
    auto opened = Membership::open(runtime_, options);
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    (*opened)->on_change([this](const Member&) {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
    return *members_.emplace_back(std::move(*opened));
  }

  bool until(const std::function<bool()>& condition, Duration limit = seconds(10)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, condition);
  }
  static bool sees(const Membership& membership, const std::string& name, MemberState state) {
    for (const Member& member : membership.members()) {
      if (member.name == name) return member.state == state;
    }
    return false;
  }
  static Result<int> join(Membership& who, const Membership& seed) {
    std::promise<Result<int>> done;
    who.join({seed.bound()}, [&](Result<int> result) { done.set_value(std::move(result)); });
    return done.get_future().get();
  }

  io::Runtime runtime_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Membership>> members_;
};

TEST_F(MembershipTest, TwoJoinAndSeeEachOthersTags) {
  auto& a = open("a", {{"role", "consul"}});
  auto& b = open("b", {{"role", "node"}});
  auto joined = join(b, a);
  ASSERT_TRUE(joined.has_value()) << joined.error().message;
  EXPECT_EQ(*joined, 1);
  EXPECT_TRUE(until([&] { return a.members().size() == 2 && b.members().size() == 2; }));
  EXPECT_EQ(b.members()[0].tags.at("role"), "consul");
  EXPECT_EQ(b.members()[0].port, a.bound().port);
}

TEST_F(MembershipTest, AStoppedOneIsFailedWithinFourSeconds) {
  auto& a = open("a");
  auto& b = open("b");
  ASSERT_TRUE(join(b, a).has_value());
  ASSERT_TRUE(until([&] { return sees(a, "b", MemberState::Alive); }));
  const Instant died = now();
  members_.pop_back();
  EXPECT_TRUE(until([&] { return sees(a, "b", MemberState::Failed); }));
  EXPECT_LE(now() - died, std::chrono::milliseconds(4200));
  EXPECT_TRUE(a.force_leave("b", false).has_value());
  EXPECT_TRUE(until([&] { return sees(a, "b", MemberState::Left); }));
}

TEST_F(MembershipTest, LeavingIsSeenAsLeft) {
  auto& a = open("a");
  auto& b = open("b");
  ASSERT_TRUE(join(b, a).has_value());
  std::promise<void> left;
  b.leave([&] { left.set_value(); });
  EXPECT_EQ(left.get_future().wait_for(seconds(4)), std::future_status::ready);
  EXPECT_TRUE(until([&] { return sees(a, "b", MemberState::Left); }));
}

TEST_F(MembershipTest, KeepsJoiningUntilTheSeedIsThere) {
  auto& b = open("b");
  HostPort later;
  {
    auto& a = open("a");
    later = a.bound();
    members_.pop_back();
  }
  b.keep_joining({later});
  std::promise<void> refused;  // the first attempt, sent before this one, then failed too
  b.join({later}, [&](const Result<int>&) { refused.set_value(); });
  refused.get_future().wait();
  MembershipOptions options;
  options.name = "a";
  options.bind = later;
  auto a = Membership::open(runtime_, options);
  ASSERT_TRUE(a.has_value()) << a.error().message;
  EXPECT_TRUE(until([&] { return sees(b, "a", MemberState::Alive); }));
}

TEST_F(MembershipTest, AJoinNobodyAnswersFails) {
  auto& a = open("a");
  auto& b = open("b");
  const HostPort gone = b.bound();
  members_.pop_back();
  std::promise<Result<int>> done;
  a.join({gone}, [&](Result<int> result) { done.set_value(std::move(result)); });
  EXPECT_TRUE(done.get_future().get().has_error());
}

TEST_F(MembershipTest, ATakenNameIsRefusedWithBothAddresses) {
  auto& a = open("same", {{"id", "1"}});
  auto& b = open("same", {{"id", "2"}});
  auto joined = join(b, a);
  ASSERT_TRUE(joined.has_error());
  EXPECT_EQ(joined.error().code, ErrorCode::Conflict);
  EXPECT_THAT(joined.error().message, ::testing::HasSubstr(a.bound().to_string()));
  EXPECT_THAT(joined.error().message, ::testing::HasSubstr(b.bound().to_string()));
}

TEST_F(MembershipTest, ForceLeaveRefusesTheUnknownAndTheLiving) {
  auto& a = open("a");
  EXPECT_EQ(a.force_leave("nobody", false).error().code, ErrorCode::NotFound);
  EXPECT_EQ(a.force_leave("a", false).error().code, ErrorCode::Conflict);
}

TEST_F(MembershipTest, BadOptionsAndTakenPortsAreNamed) {
  MembershipOptions options;
  options.name = "bad name";
  options.bind = {"127.0.0.1", 0};
  EXPECT_THAT(Membership::open(runtime_, options).error().message,
              ::testing::HasSubstr("node name"));
  options.name = "x";
  options.bind = {"0.0.0.0", 0};
  EXPECT_THAT(Membership::open(runtime_, options).error().message,
              ::testing::HasSubstr("advertise address"));
  auto& a = open("a");
  options.bind = a.bound();
  EXPECT_THAT(Membership::open(runtime_, options).error().message,
              ::testing::HasSubstr(std::to_string(a.bound().port)));
}

TEST_F(MembershipTest, StopsWhileBusyAndAnswersWhatWasAsked) {
  auto& a = open("a");
  std::promise<Result<int>> done;
  a.join({{"192.0.2.1", 9}}, [&](Result<int> result) { done.set_value(std::move(result)); });
  a.stop();
  auto result = done.get_future();
  ASSERT_EQ(result.wait_for(seconds(5)), std::future_status::ready);
  EXPECT_TRUE(result.get().has_error());
}

}  // namespace
}  // namespace fyr::agent
