#include "proxy/access_log.h"

#include <gtest/gtest.h>

namespace fyr::proxy {
namespace {

AccessRecord http_record() {
  AccessRecord r;
  r.accepted = WallTime(std::chrono::milliseconds(1763828280123));  // 2025-11-22 16:18:00.123 UTC
  r.client = "10.0.0.5:33000";
  r.listener = "inventory";
  r.service = "inventory";
  r.endpoint = "inv-1";
  r.request_ms = 0;
  r.queue_ms = 0;
  r.connect_ms = 1;
  r.response_ms = 12;
  r.total_ms = 13;
  r.status = 200;
  r.bytes = 1234;
  r.process_connections = 5;
  r.listener_connections = 4;
  r.service_connections = 3;
  r.endpoint_connections = 2;
  r.request_line = "GET /a?b=c HTTP/1.1";
  return r;
}

std::string line(const AccessRecord& record, int offset = 0) {
  std::string out;
  append_access_line(out, record, offset);
  return out;
}

TEST(AccessLog, httplog_golden) {
  EXPECT_EQ(line(http_record()),
            "10.0.0.5:33000 [22/Nov/2025:16:18:00.123] inventory inventory/inv-1 0/0/1/12/13 200 "
            "1234 - - ---- 5/4/3/2/0 0/0 \"GET /a?b=c HTTP/1.1\"\n");
}

TEST(AccessLog, RedispatchErrorsAndMissingPhases) {
  auto r = http_record();
  r.retries = 2;
  r.redispatched = true;
  EXPECT_NE(line(r).find(" 5/4/3/2/+2 0/0 "), std::string::npos);
  AccessRecord bad;
  bad.accepted = r.accepted;
  bad.client = "[::1]:7";
  bad.listener = "web";
  bad.service = "web";
  bad.total_ms = 3;
  bad.status = 400;
  bad.bytes = 187;
  bad.termination = {'P', 'R'};
  bad.process_connections = bad.listener_connections = 1;
  EXPECT_EQ(line(bad),
            "[::1]:7 [22/Nov/2025:16:18:00.123] web web/<NOSRV> -1/-1/-1/-1/3 400 187 - - PR-- "
            "1/1/0/0/0 0/0 \"<BADREQ>\"\n");
}

TEST(AccessLog, TcplogGolden) {
  auto r = http_record();
  r.http = false;
  r.termination = {'C', 'D'};
  EXPECT_EQ(line(r),
            "10.0.0.5:33000 [22/Nov/2025:16:18:00.123] inventory inventory/inv-1 0/1/13 1234 CD "
            "5/4/3/2/0 0/0\n");
}

TEST(AccessLog, LocalTimeIsUsed) {
  EXPECT_NE(line(http_record(), 60).find("[22/Nov/2025:17:18:00.123]"), std::string::npos);
  EXPECT_NE(line(http_record(), -17 * 60).find("[21/Nov/2025:23:18:00.123]"), std::string::npos);
}

TEST(AccessLog, NothingAClientSendsBreaksTheLine) {
  auto r = http_record();
  r.request_line = "GET /\"#\x01\xe4\n HTTP/1.1";
  EXPECT_NE(line(r).find("\"GET /#22#23#01#E4#0A HTTP/1.1\"\n"), std::string::npos);
  const std::string long_line = "GET /" + std::string(5000, 'a');
  r.request_line = long_line;
  EXPECT_LT(line(r).size(), 1300u);
  r.endpoint = "node a/inv-1";
  EXPECT_NE(line(r).find(" inventory/node_a:inv-1 "), std::string::npos);
}

}  // namespace
}  // namespace fyr::proxy
