#include "base/error.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace fyr {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorCode::InvalidArgument, "value: must be even");
  return value / 2;
}

TEST(Result, CarriesAValueOrAnError) {
  EXPECT_EQ(*half(8), 4);
  const auto odd = half(7);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(odd.error().message, "value: must be even");
}

TEST(ErrorCode, KnowsWhatConsulClientsExpect) {
  EXPECT_EQ(to_http_status(ErrorCode::NoLeader), 500);
  EXPECT_EQ(to_http_status(ErrorCode::InvalidArgument), 400);
  EXPECT_EQ(to_http_status(ErrorCode::PermissionDenied), 403);
  EXPECT_EQ(to_http_status(ErrorCode::NotFound), 404);
  EXPECT_EQ(to_http_status(ErrorCode::ResourceExhausted), 429);
  EXPECT_EQ(to_dns_rcode(ErrorCode::NotFound), 3);
  EXPECT_EQ(to_grpc_status(ErrorCode::Unavailable), 14);
  EXPECT_EQ(to_exit_status(ErrorCode::InvalidArgument), 64);
  EXPECT_EQ(to_string(ErrorCode::CommitUnknown), "CommitUnknown");
}

TEST(CheckDeathTest, StopsTheProcessAndNamesTheCondition) {
  EXPECT_DEATH(CHECK(1 + 1 == 3), "1 \\+ 1 == 3");
  EXPECT_DEATH(CHECK_MSG(false, "because"), "because");
  EXPECT_DEATH((void)half(7).value(), "value: must be even");
}

}  // namespace
}  // namespace fyr
