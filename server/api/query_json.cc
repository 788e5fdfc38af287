#include "server/api/query_json.h"

#include "base/bytes.h"
#include "proto/registry_json.h"

namespace fyr::server {
namespace {

namespace json = boost::json;
using Texts = google::protobuf::RepeatedPtrField<std::string>;
using Pairs = google::protobuf::RepeatedPtrField<pb::Pair>;

void write_texts(JsonWriter& out, const Texts& texts, bool given) {
  if (texts.empty() && !given) {
    out.null();
    return;
  }
  out.begin_array();
  for (const auto& text : texts) out.string(text);
  out.end_array();
}

// A list or map of a query, and whether it was given at all.
bool read_texts(ObjectDecoder& decoder, std::string_view name, Texts& out) {
  std::vector<std::string> texts;
  decoder.field(name, texts);
  for (auto& text : texts) out.Add(std::move(text));
  return decoder.has(name);
}

bool read_pairs(ObjectDecoder& decoder, std::string_view name, Pairs& out) {
  std::map<std::string, std::string> pairs;
  decoder.field(name, pairs);
  set_pairs(out, pairs);
  return decoder.has(name);
}

Result<void> decode_failover(const json::value& value, const std::string& path,
                             pb::PreparedQuery& out) {
  int nearest = 0;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("NearestN", nearest);
  out.set_has_failover_datacenters(
      read_texts(decoder, "Datacenters", *out.mutable_failover_datacenters()));
  out.set_failover_nearest_n(nearest);
  return decoder.finish();
}

Result<void> decode_service(const json::value& value, const std::string& path,
                            pb::PreparedQuery& out) {
  bool only_passing = false, connect = false;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Service", *out.mutable_service())
      .field("OnlyPassing", only_passing)
      .field("Near", *out.mutable_near())
      .field("Connect", connect);
  decoder.field("Failover", [&](const json::value& inner, const std::string& at) {
    return decode_failover(inner, at, out);
  });
  out.set_has_ignore_check_ids(
      read_texts(decoder, "IgnoreCheckIDs", *out.mutable_ignore_check_ids()));
  out.set_has_tags(read_texts(decoder, "Tags", *out.mutable_tags()));
  out.set_has_node_meta(read_pairs(decoder, "NodeMeta", *out.mutable_node_meta()));
  out.set_has_service_meta(read_pairs(decoder, "ServiceMeta", *out.mutable_service_meta()));
  out.set_only_passing(only_passing);
  out.set_connect(connect);
  return decoder.finish();
}

Result<void> decode_template(const json::value& value, const std::string& path,
                             pb::PreparedQuery& out) {
  bool remove_empty = false;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Type", *out.mutable_template_type())
      .field("Regexp", *out.mutable_template_regexp())
      .field("RemoveEmptyTags", remove_empty);
  out.set_template_remove_empty_tags(remove_empty);
  return decoder.finish();
}

}  // namespace

void encode_query(JsonWriter& out, const pb::PreparedQuery& query) {
  out.begin_object();
  out.key("ID").string(query.id());
  out.key("Name").string(query.name());
  out.key("Session").string(query.session());
  out.key("Token").string(query.token());
  out.key("Template").begin_object();
  out.key("Type").string(query.template_type());
  out.key("Regexp").string(query.template_regexp());
  out.key("RemoveEmptyTags").boolean(query.template_remove_empty_tags());
  out.end_object();
  out.key("Service").begin_object();
  out.key("Service").string(query.service());
  out.key("Failover").begin_object();
  out.key("NearestN").number(query.failover_nearest_n());
  write_texts(out.key("Datacenters"), query.failover_datacenters(),
              query.has_failover_datacenters());
  out.end_object();
  out.key("OnlyPassing").boolean(query.only_passing());
  write_texts(out.key("IgnoreCheckIDs"), query.ignore_check_ids(), query.has_ignore_check_ids());
  out.key("Near").string(query.near());
  write_texts(out.key("Tags"), query.tags(), query.has_tags());
  encode_pairs(out.key("NodeMeta"), query.node_meta(), query.has_node_meta());
  encode_pairs(out.key("ServiceMeta"), query.service_meta(), query.has_service_meta());
  out.key("Connect").boolean(query.connect());
  out.end_object();
  out.key("DNS").begin_object().key("TTL").string(query.dns_ttl()).end_object();
  out.key("CreateIndex").number(query.create_index());
  out.key("ModifyIndex").number(query.modify_index());
  out.end_object();
}

Result<pb::PreparedQuery> decode_query(const json::value& value) {
  pb::PreparedQuery out;
  ObjectDecoder decoder(value, "", UnknownFields::Ignore);
  decoder.field("ID", *out.mutable_id())
      .field("Name", *out.mutable_name())
      .field("Session", *out.mutable_session())
      .field("Token", *out.mutable_token());
  decoder.field("Template", [&](const json::value& inner, const std::string& at) {
    return decode_template(inner, at, out);
  });
  decoder.field("Service", [&](const json::value& inner, const std::string& at) {
    return decode_service(inner, at, out);
  });
  decoder.field("DNS", [&](const json::value& inner, const std::string& at) {
    ObjectDecoder dns(inner, at, UnknownFields::Ignore);
    return dns.field("TTL", *out.mutable_dns_ttl()).finish();
  });
  if (auto done = decoder.finish(); !done) {
    return fail(done.error().code, "Request decode failed: " + done.error().message);
  }
  out.set_id(to_lower(out.id()));
  out.set_session(to_lower(out.session()));
  return out;
}

}  // namespace fyr::server
