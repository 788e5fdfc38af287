// The law of indexes, checked on random histories: what a listing shows changes exactly when its
// topic is touched and its index moves; no index goes back; and a store built from the rows alone
// has the same indexes, contents and digest, and goes on in the same way.
#include <random>
#include <set>

#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using Verb = pb::KvWrite;

std::string text_of(const NodeRow& row) {
  if (!row) return "-";
  pb::Node copy = *row;
  copy.clear_agent_sequence();
  return copy.SerializeAsString();
}
std::string text_of(const ServiceRow& row) {
  pb::ServiceInstance copy = *row;
  copy.clear_agent_sequence();
  return copy.SerializeAsString();
}
std::string text_of(const CheckRow& row) {
  pb::HealthCheck copy = *row;
  copy.clear_agent_sequence();
  return copy.SerializeAsString();
}
std::string text_of(const KvRow& row) {
  return row ? row->SerializeAsString() : "-";
}
std::string text_of(const SessionRow& row) {
  return row ? row->SerializeAsString() : "-";
}
std::string text_of(const QueryRow& row) {
  return row ? row->SerializeAsString() : "-";
}
std::string text_of(const ConfigRow& row) {
  return row ? row->SerializeAsString() : "-";
}
std::string text_of(const CoordinateRow& row) {
  return row->SerializeAsString();
}
std::string text_of(const ServiceNode& row) {
  return text_of(row.node) + text_of(row.service);
}
std::string text_of(const ServiceName& row) {
  std::string out = row.name + ":";
  for (const std::string& tag : row.tags) out += tag + ",";
  return out;
}
std::string text_of(const ServiceHealth& row) {
  std::string out = text_of(row.node) + text_of(row.service);
  for (const CheckRow& check : row.checks) out += text_of(check);
  return out;
}
template <class T>
std::string text_of(const std::vector<T>& rows) {
  std::string out;
  for (const T& row : rows) out += text_of(row) + "|";
  return out;
}

struct View {
  std::string text;
  StateIndex listed = 0;  // index given with the listing; 0: it gives none
};

template <class T>
View view_of(const Listing<T>& listing) {
  return {text_of(listing.rows), listing.index};
}

View view(const StateStore& store, const Topic& topic) {
  switch (topic.kind) {
    case TopicKind::Nodes:
      return view_of(store.nodes());
    case TopicKind::ServiceNames:
      return view_of(store.services());
    case TopicKind::Service:
      return view_of(store.service_health(topic.key));
    case TopicKind::ServiceInstances:
      return view_of(store.service_nodes(topic.key));
    case TopicKind::ServiceChecks:
      return view_of(store.service_checks(topic.key));
    case TopicKind::NodeServices: {
      const NodeServices found = store.node_services(topic.key);
      return {text_of(found.node) + text_of(found.services)};
    }
    case TopicKind::Node: {
      const NodeServices found = store.node_services(topic.key);
      return {text_of(found.node) + text_of(found.services) +
              text_of(store.node_checks(topic.key).rows)};
    }
    case TopicKind::NodeChecks:
      return view_of(store.node_checks(topic.key));
    case TopicKind::CheckState:
      return view_of(store.checks_in_state(topic.key));
    case TopicKind::KvKey:
      return {text_of(store.kv(topic.key))};
    case TopicKind::KvPrefix:
      return view_of(store.kv_list(topic.key));
    case TopicKind::Session:
      return {text_of(store.session(topic.key))};
    case TopicKind::Sessions:
      return view_of(store.sessions());
    case TopicKind::NodeSessions:
      return view_of(store.node_sessions(topic.key));
    case TopicKind::Query:
      return {text_of(store.query(topic.key))};
    case TopicKind::Queries:
      return view_of(store.queries());
    case TopicKind::ConfigEntry: {
      const auto slash = topic.key.find('/');
      return {text_of(store.config_entry(topic.key.substr(0, slash), topic.key.substr(slash + 1)))};
    }
    case TopicKind::ConfigEntries:
      return view_of(store.config_entries(topic.key));
    case TopicKind::Coordinates:
      return view_of(store.coordinates());
    case TopicKind::Instances: {
      std::string out = text_of(store.nodes().rows);
      for (const NodeRow& node : store.nodes().rows)
        out += text_of(store.node_services(node->name()).services);
      return {out};
    }
  }
  return {};
}

const std::vector<std::string> kNodes{"n0", "n1", "n2"}, kServices{"s0", "s1", "s2"},
    kIds{"i0", "i1", "i2"}, kChecks{"c0", "c1", "c2", "c3"},
    kStates{"passing", "warning", "critical"},
    kKeys{"a", "a/", "a/x", "a/x/1", "a/y", "b", "b/x", "c\xff"},
    kPrefixes{"", "a", "a/", "a/x", "a/x/", "b", "c", "zz"};

const std::vector<std::string> kKinds{"k0", "k1"};

std::string query_id(int number) {
  return session_id(900 + number);
}

std::vector<Topic> all_topics(int sessions) {
  std::vector<Topic> out{{TopicKind::Nodes, ""},      {TopicKind::ServiceNames, ""},
                         {TopicKind::Sessions, ""},   {TopicKind::Instances, ""},
                         {TopicKind::Queries, ""},    {TopicKind::ConfigEntries, ""},
                         {TopicKind::Coordinates, ""}};
  for (int i = 0; i < 3; ++i) out.push_back({TopicKind::Query, query_id(i)});
  for (const auto& kind : kKinds) {
    out.push_back({TopicKind::ConfigEntries, kind});
    for (const auto& name : kServices) out.push_back({TopicKind::ConfigEntry, kind + "/" + name});
  }
  for (const auto& name : kServices)
    for (auto kind : {TopicKind::Service, TopicKind::ServiceInstances, TopicKind::ServiceChecks})
      out.push_back({kind, name});
  for (const auto& name : kNodes)
    for (auto kind :
         {TopicKind::Node, TopicKind::NodeServices, TopicKind::NodeChecks, TopicKind::NodeSessions})
      out.push_back({kind, name});
  for (const auto& state : kStates) out.push_back({TopicKind::CheckState, state});
  out.push_back({TopicKind::CheckState, "any"});
  for (const auto& key : kKeys) out.push_back({TopicKind::KvKey, key});
  for (const auto& prefix : kPrefixes) out.push_back({TopicKind::KvPrefix, prefix});
  for (int i = 0; i < sessions; ++i) out.push_back({TopicKind::Session, session_id(i)});
  return out;
}

class RandomHistory {
 public:
  explicit RandomHistory(unsigned seed) : random_(seed) {}

  pb::Command next() {
    pb::Command command = choose();
    stamp_ += below(3) * 1'000'000'000;
    command.set_stamp_ns(stamp_);
    return command;
  }

  int sessions() const { return next_session_; }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  const std::string& any(const std::vector<std::string>& of) {
    return of[static_cast<std::size_t>(below(static_cast<int>(of.size())))];
  }

  pb::Command choose() {
    switch (below(16)) {
      case 0:
        return node_command(any(kNodes), "10.0.0." + std::to_string(below(3)),
                            below(2) ? "id" + std::to_string(below(3)) : "");
      case 1:
      case 2:
        return service();
      case 3:
      case 4:
        return check_command(any(kNodes), any(kChecks), any(kStates),
                             below(2) ? any(kIds) : std::string(), below(2) ? "x" : "y");
      case 5:
        return remove();
      case 6:
      case 7:
        return kv();
      case 8:
        return lock();
      case 9:
        return session_command(
            next_session_++, any(kNodes),
            below(2) ? std::vector<std::string>{any(kChecks)} : std::vector<std::string>{},
            below(2) ? "release" : "delete", below(3) * 1'000'000'000);
      case 10:
        return destroy_command(below(next_session_ + 1));
      case 11:
        return query();
      case 12:
        return config();
      case 13:
        return coordinate();
      case 14:
        return txn();
      default:
        return batch();
    }
  }

  pb::Command query() {
    pb::Command command;
    auto& request = *command.mutable_prepared_query();
    request.set_verb(static_cast<pb::PreparedQueryWrite::Verb>(below(3)));
    request.mutable_query()->set_id(query_id(below(3)));
    request.mutable_query()->set_name(below(3) ? any(kServices) : std::string());
    if (below(4) == 0) request.mutable_query()->set_template_type("name_prefix_match");
    if (below(2)) request.mutable_query()->set_session(session_id(std::max(0, next_session_ - 1)));
    return command;
  }

  pb::Command config() {
    pb::Command command;
    if (below(3) == 0) {
      command.mutable_config_entry_delete()->set_kind(any(kKinds));
      command.mutable_config_entry_delete()->set_name(any(kServices));
      return command;
    }
    auto& entry = *command.mutable_config_entry_set()->mutable_entry();
    entry.set_kind(any(kKinds));
    entry.set_name(any(kServices));
    entry.set_json(std::to_string(below(3)));
    return command;
  }

  pb::Command coordinate() {
    pb::Command command;
    for (int i = below(3); i >= 0; --i) {
      auto& row = *command.mutable_coordinate_update()->add_coordinates();
      row.set_node(any(kNodes));
      row.add_vec(below(3));
    }
    return command;
  }

  pb::Command txn() {
    pb::Command command;
    auto& ops = *command.mutable_txn()->mutable_ops();
    for (int i = below(3); i >= 0; --i) {
      auto& op = *ops.Add();
      const auto verb = static_cast<pb::TxnVerb>(below(5));
      if (below(3) != 0) {
        op.mutable_kv()->set_verb(static_cast<pb::TxnKv::Verb>(below(12)));
        op.mutable_kv()->mutable_pair()->set_key(any(kKeys));
        op.mutable_kv()->mutable_pair()->set_value(std::to_string(below(3)));
      } else if (below(2)) {
        op.mutable_service()->set_verb(verb);
        op.mutable_service()->set_node(any(kNodes));
        op.mutable_service()->mutable_service()->set_id(any(kIds));
        op.mutable_service()->mutable_service()->set_service(any(kServices));
      } else {
        op.mutable_check()->set_verb(verb);
        op.mutable_check()->mutable_check()->set_node(any(kNodes));
        op.mutable_check()->mutable_check()->set_check_id(any(kChecks));
        op.mutable_check()->mutable_check()->set_status(any(kStates));
      }
    }
    return command;
  }

  pb::Command service() {
    std::vector<std::string> tags;
    for (int i = below(3); i > 0; --i) tags.push_back("t" + std::to_string(below(3)));
    pb::Command command =
        service_command(any(kNodes), any(kIds), any(kServices), 80 + below(2), tags);
    command.mutable_register_()->set_skip_node_update(below(2) == 0);
    if (below(2)) command.mutable_register_()->set_agent_sequence(static_cast<unsigned>(below(50)));
    if (below(2)) add_check(command, any(kChecks), any(kStates), any(kIds));
    return command;
  }

  pb::Command remove() {
    switch (below(4)) {
      case 0:
        return deregister_command(any(kNodes));
      case 1:
        return deregister_command(any(kNodes), any(kIds));
      default:
        return deregister_command(any(kNodes), "", any(kChecks));
    }
  }

  pb::Command kv() {
    const auto value = std::to_string(below(3));
    switch (below(6)) {
      case 0:
        return kv_command(Verb::DELETE, any(kKeys));
      case 1:
        return kv_command(Verb::DELETE_TREE, any(kPrefixes));
      case 2:
        return kv_command(Verb::CAS, any(kKeys), value, 0);
      default:
        return kv_command(Verb::SET, any(kKeys), value);
    }
  }

  pb::Command lock() {
    return kv_command(below(3) ? Verb::LOCK : Verb::UNLOCK, any(kKeys), "l", 0,
                      session_id(std::max(0, next_session_ - 1 - below(3))));
  }

  pb::Command batch() {
    pb::Command command;
    for (int i = below(4); i >= 0; --i) *command.mutable_batch()->add_commands() = choose();
    return command;
  }

  std::mt19937 random_;
  int next_session_ = 0;
  std::int64_t stamp_ = 0;
};

class Indexes : public StateTest {
 protected:
  // Checks one topic over one step.
  void check(const Topic& topic, const View& before, StateIndex index_before) {
    const View now = view(store_, topic);
    const StateIndex index = store_.index_of(topic);
    const std::string what = "topic " + std::to_string(static_cast<int>(topic.kind)) + " \"" +
                             topic.key + "\" at " + std::to_string(index_);
    ASSERT_GE(index, index_before) << what << ": went back";
    if (now.listed != 0) {
      ASSERT_EQ(now.listed, index) << what << ": listing and topic disagree";
    }
    if (now.text != before.text) {
      ASSERT_EQ(index, index_) << what << ": changed, but its index says otherwise";
      ASSERT_TRUE(is_published(topic)) << what << ": changed and wakes nobody";
    } else if (!is_key_under_removed_tree(topic) && !(compound_ && is_published(topic))) {
      // (A compound command may change something and change it back.)
      ASSERT_EQ(index, index_before) << what << ": unchanged, but its index moved";
      ASSERT_FALSE(touched(topic.kind, topic.key)) << what << ": unchanged, but touched";
    }
  }

  // Prefixes are matched by the publisher: a touched key touches its prefixes.
  bool is_published(const Topic& topic) const {
    if (topic.kind != TopicKind::KvPrefix) return touched(topic.kind, topic.key);
    return std::any_of(changes_.topics.begin(), changes_.topics.end(), [&](const Topic& other) {
      return other.kind == TopicKind::KvKey && other.key.starts_with(topic.key);
    });
  }

  // The one coarseness: a tree's tombstone also covers keys in it that were not there.
  bool is_key_under_removed_tree(const Topic& topic) const {
    return (topic.kind == TopicKind::KvKey || topic.kind == TopicKind::KvPrefix) &&
           view(store_, topic).text.size() <= 1;
  }

  bool compound_ = false;

  void compare_with_reloaded(const std::vector<Topic>& topics) {
    const StateStore again = reloaded();
    ASSERT_EQ(again.digest(), store_.digest());
    ASSERT_EQ(again.check_count(), store_.check_count());
    ASSERT_EQ(again.service_count(), store_.service_count());
    for (const Topic& topic : topics) {
      ASSERT_EQ(again.index_of(topic), store_.index_of(topic))
          << static_cast<int>(topic.kind) << " " << topic.key << " at " << index_;
      ASSERT_EQ(view(again, topic).text, view(store_, topic).text);
    }
  }
};

TEST_F(Indexes, MoveExactlyWhenTheirListingChangesAndSurviveAReload) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    store_ = StateStore();
    rows_.clear();
    index_ = 10;
    RandomHistory history(seed);
    for (int step = 0; step < 500; ++step) {
      const auto topics = all_topics(history.sessions());
      std::vector<View> views;
      std::vector<StateIndex> indexes;
      for (const Topic& topic : topics) {
        views.push_back(view(store_, topic));
        indexes.push_back(store_.index_of(topic));
      }
      const pb::Command command = history.next();
      compound_ = command.has_batch() || command.has_txn() || command.has_coordinate_update() ||
                  (command.register_().has_service() && command.register_().checks_size() > 0);
      apply_at(index_ + 1 + step % 3, command);
      for (std::size_t i = 0; i < topics.size(); ++i) {
        check(topics[i], views[i], indexes[i]);
        if (HasFatalFailure()) return;
      }
      if (step % 50 != 49) continue;
      compare_with_reloaded(topics);
      if (HasFatalFailure()) return;
      // Half of the time go on with the one from disk: the rest must hold for it too.
      if (step % 100 == 99) store_ = reloaded();
    }
  }
}

TEST_F(Indexes, TwoStoresFedTheSameLogAgreeEvenIfOneIsRebuiltOnTheWay) {
  for (unsigned seed = 100; seed < 110; ++seed) {
    store_ = StateStore();
    rows_.clear();
    index_ = 10;
    StateStore twin;
    RandomHistory history(seed);
    for (int step = 0; step < 400; ++step) {
      const pb::Command command = history.next();
      const ApplyResult mine = apply(command);
      ChangeList changes;
      const ApplyResult other = twin.apply(index_, command, changes);
      ASSERT_EQ(mine.done, other.done);
      ASSERT_EQ(mine.error.has_value(), other.error.has_value());
      ASSERT_EQ(changes.topics, changes_.topics) << "seed " << seed << " step " << step;
      ASSERT_EQ(changes.rows.size(), changes_.rows.size());
      ASSERT_EQ(twin.digest(), store_.digest());
      if (step % 37 == 36) twin = reloaded();
      if (step % 90 == 89) {
        pb::Command reap;
        reap.mutable_tombstone_reap()->set_upto_index(index_ - 20);
        apply(reap);
        ChangeList ignored;
        twin.apply(index_, reap, ignored);
        ASSERT_EQ(twin.digest(), store_.digest());
        compare_with_reloaded(all_topics(history.sessions()));
      }
    }
  }
}

TEST_F(Indexes, AServiceThatComesAndGoesAndComesAgainNeverGoesBack) {
  const StateIndex missing = store_.service_health("web").index;
  EXPECT_GE(missing, 1u);
  done(service_command("other", "x", "x"));
  EXPECT_EQ(store_.service_health("web").index, missing) << "an unrelated write";
  StateIndex last = missing;
  for (int round = 0; round < 3; ++round) {
    done(service_command("n", "web", "web"));
    EXPECT_GT(store_.service_health("web").index, last);
    last = store_.service_health("web").index;
    done(deregister_command("n"));
    EXPECT_GT(store_.service_health("web").index, last);
    last = store_.service_health("web").index;
    done(service_command("other", "x", "x", 90 + round));
    EXPECT_EQ(store_.service_health("web").index, last);
  }
}

}  // namespace
}  // namespace fyr::server
