#include "agent/server_picker.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fyr::agent {
namespace {

// A member list the test turns.
class FakeMembership final : public Membership {
 public:
  std::vector<Member> members() const override { return members_; }
  HostPort bound() const override { return {}; }
  void join(std::vector<HostPort>, std::function<void(Result<int>)>) override {}
  void keep_joining(std::vector<HostPort>) override {}
  void leave(std::function<void()>) override {}
  Result<void> force_leave(const std::string&, bool) override { return {}; }
  void probe_now(const std::string&) override {}
  void on_change(std::function<void(const Member&)> callback) override {
    callback_ = std::move(callback);
  }
  void fire(std::string) override {}
  void on_event(std::function<void(std::uint64_t, const std::string&)>) override {}
  void set_tags(std::map<std::string, std::string>) override {}
  void stop() override {}

  void set(const std::string& name, MemberState state, const std::string& site = "") {
    Member member;
    member.name = name;
    member.address = "10.0.0.9";
    member.state = state;
    member.tags = {{"role", "consul"}, {"dc", "dc1"}, {"rpc_addr", name + ":8300"}, {"site", site}};
    std::erase_if(members_, [&](const Member& m) { return m.name == name; });
    members_.push_back(member);
    if (callback_) callback_(member);
  }

 private:
  std::vector<Member> members_;
  std::function<void(const Member&)> callback_;
};

ServerPickerOptions options() {
  ServerPickerOptions out;
  out.site = "oslo";
  out.seed = 3;
  return out;
}

TEST(ServerPicker, WithoutServersThereIsNoChannel) {
  auto picker = ServerPicker::make(options(), nullptr);
  EXPECT_FALSE(picker->pick().channel);
  EXPECT_TRUE(picker->addresses().empty());
}

TEST(ServerPicker, GivenAddressesServeUntilGossipKnowsBetter) {
  ServerPickerOptions given = options();
  given.addresses = {"seed:8300"};
  FakeMembership members;
  auto picker = ServerPicker::make(given, &members);
  EXPECT_EQ(picker->pick().address, "seed:8300");
  members.set("s1", MemberState::Alive);
  EXPECT_EQ(picker->pick().address, "s1:8300");
}

TEST(ServerPicker, PrefersItsOwnSiteAndStaysWithOneServer) {
  FakeMembership members;
  for (const char* name : {"f1", "f2", "f3"}) members.set(name, MemberState::Alive, "frankfurt");
  members.set("o1", MemberState::Alive, "oslo");
  auto picker = ServerPicker::make(options(), &members);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(picker->pick().address, "o1:8300");
}

TEST(ServerPicker, AFailedCallMovesOnAndAFailedMemberIsTheLastResort) {
  FakeMembership members;
  for (const char* name : {"s1", "s2", "s3"}) members.set(name, MemberState::Alive, "oslo");
  auto picker = ServerPicker::make(options(), &members);
  const ServerChannel first = picker->pick();
  picker->failed(first);
  const ServerChannel second = picker->pick();
  EXPECT_NE(second.address, first.address);
  members.set(second.address.substr(0, 2), MemberState::Failed, "oslo");
  const ServerChannel third = picker->pick();
  EXPECT_NE(third.address, second.address);
  EXPECT_NE(third.address, first.address);
  picker->failed(third);
  EXPECT_EQ(picker->pick().address, first.address) << "failed calls are forgotten before members";
}

TEST(ServerPicker, TellsOfNewServersAndOfThoseThatCameBack) {
  FakeMembership members;
  auto picker = ServerPicker::make(options(), &members);
  int told = 0;
  picker->on_change([&] { ++told; });
  members.set("s1", MemberState::Alive);
  EXPECT_EQ(told, 1);
  members.set("s1", MemberState::Alive);
  EXPECT_EQ(told, 1);
  members.set("s1", MemberState::Failed);
  members.set("s1", MemberState::Alive);
  EXPECT_EQ(told, 2);
  members.set("s1", MemberState::Left);
  EXPECT_TRUE(picker->addresses().empty());
}

}  // namespace
}  // namespace fyr::agent
