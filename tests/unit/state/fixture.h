// A store with its disk beside it: every change goes to a map of rows, from which the store can be
// built again.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/state/store.h"

namespace fyr::server {

inline pb::Command node_command(const std::string& name, const std::string& address = "10.0.0.1",
                                const std::string& id = "") {
  pb::Command command;
  pb::Node* node = command.mutable_register_()->mutable_node();
  node->set_name(name);
  node->set_address(address);
  node->set_id(id);
  node->set_datacenter("dc1");
  return command;
}

inline pb::Command service_command(const std::string& node, const std::string& id,
                                   const std::string& service, int port = 80,
                                   const std::vector<std::string>& tags = {}) {
  pb::Command command = node_command(node);
  pb::ServiceInstance* row = command.mutable_register_()->mutable_service();
  row->set_id(id);
  row->set_service(service);
  row->set_port(port);
  for (const std::string& tag : tags) row->add_tags(tag);
  return command;
}

inline void add_check(pb::Command& command, const std::string& id, const std::string& status,
                      const std::string& service_id = "", const std::string& output = "") {
  pb::HealthCheck* check = command.mutable_register_()->add_checks();
  check->set_check_id(id);
  check->set_name(id);
  check->set_status(status);
  check->set_service_id(service_id);
  check->set_output(output);
}

inline pb::Command check_command(const std::string& node, const std::string& id,
                                 const std::string& status, const std::string& service_id = "",
                                 const std::string& output = "") {
  pb::Command command = node_command(node);
  command.mutable_register_()->set_skip_node_update(true);
  add_check(command, id, status, service_id, output);
  return command;
}

inline pb::Command deregister_command(const std::string& node, const std::string& service_id = "",
                                      const std::string& check_id = "") {
  pb::Command command;
  command.mutable_deregister()->set_node(node);
  command.mutable_deregister()->set_service_id(service_id);
  command.mutable_deregister()->set_check_id(check_id);
  return command;
}

inline pb::Command kv_command(pb::KvWrite::Verb verb, const std::string& key,
                              const std::string& value = "", std::uint64_t index = 0,
                              const std::string& session = "") {
  pb::Command command;
  command.mutable_kv()->set_verb(verb);
  pb::KvPair* pair = command.mutable_kv()->mutable_pair();
  pair->set_key(key);
  pair->set_value(value);
  pair->set_modify_index(index);
  pair->set_session(session);
  return command;
}

// A session id made of one repeated digit group, in the form of a UUID.
inline std::string session_id(int number) {
  std::string tail = std::to_string(number);
  return "00000000-0000-4000-8000-" + std::string(12 - tail.size(), '0') + tail;
}

inline pb::Command session_command(int number, const std::string& node,
                                   const std::vector<std::string>& checks = {},
                                   const std::string& behavior = "release",
                                   std::int64_t lock_delay_ns = 0) {
  pb::Command command;
  pb::Session* session = command.mutable_session_create()->mutable_session();
  session->set_id(session_id(number));
  session->set_node(node);
  session->set_behavior(behavior);
  session->set_lock_delay_ns(lock_delay_ns);
  for (const std::string& check : checks) session->add_node_checks(check);
  return command;
}

inline pb::Command destroy_command(int number) {
  pb::Command command;
  command.mutable_session_destroy()->set_id(session_id(number));
  return command;
}

class StateTest : public testing::Test {
 protected:
  using Rows = std::map<std::pair<Table, std::string>, std::string>;

  ApplyResult apply(const pb::Command& command) { return apply_at(index_ + 1, command); }

  ApplyResult apply_at(StateIndex index, const pb::Command& command) {
    index_ = index;
    changes_ = {};
    ApplyResult result = store_.apply(index_, command, changes_);
    for (const RowChange& row : changes_.rows) {
      if (row.value)
        rows_[{row.table, row.key}] = *row.value;
      else
        rows_.erase({row.table, row.key});
    }
    return result;
  }

  // Applies and demands that it was not refused.
  StateIndex done(const pb::Command& command) {
    const ApplyResult result = apply(command);
    EXPECT_FALSE(result.error) << result.error->message;
    EXPECT_TRUE(result.done);
    return index_;
  }

  std::string refusal(const pb::Command& command) {
    const std::uint64_t digest = store_.digest();
    const ApplyResult result = apply(command);
    EXPECT_EQ(store_.digest(), digest) << "a refused command changed something";
    EXPECT_TRUE(changes_.topics.empty());
    return result.error ? result.error->message : "(not refused)";
  }

  bool touched(TopicKind kind, const std::string& key = "") const {
    const Topic topic{kind, key};
    return std::find(changes_.topics.begin(), changes_.topics.end(), topic) !=
           changes_.topics.end();
  }

  StateIndex index_of(TopicKind kind, const std::string& key = "") const {
    return store_.index_of({kind, key});
  }

  StateStore reloaded() const {
    StateStore store;
    for (const auto& [at, value] : rows_) {
      auto loaded = store.load_row(at.first, at.second, value);
      EXPECT_TRUE(loaded) << loaded.error().message;
    }
    auto finished = store.finish_load(index_);
    EXPECT_TRUE(finished) << finished.error().message;
    return store;
  }

  StateStore store_;
  StateIndex index_ = 10;
  ChangeList changes_;
  Rows rows_;
};

}  // namespace fyr::server
