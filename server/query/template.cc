#include "server/query/template.h"

#include <re2/re2.h>

#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace fyr::server {
namespace {

constexpr std::string_view kPrefixMatch = "name_prefix_match";

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

// What the variables stand for.
struct Values {
  std::string_view full, prefix, suffix;
  std::vector<std::string> matches;  // [0] is the whole; empty if the expression does not match
};

Result<std::string> value_of(std::string_view variable, const Values& values) {
  if (variable == "name.full") return std::string(values.full);
  if (variable == "name.prefix") return std::string(values.prefix);
  if (variable == "name.suffix") return std::string(values.suffix);
  if (variable == "agent.segment") return std::string();
  constexpr std::string_view kMatch = "match(";
  if (variable.starts_with(kMatch) && variable.ends_with(")")) {
    const auto text = trim(variable.substr(kMatch.size(), variable.size() - kMatch.size() - 1));
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && !text.empty())
      return number < values.matches.size() ? values.matches[number] : std::string();
  }
  return fail(ErrorCode::InvalidArgument,
              "unknown variable accessed: " + std::string(variable.substr(0, 100)));
}

Result<std::string> interpolate(std::string_view text, const Values& values) {
  std::string out;
  while (true) {
    const auto at = text.find("${");
    if (at == std::string_view::npos) return out.append(text);
    if (at > 0 && text[at - 1] == '$') {  // escaped: one dollar goes
      out.append(text.substr(0, at - 1)).append("${");
      text.remove_prefix(at + 2);
      continue;
    }
    const auto end = text.find('}', at);
    if (end == std::string_view::npos)
      return fail(ErrorCode::InvalidArgument, "expected closing brace");
    auto value = value_of(trim(text.substr(at + 2, end - at - 2)), values);
    if (!value) return value.error();
    out.append(text.substr(0, at)).append(*value);
    text.remove_prefix(end + 1);
  }
}

// Every text of the query's service that may hold variables.
template <class F>
Result<void> for_each_text(pb::PreparedQuery& query, const F& change) {
  std::vector<std::string*> texts = {query.mutable_service(), query.mutable_near()};
  for (auto& text : *query.mutable_tags()) texts.push_back(&text);
  for (auto& text : *query.mutable_failover_datacenters()) texts.push_back(&text);
  for (auto& text : *query.mutable_ignore_check_ids()) texts.push_back(&text);
  for (auto& pair : *query.mutable_node_meta()) texts.push_back(pair.mutable_value());
  for (auto& pair : *query.mutable_service_meta()) texts.push_back(pair.mutable_value());
  for (std::string* text : texts) {
    auto changed = change(*text);
    if (!changed) return changed.error();
    *text = std::move(*changed);
  }
  return {};
}

std::vector<std::string> match(const std::string& expression, std::string_view name) {
  if (expression.empty()) return {};
  const RE2 re(expression, quiet());
  if (!re.ok()) return {};
  const auto groups = static_cast<std::size_t>(re.NumberOfCapturingGroups()) + 1;
  std::vector<re2::StringPiece> found(groups);
  const re2::StringPiece text(name.data(), name.size());
  if (!re.Match(text, 0, name.size(), RE2::UNANCHORED, found.data(), static_cast<int>(groups)))
    return {};
  std::vector<std::string> out;
  for (const auto& group : found) out.emplace_back(group.data() ? group.as_string() : "");
  return out;
}

}  // namespace

Result<void> check_template(const pb::PreparedQuery& query) {
  if (!is_template(query)) return {};
  const auto bad = [](const std::string& why) {
    return fail(ErrorCode::InvalidArgument, "failed compiling template: " + why);
  };
  if (query.template_type() != kPrefixMatch)
    return bad("Bad Template.Type '" + query.template_type() + "'");
  const RE2 expression(query.template_regexp(), quiet());
  if (!expression.ok()) return bad("Bad Regexp: error parsing regexp: " + expression.error());
  if (auto rendered = render_template(query, query.name()); !rendered)
    return bad(rendered.error().message);
  return {};
}

Result<pb::PreparedQuery> render_template(const pb::PreparedQuery& query, std::string_view name) {
  Values values;
  values.full = name;
  values.prefix = query.name();
  values.suffix = name.substr(std::min(name.size(), query.name().size()));
  values.matches = match(query.template_regexp(), name);
  pb::PreparedQuery out = query;
  auto done =
      for_each_text(out, [&](const std::string& text) { return interpolate(text, values); });
  if (!done) return done.error();
  if (query.template_remove_empty_tags()) {
    auto& tags = *out.mutable_tags();
    tags.erase(std::remove(tags.begin(), tags.end(), ""), tags.end());
  }
  return out;
}

}  // namespace fyr::server
