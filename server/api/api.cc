#include "server/api/api.h"

#include "server/api/routes.h"
#include "server/api/snapshot.h"
#include "server/api/snapshot_schedule.h"

namespace fyr::server {

struct Api::Impl {
  Impl(Server& server, io::Runtime& runtime, ApiOptions given)
      : options(std::move(given)),
        reads(server, runtime, options),
        writes(server, runtime, options),
        snapshots(server, options, snapshot_work),
        schedule(server, options.snapshot_schedule, snapshot_work),
        context{server, options, reads, writes},
        router(options.router) {
    add_catalog_routes(router, context);
    add_catalog_write_routes(router, context);
    add_health_routes(router, context);
    add_internal_ui_routes(router, context);
    add_kv_routes(router, context);
    add_session_routes(router, context);
    add_query_routes(router, context);
    add_coordinate_routes(router, context);
    add_operator_routes(router, context);
    add_snapshot_routes(router, snapshots, schedule);
    add_status_routes(router, context);
    add_txn_routes(router, context);
    add_config_routes(router, context);
    add_connect_routes(router, context);
    add_keyring_routes(router, context);
  }

  const ApiOptions options;
  Reads reads;
  Writes writes;
  SnapshotWork snapshot_work;
  Snapshots snapshots;
  SnapshotSchedule schedule;
  ApiContext context;
  io::HttpRouter router;
};

Api::Api(Server& server, io::Runtime& runtime, ApiOptions options)
    : impl_(std::make_unique<Impl>(server, runtime, std::move(options))) {}

Api::~Api() {
  stop();
}

void Api::handle(std::shared_ptr<io::HttpExchange> exchange) {
  if (!impl_->router.handle(exchange)) impl_->router.not_found(exchange);
}

void Api::stop() {
  impl_->writes.stop();
  impl_->reads.stop();
  impl_->snapshots.stop();
  impl_->schedule.stop();
}

}  // namespace fyr::server
