#include "agent/events.h"

#include <gtest/gtest.h>

namespace fyr::agent {
namespace {

UserEvent event(const std::string& name) {
  UserEvent out;
  out.id = "id";
  out.name = name;
  return out;
}

TEST(EventRing, KeepsTheLast256AndNumbersThemAll) {
  EventRing ring;
  EXPECT_EQ(ring.index(""), 1u);
  for (int i = 0; i < 300; ++i) ring.add(event(i % 2 == 0 ? "even" : "odd"));
  EXPECT_EQ(ring.list("").size(), 256u);
  EXPECT_EQ(ring.list("even").size(), 128u);
  EXPECT_EQ(ring.index(""), 301u);
  EXPECT_EQ(ring.index("even"), 300u);
  EXPECT_EQ(ring.index("none"), 1u);
}

TEST(UserEvent, FiltersSayForWhomItIs) {
  const std::vector<NamedService> services = {{"web", {"v1", "v2"}}};
  UserEvent one = event("e");
  EXPECT_TRUE(is_for(one, "n1", {}));
  one.node_filter = "^n";
  EXPECT_TRUE(is_for(one, "n1", {}));
  EXPECT_FALSE(is_for(one, "db", {}));
  one.service_filter = "web";
  EXPECT_TRUE(is_for(one, "n1", services));
  EXPECT_FALSE(is_for(one, "n1", {}));
  one.tag_filter = "v2";
  EXPECT_TRUE(is_for(one, "n1", services));
  one.tag_filter = "v3";
  EXPECT_FALSE(is_for(one, "n1", services));
}

TEST(UserEvent, BadOnesAreRefused) {
  EXPECT_EQ(validate(event("")).error().message, "Missing name");
  UserEvent tag = event("e");
  tag.tag_filter = "a";
  EXPECT_EQ(validate(tag).error().message, "Cannot provide tag filter without service filter");
  UserEvent expression = event("e");
  expression.node_filter = "[";
  EXPECT_EQ(validate(expression).error().code, ErrorCode::Internal);
  UserEvent big = event("e");
  big.payload.assign(600, 'z');
  EXPECT_FALSE(validate(big));
  EXPECT_TRUE(validate(event("e")));
}

TEST(UserEvent, IsShownAsConsulShowsIt) {
  UserEvent one = event("e");
  one.payload = "hello";
  one.time = 5;
  std::string json;
  append_json(json, one, true);
  EXPECT_EQ(json,
            R"({"ID":"id","Name":"e","Payload":"aGVsbG8=","NodeFilter":"","ServiceFilter":"",)"
            R"("TagFilter":"","Version":1,"LTime":5})");
}

}  // namespace
}  // namespace fyr::agent
