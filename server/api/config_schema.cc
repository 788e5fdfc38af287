#include "server/api/config_schema.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "base/time.h"
#include "server/api/config_rules.h"

namespace fyr::server {
namespace {

namespace json = boost::json;

enum class Type { Text, Whole, Number, Flag, Span, Texts, TextMap, Any, Object, List, ObjectMap };

struct Field {
  std::string_view name;
  Type type;
  std::vector<Field> fields = {};  // of Object, and of the elements of List and ObjectMap
  bool always = false;             // shown also when it is empty
};
using Fields = std::vector<Field>;

struct Kind {
  std::string_view name;
  std::string_view fixed_name;  // entries of this kind have no other
  Fields fields;                // beside Kind and Name
};

const Field kMeta{"Meta", Type::TextMap};

Fields proxy_fields() {
  return {
      {"Mode", Type::Text},
      {"TransparentProxy",
       Type::Object,
       {{"OutboundListenerPort", Type::Whole}, {"DialedDirectly", Type::Flag}},
       true},
      {"MeshGateway", Type::Object, {{"Mode", Type::Text}}, true},
      {"Expose",
       Type::Object,
       {{"Checks", Type::Flag},
        {"Paths",
         Type::List,
         {{"ListenerPort", Type::Whole},
          {"Path", Type::Text},
          {"LocalPathPort", Type::Whole},
          {"Protocol", Type::Text}}}},
       true},
  };
}

Fields service_defaults() {
  Fields out = {{"Protocol", Type::Text, {}, true}};
  for (Field& field : proxy_fields()) out.push_back(std::move(field));
  out.push_back({"ExternalSNI", Type::Text});
  out.push_back({"UpstreamConfig", Type::Any});
  return out;
}

Fields proxy_defaults() {
  Fields out = {{"Config", Type::Any, {}, true}};
  for (Field& field : proxy_fields()) out.push_back(std::move(field));
  return out;
}

Fields service_router() {
  const Fields header = {{"Name", Type::Text},   {"Present", Type::Flag}, {"Exact", Type::Text},
                         {"Prefix", Type::Text}, {"Suffix", Type::Text},  {"Regex", Type::Text},
                         {"Invert", Type::Flag}};
  const Fields parameter = {
      {"Name", Type::Text}, {"Present", Type::Flag}, {"Exact", Type::Text}, {"Regex", Type::Text}};
  const Fields http = {{"PathExact", Type::Text},
                       {"PathPrefix", Type::Text},
                       {"PathRegex", Type::Text},
                       {"Header", Type::List, header},
                       {"QueryParam", Type::List, parameter},
                       {"Methods", Type::Texts}};
  const Fields headers = {{"Add", Type::TextMap}, {"Set", Type::TextMap}, {"Remove", Type::Texts}};
  const Fields destination = {{"Service", Type::Text},
                              {"ServiceSubset", Type::Text},
                              {"Namespace", Type::Text},
                              {"PrefixRewrite", Type::Text},
                              {"RequestTimeout", Type::Span},
                              {"NumRetries", Type::Whole},
                              {"RetryOnConnectFailure", Type::Flag},
                              {"RetryOnStatusCodes", Type::Any},
                              {"RequestHeaders", Type::Object, headers},
                              {"ResponseHeaders", Type::Object, headers}};
  return {{"Routes",
           Type::List,
           {{"Match", Type::Object, {{"HTTP", Type::Object, http}}},
            {"Destination", Type::Object, destination}}}};
}

Fields service_splitter() {
  return {{"Splits",
           Type::List,
           {{"Weight", Type::Number, {}, true},
            {"Service", Type::Text},
            {"ServiceSubset", Type::Text},
            {"Namespace", Type::Text},
            {"RequestHeaders", Type::Any},
            {"ResponseHeaders", Type::Any}},
           true}};
}

Fields service_resolver() {
  return {{"DefaultSubset", Type::Text},
          {"Subsets", Type::ObjectMap, {{"Filter", Type::Text}, {"OnlyPassing", Type::Flag}}},
          {"Redirect",
           Type::Object,
           {{"Service", Type::Text},
            {"ServiceSubset", Type::Text},
            {"Namespace", Type::Text},
            {"Datacenter", Type::Text}}},
          {"Failover",
           Type::ObjectMap,
           {{"Service", Type::Text},
            {"ServiceSubset", Type::Text},
            {"Namespace", Type::Text},
            {"Datacenters", Type::Texts}}},
          {"ConnectTimeout", Type::Span},
          {"LoadBalancer", Type::Any}};
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"service-defaults", "", service_defaults()},
      {"proxy-defaults", "global", proxy_defaults()},
      {"service-router", "", service_router()},
      {"service-splitter", "", service_splitter()},
      {"service-resolver", "", service_resolver()},
      {"ingress-gateway", "", {{"TLS", Type::Any}, {"Listeners", Type::Any, {}, true}}},
      {"terminating-gateway", "", {{"Services", Type::Any, {}, true}}},
      {"service-intentions", "", {{"Sources", Type::Any, {}, true}}},
      {"mesh", "mesh", {{"TransparentProxy", Type::Any}}},
  };
  return all;
}

const Kind* find_kind(std::string_view name) {
  const auto found =
      std::find_if(kinds().begin(), kinds().end(), [&](const Kind& k) { return k.name == name; });
  return found == kinds().end() ? nullptr : &*found;
}

// "mesh_gateway" and "MeshGateway" are one name.
bool is_named(std::string_view given, std::string_view name) {
  std::string plain(given);
  std::erase(plain, '_');
  return equals_ignoring_case(plain, name);
}

Error bad_type(const std::string& path, std::string_view wanted) {
  return fail(ErrorCode::InvalidArgument,
              "'" + path + "' expected type '" + std::string(wanted) + "'");
}

// Writes fields of one object in the order of the schema.
class Canon {
 public:
  explicit Canon(JsonWriter& out) : out_(out) {}

  Result<void> object(const json::object& given, const Fields& fields, const std::string& path) {
    for (const auto& [key, value] : given) {
      const bool known =
          std::any_of(fields.begin(), fields.end(), [&, &name = key](const Field& f) {
            return is_named({name.data(), name.size()}, f.name);
          });
      if (!known)
        return fail(ErrorCode::InvalidArgument,
                    "invalid config key \"" + path + std::string(key) + "\"");
    }
    for (const Field& field : fields) {
      const auto* found = std::find_if(given.begin(), given.end(), [&](const auto& item) {
        return is_named({item.key().data(), item.key().size()}, field.name);
      });
      const json::value* value =
          found == given.end() || found->value().is_null() ? nullptr : &found->value();
      if (!field.always && (!value || is_empty(*value))) continue;
      out_.key(field.name);
      if (auto done = write(value, field, path + std::string(field.name)); !done) return done;
    }
    return {};
  }

 private:
  static bool is_empty(const json::value& value) {
    switch (value.kind()) {
      case json::kind::string:
        return value.get_string().empty();
      case json::kind::array:
        return value.get_array().empty();
      case json::kind::object:
        return value.get_object().empty();
      case json::kind::bool_:
        return !value.get_bool();
      case json::kind::int64:
        return value.get_int64() == 0;
      case json::kind::uint64:
        return value.get_uint64() == 0;
      default:
        return false;
    }
  }

  Result<void> write(const json::value* value, const Field& field, const std::string& path) {
    switch (field.type) {
      case Type::Text:
        if (value && !value->is_string()) return bad_type(path, "string");
        out_.string(value ? std::string_view(value->get_string()) : std::string_view());
        return {};
      case Type::Whole:
        if (!value->is_int64() && !value->is_uint64()) return bad_type(path, "int");
        out_.raw(json::serialize(*value));
        return {};
      case Type::Number:
        if (value && !value->is_number()) return bad_type(path, "float32");
        if (value) return raw(json::serialize(*value));
        out_.number(0);
        return {};
      case Type::Flag:
        if (!value->is_bool()) return bad_type(path, "bool");
        out_.boolean(value->get_bool());
        return {};
      case Type::Span:
        return span(*value, path);
      case Type::Texts:
        return texts(*value, path);
      case Type::TextMap:
        return text_map(*value, path);
      case Type::Any:
        return raw(value ? json::serialize(*value) : "null");
      case Type::Object:
        return one(value, field, path);
      case Type::List:
        return list(value, field, path);
      case Type::ObjectMap:
        return object_map(*value, field, path);
    }
    return {};
  }

  Result<void> raw(const std::string& text) {
    out_.raw(text);
    return {};
  }

  // "15s", or nanoseconds.
  Result<void> span(const json::value& value, const std::string& path) {
    if (value.is_string()) {
      const auto parsed = parse_duration(value.get_string());
      if (!parsed) return fail(ErrorCode::InvalidArgument, path + ": " + parsed.error().message);
      out_.string(format_duration(*parsed));
      return {};
    }
    if (!value.is_int64()) return bad_type(path, "time.Duration");
    out_.string(format_duration(Duration(value.get_int64())));
    return {};
  }

  Result<void> texts(const json::value& value, const std::string& path) {
    if (!value.is_array()) return bad_type(path, "[]string");
    out_.begin_array();
    for (const auto& item : value.get_array()) {
      if (!item.is_string()) return bad_type(path, "string");
      out_.string(item.get_string());
    }
    out_.end_array();
    return {};
  }

  Result<void> text_map(const json::value& value, const std::string& path) {
    if (!value.is_object()) return bad_type(path, "map[string]string");
    std::vector<std::pair<std::string, std::string>> sorted;
    for (const auto& item : value.get_object()) {
      if (!item.value().is_string())
        return bad_type(path + "." + std::string(item.key()), "string");
      sorted.emplace_back(item.key(), item.value().get_string());
    }
    std::sort(sorted.begin(), sorted.end());
    out_.begin_object();
    for (const auto& [key, text] : sorted) out_.key(key).string(text);
    out_.end_object();
    return {};
  }

  Result<void> one(const json::value* value, const Field& field, const std::string& path) {
    if (value && !value->is_object()) return bad_type(path, "map");
    out_.begin_object();
    if (value) {
      if (auto done = object(value->get_object(), field.fields, path + "."); !done) return done;
    }
    out_.end_object();
    return {};
  }

  Result<void> list(const json::value* value, const Field& field, const std::string& path) {
    if (!value) return raw("null");
    if (!value->is_array()) return bad_type(path, "slice");
    out_.begin_array();
    for (const auto& item : value->get_array()) {
      if (auto done = one(&item, field, path); !done) return done;
    }
    out_.end_array();
    return {};
  }

  Result<void> object_map(const json::value& value, const Field& field, const std::string& path) {
    if (!value.is_object()) return bad_type(path, "map");
    std::vector<std::pair<std::string, const json::value*>> sorted;
    for (const auto& item : value.get_object()) sorted.emplace_back(item.key(), &item.value());
    std::sort(sorted.begin(), sorted.end());
    out_.begin_object();
    for (const auto& [key, item] : sorted) {
      out_.key(key);
      if (auto done = one(item, field, path + "." + key); !done) return done;
    }
    out_.end_object();
    return {};
  }

  JsonWriter& out_;
};

}  // namespace

bool is_config_kind(std::string_view kind) {
  return find_kind(kind) != nullptr;
}

Result<pb::ConfigEntry> decode_config_entry(const json::value& value) {
  if (!value.is_object()) return fail(ErrorCode::InvalidArgument, "expected a map");
  pb::ConfigEntry entry;
  json::object rest;
  for (const auto& item : value.get_object()) {
    const std::string_view key(item.key().data(), item.key().size());
    std::string* text = is_named(key, "Kind")   ? entry.mutable_kind()
                        : is_named(key, "Name") ? entry.mutable_name()
                                                : nullptr;
    if (text && !item.value().is_string() && !item.value().is_null())
      return bad_type(std::string(key), "string");
    if (text) {
      if (item.value().is_string()) *text = item.value().get_string();
      continue;
    }
    // Shown, never taken.
    const bool ignored = is_named(key, "CreateIndex") || is_named(key, "ModifyIndex") ||
                         is_named(key, "Namespace") || is_named(key, "Partition");
    if (!ignored) rest.emplace(item.key(), item.value());
  }
  if (entry.kind().empty())
    return fail(ErrorCode::InvalidArgument,
                "Payload does not contain a kind/Kind key at the top level");
  const Kind* kind = find_kind(entry.kind());
  if (!kind) return fail(ErrorCode::InvalidArgument, "invalid config entry kind: " + entry.kind());
  if (!kind->fixed_name.empty()) entry.set_name(std::string(kind->fixed_name));
  Fields fields = kind->fields;
  fields.push_back(kMeta);
  JsonWriter out(*entry.mutable_json());
  out.begin_object();
  out.key("Kind").string(entry.kind());
  out.key("Name").string(entry.name());
  if (auto done = Canon(out).object(rest, fields, ""); !done) return done.error();
  out.end_object();
  return entry;
}

Result<void> check_config_entry(const pb::ConfigEntry& entry) {
  if (entry.name().empty()) return fail(ErrorCode::InvalidArgument, "Name is required");
  boost::system::error_code failed;
  const auto value = json::parse(entry.json(), failed);
  if (failed || !value.is_object()) return fail(ErrorCode::InvalidArgument, "not an object");
  if (entry.kind() == "service-splitter") return check_splitter(value.get_object());
  if (entry.kind() == "service-resolver") return check_resolver(value.get_object());
  if (entry.kind() == "service-router") return check_router(value.get_object());
  return {};
}

}  // namespace fyr::server
