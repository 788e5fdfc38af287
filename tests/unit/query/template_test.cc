#include "server/query/template.h"

#include <gtest/gtest.h>

namespace fyr::server {
namespace {

pb::PreparedQuery geo() {
  pb::PreparedQuery query;
  query.set_name("geo-");
  query.set_template_type("name_prefix_match");
  query.set_template_regexp("^geo-(.*)-([^\\-]+)$");
  query.set_template_remove_empty_tags(true);
  query.set_service("${match(1)}");
  query.add_tags("${ match(2) }");
  return query;
}

TEST(QueryTemplate, VariablesStandForPartsOfTheName) {
  pb::PreparedQuery query = geo();
  query.set_near("${name.suffix}/${name.prefix}/${name.full}/$${match(0)}/${match(0)}");
  const auto rendered = render_template(query, "geo-web-eu");
  ASSERT_TRUE(rendered);
  EXPECT_EQ(rendered->service(), "web");
  EXPECT_EQ(rendered->tags(0), "eu");
  EXPECT_EQ(rendered->near(), "web-eu/geo-/geo-web-eu/${match(0)}/geo-web-eu");
  EXPECT_EQ(rendered->name(), "geo-");
}

TEST(QueryTemplate, WithoutAMatchTextsAreEmptyAndEmptyTagsGo) {
  const auto rendered = render_template(geo(), "geo-nothing");
  ASSERT_TRUE(rendered);
  EXPECT_EQ(rendered->service(), "");
  EXPECT_EQ(rendered->tags_size(), 0);
  pb::PreparedQuery keeps = geo();
  keeps.set_template_remove_empty_tags(false);
  EXPECT_EQ(render_template(keeps, "geo-nothing")->tags_size(), 1);
}

TEST(QueryTemplate, WhatCannotBeCompiledIsRefused) {
  EXPECT_TRUE(check_template(geo()));
  pb::PreparedQuery query = geo();
  query.set_template_type("nope");
  EXPECT_EQ(check_template(query).error().message,
            "failed compiling template: Bad Template.Type 'nope'");
  query = geo();
  query.set_template_regexp("(");
  EXPECT_EQ(check_template(query).error().message.substr(0, 39),
            "failed compiling template: Bad Regexp: ");
  for (const auto* text : {"${nope}", "${match(x)}", "${match(1)", "${match()}", "${match(-1)}"}) {
    query = geo();
    query.set_service(text);
    EXPECT_FALSE(check_template(query)) << text;
  }
}

}  // namespace
}  // namespace fyr::server
