// What operators set for the whole cluster.
#include "server/state/tables.h"

namespace fyr::server {

namespace {
constexpr char kAutopilotKey[] = "autopilot";
}

// Consul's defaults; the row is as if made with the cluster.
AutopilotRow default_autopilot() {
  static const AutopilotRow row = [] {
    auto config = std::make_shared<pb::AutopilotConfig>();
    config->set_cleanup_dead_servers(true);
    config->set_last_contact_threshold_ns(200'000'000);
    config->set_max_trailing_logs(250);
    config->set_server_stabilization_ns(10'000'000'000);
    config->set_create_index(1);
    config->set_modify_index(1);
    return config;
  }();
  return row;
}

ApplyResult apply_autopilot_set(Change& change, const pb::AutopilotSet& request) {
  const AutopilotRow old = change.tables.autopilot;
  const pb::AutopilotConfig& before = old ? *old : *default_autopilot();
  if (request.cas() && request.config().modify_index() != before.modify_index()) {
    ApplyResult lost;
    lost.done = false;
    return lost;
  }
  auto row = std::make_shared<pb::AutopilotConfig>(request.config());
  row->set_create_index(before.create_index());
  row->set_modify_index(change.index);
  change.write_row<pb::AutopilotConfig>(Table::Operator, kAutopilotKey, old.get(), row.get());
  change.tables.autopilot = std::move(row);
  return {};
}

Result<void> load_operator(Tables& tables, std::string_view key, std::string_view value) {
  auto row = std::make_shared<pb::AutopilotConfig>();
  if (key != kAutopilotKey || !row->ParseFromArray(value.data(), static_cast<int>(value.size())))
    return fail(ErrorCode::Corrupt, "state: an operator row cannot be read");
  tables.autopilot = std::move(row);
  return {};
}

AutopilotRow StateStore::autopilot() const {
  return tables_->autopilot ? tables_->autopilot : default_autopilot();
}

}  // namespace fyr::server
