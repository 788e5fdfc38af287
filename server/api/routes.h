// What every endpoint family is given, and the functions by which they add their routes.
#pragma once

#include "base/io/http_router.h"
#include "server/api/api.h"
#include "server/api/blocking.h"
#include "server/api/writing.h"
#include "server/server.h"

namespace fyr::server {

class Snapshots;
class SnapshotSchedule;

// Lives as long as the Api; handlers keep a reference.
struct ApiContext {
  Server& server;
  const ApiOptions& options;
  Reads& reads;
  Writes& writes;
};

void add_catalog_routes(io::HttpRouter& router, ApiContext& context);
void add_catalog_write_routes(io::HttpRouter& router, ApiContext& context);
void add_health_routes(io::HttpRouter& router, ApiContext& context);
void add_internal_ui_routes(io::HttpRouter& router, ApiContext& context);
void add_keyring_routes(io::HttpRouter& router, ApiContext& context);
void add_kv_routes(io::HttpRouter& router, ApiContext& context);
void add_query_routes(io::HttpRouter& router, ApiContext& context);
void add_session_routes(io::HttpRouter& router, ApiContext& context);
void add_config_routes(io::HttpRouter& router, ApiContext& context);
void add_connect_routes(io::HttpRouter& router, ApiContext& context);
void add_coordinate_routes(io::HttpRouter& router, ApiContext& context);
void add_operator_routes(io::HttpRouter& router, ApiContext& context);
void add_snapshot_routes(io::HttpRouter& router, Snapshots& snapshots,
                         const SnapshotSchedule& schedule);
void add_status_routes(io::HttpRouter& router, ApiContext& context);
void add_txn_routes(io::HttpRouter& router, ApiContext& context);

}  // namespace fyr::server
