#!/bin/bash
# Proxy adapter: an agent without servers, one listener with fixed endpoints, settings as in haproxy.sh.
# P_LISTEN port, P_BACKENDS "name=127.0.0.1:port ...", P_MODE http|tcp, P_DIR scratch
BIN=${FYR_BINARY:-$(dirname "${BASH_SOURCE[0]}")/../../../build/release/fyr}
[[ "${1:-}" = version ]] && exec "$BIN" version
mode=tcp
endpoints=""
for b in $P_BACKENDS; do
  address=${b#*=}
  endpoints="$endpoints{\"name\":\"${b%%=*}\",\"address\":\"${address%:*}\",\"port\":${address##*:}},"
done
cat >"$P_DIR/fyr-$P_LISTEN.json" <<J
{ "node_name":"px","data_dir":"$P_DIR/fyr-$P_LISTEN","bind_addr":"127.0.0.1","log_level":"error",
  "ports":{"http":$((P_LISTEN+1000)),"dns":-1,"serf_lan":$((P_LISTEN+1001)),"serf_wan":-1,"server":$((P_LISTEN+1002))},
  "proxy":{"listeners":[{"name":"web","destination_name":"web","destination_type":"static","protocol":"$mode",
    "local_bind_port":$P_LISTEN,"limits":{"maxconn":8000,"endpoint_max_connections":8000},"access_log":{"target":"none"},
    "health_check":{"type":"tcp","interval":"2s","rise":2,"fall":3},
    "endpoints":[${endpoints%,}]}]} }
J
exec "$BIN" agent -config-file "$P_DIR/fyr-$P_LISTEN.json"
