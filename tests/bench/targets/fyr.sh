#!/bin/bash
# Adapter: starts ONE fyr node in the foreground (exec, so the pid is the node's).
#   B_ROLE=server|agent  B_NAME  B_DIR (fresh or kept data directory)
#   B_HTTP B_DNS B_SERF B_WAN B_RPC B_GRPC   ports on 127.0.0.1
#   B_EXPECT  number of servers              B_JOIN   space-separated 127.0.0.1:SERF
#   B_RAFT_MULT  optional Raft timing multiplier
# Called with "version", it prints a name for the report; with "binary", the path.
BIN=${FYR_BINARY:-$(dirname "${BASH_SOURCE[0]}")/../../../build/release/fyr}
case "${1:-}" in
  version) exec "$BIN" version ;;
  binary) realpath "$BIN"; exit ;;
esac
mkdir -p "$B_DIR"
join=""
for j in ${B_JOIN:-}; do join="$join\"$j\","; done
role=""
[[ "$B_ROLE" = server ]] && role="\"server\":true,\"bootstrap_expect\":$B_EXPECT,\"performance\":{\"raft_multiplier\":${B_RAFT_MULT:-1}},"
cat >"$B_DIR.json" <<J
{ "node_name":"$B_NAME","data_dir":"$B_DIR",$role
  "bind_addr":"127.0.0.1","client_addr":"127.0.0.1","log_level":"${B_LOG:-error}","retry_join":[${join%,}],
  "ports":{"http":$B_HTTP,"dns":$B_DNS,"serf_lan":$B_SERF,"serf_wan":$B_WAN,"server":$B_RPC,"grpc":-1},
  "limits":{"http_max_conns_per_client":12000} }
J
exec "$BIN" agent -config-file="$B_DIR.json" ${B_EXTRA:-}
