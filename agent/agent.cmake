# The agent half of every process: drivers around the cores of checks and local.
fyr_library(fyr_agent
  SOURCES agent.cc agent_stub.cc alias_follower.cc events.cc forward.cc local_waiters.cc
          registrar.cc registration.cc rpc_calls.cc server_picker.cc watch_client.cc watch_store.cc
          api/checks.cc api/cluster.cc api/connect.cc api/context.cc api/events.cc api/machine.cc
          api/maintenance.cc api/self.cc api/services.cc
          checks/grpc_probe.cc checks/probes.cc checks/runner.cc
          local/change_queue.cc local/persistence.cc local/status_keeper.cc local/sync.cc
  DEPS fyr_checks fyr_local fyr_membership fyr_registry_json fyr_proto_grpc fyr_io fyr_grpc
       fyr_re2)
