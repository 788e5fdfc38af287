// /v1/query: prepared queries, kept and run.
#include <charconv>

#include "base/bytes.h"
#include "base/id.h"
#include "base/json.h"
#include "base/random.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/query_json.h"
#include "server/api/routes.h"
#include "server/query/execute.h"

namespace fyr::server {
namespace {

using Render = std::function<Rendered()>;
using Write = pb::PreparedQueryWrite;

constexpr std::string_view kExecute = "/execute", kExplain = "/explain";
constexpr std::string_view kBadId =
    "failed prepared query lookup: index error: UUID must be 36 characters";

Rendered not_found() {
  Rendered out;
  out.status = 404;
  out.body = std::make_shared<const std::string>("Query not found");
  return out;
}

Rendered refused(const Error& error) {
  if (error.code == ErrorCode::NotFound) return not_found();
  Rendered out;
  out.status = 500;
  out.body = std::make_shared<const std::string>(error.message);
  return out;
}

Rendered render_queries(const std::vector<QueryRow>& rows) {
  std::string body;
  JsonWriter out(body);
  out.begin_array();
  for (const auto& row : rows) encode_query(out, *row);
  out.end_array();
  return Rendered::json(std::move(body));
}

// ---- reading -----------------------------------------------------------------------------------

void list(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  ReadPlan plan;
  plan.key = CacheKey("query/list").take();
  plan.topics = {{TopicKind::Queries, ""}};
  plan.fetch = [](const StateStore& store) -> Render {
    return [rows = store.queries().rows] { return render_queries(rows); };
  };
  context.reads.serve(call, std::move(plan));
}

void show(ApiContext& context, const io::HttpCallPtr& call) {
  const auto id = to_lower(call->tail());
  if (!is_uuid(id)) return call->text(500, std::string(kBadId));
  ReadPlan plan;
  plan.key = CacheKey("query/show").add(id).take();
  plan.topics = {{TopicKind::Query, id}};
  plan.kept = false;
  plan.fetch = [id](const StateStore& store) -> Render {
    return [row = store.query(id)] { return row ? render_queries({row}) : not_found(); };
  };
  context.reads.serve(call, std::move(plan));
}

// ---- running -----------------------------------------------------------------------------------

struct Question {
  std::string name, near, agent, datacenter;
  std::size_t limit = 0;
};

Rendered render_execution(Execution execution, const Question& question) {
  thread_local Random random = Random::from_system();
  order_rows(execution, random, question.limit);
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  out.key("Service").string(execution.query->service());
  out.key("Nodes").begin_array();
  for (const auto& row : execution.rows) {
    out.begin_object();
    encode_node(out.key("Node"), *row.node, question.datacenter);
    encode_service(out.key("Service"), *row.service);
    out.key("Checks").begin_array();
    for (const auto& check : row.checks) encode_check(out, *check);
    out.end_array().end_object();
  }
  out.end_array();
  out.key("DNS").begin_object().key("TTL").string(execution.query->dns_ttl()).end_object();
  out.key("Datacenter").string(question.datacenter);
  out.key("Failovers").number(0);
  out.end_object();
  return Rendered::json(std::move(body));
}

ReadPlan execution_plan(Question question) {
  ReadPlan plan;
  plan.kept = false;
  plan.waits = false;
  plan.fetch = [question = std::move(question)](const StateStore& store) -> Render {
    auto query = resolve_query(store, question.name);
    if (!query) return [error = query.error()] { return refused(error); };
    return [execution = execute_query(store, std::move(*query), question.near, question.agent),
            question] { return render_execution(execution, question); };
  };
  return plan;
}

void execute(ApiContext& context, const io::HttpCallPtr& call, std::string name) {
  Question question;
  question.name = std::move(name);
  question.near = call->query().get("near");
  question.agent = asked_node(context, *call);
  question.datacenter = context.options.datacenter;
  const auto limit = call->query().get("limit");
  if (!limit.empty()) {
    const auto* end = limit.data() + limit.size();
    int number = 0;
    const auto [stop, error] = std::from_chars(limit.data(), end, number);
    if (error != std::errc() || stop != end) {
      return call->text(
          500, "Bad limit: strconv.Atoi: parsing \"" + std::string(limit) + "\": invalid syntax");
    }
    question.limit = static_cast<std::size_t>(std::max(number, 0));
  }
  context.reads.serve(call, execution_plan(std::move(question)));
}

void explain(ApiContext& context, const io::HttpCallPtr& call, std::string name) {
  ReadPlan plan;
  plan.kept = false;
  plan.waits = false;
  plan.fetch = [name = std::move(name)](const StateStore& store) -> Render {
    return [query = resolve_query(store, name)] {
      if (!query) return refused(query.error());
      std::string body;
      JsonWriter out(body);
      encode_query(out.begin_object().key("Query"), **query);
      out.end_object();
      return Rendered::json(std::move(body));
    };
  };
  context.reads.serve(call, std::move(plan));
}

void get(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  const std::string& tail = call->tail();
  if (tail.ends_with(kExecute))
    return execute(context, call, tail.substr(0, tail.size() - kExecute.size()));
  if (tail.ends_with(kExplain))
    return explain(context, call, tail.substr(0, tail.size() - kExplain.size()));
  show(context, call);
}

// ---- writing -----------------------------------------------------------------------------------

// The query of the body, checked; answers and returns nothing if it is refused.
std::optional<pb::PreparedQuery> read_query(ApiContext& context, const io::HttpCall& call) {
  if (refuse_datacenter(call, context.options)) return std::nullopt;
  auto body = call.body_json();
  if (!body) {
    call.error(body.error());
    return std::nullopt;
  }
  auto query = decode_query(*body);
  if (!query) {
    call.error(query.error());
    return std::nullopt;
  }
  return std::move(*query);
}

void submit(ApiContext& context, const io::HttpCallPtr& call, Write::Verb verb,
            pb::PreparedQuery query) {
  const std::string id = query.id();
  const auto is_known = [&] {
    return context.server.read([&](const StateStore& store) { return store.query(id) != nullptr; });
  };
  if (verb != Write::DELETE) {
    const auto good = check_query(query);
    // That there is nothing to change counts before what is wrong with the change.
    if (!good && verb == Write::UPDATE && !is_known()) {
      return call->text(500, "Cannot modify non-existent prepared query: '" + id + "'");
    }
    if (!good) return call->text(500, good.error().message);
  }
  pb::Command command;
  command.mutable_prepared_query()->set_verb(verb);
  *command.mutable_prepared_query()->mutable_query() = std::move(query);
  context.writes.submit(call, std::move(command),
                        [verb, id](const io::HttpCall& answered, const ApplyResult&) {
                          if (verb != Write::CREATE) return answered.text(200, "");
                          std::string out;
                          JsonWriter(out).begin_object().key("ID").string(id).end_object();
                          answered.json(std::move(out));
                        });
}

void create(ApiContext& context, const io::HttpCallPtr& call) {
  auto query = read_query(context, *call);
  if (!query) return;
  if (!query->id().empty()) {
    return call->text(500, "ID must be empty when creating a new prepared query");
  }
  query->set_id(make_uuid());
  submit(context, call, Write::CREATE, std::move(*query));
}

bool require_id(const io::HttpCall& call) {
  if (is_uuid(call.tail())) return true;
  call.text(500, "Prepared Query lookup failed: " + std::string(kBadId));
  return false;
}

void update(ApiContext& context, const io::HttpCallPtr& call) {
  auto query = read_query(context, *call);
  if (!query || !require_id(*call)) return;
  query->set_id(to_lower(call->tail()));
  submit(context, call, Write::UPDATE, std::move(*query));
}

void remove(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || !require_id(*call)) return;
  pb::PreparedQuery query;
  query.set_id(to_lower(call->tail()));
  submit(context, call, Write::DELETE, std::move(query));
}

}  // namespace

void add_query_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](std::string_view method, std::string_view path, auto handler) {
    router.add(method, path,
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  add("GET", "/v1/query", list);
  add("POST", "/v1/query", create);
  // Consul answers OPTIONS here as JSON and forgets it when it names the methods of the path.
  router.add("OPTIONS", "/v1/query/", [](const io::HttpCallPtr& call) {
    io::HttpResponse response;
    response.status = 200;
    response.headers = {{"Content-Type", "application/json"}, {"Allow", "OPTIONS,GET,PUT,DELETE"}};
    call->respond(std::move(response));
  });
  add("GET", "/v1/query/", get);
  add("PUT", "/v1/query/", update);
  add("DELETE", "/v1/query/", remove);
}

}  // namespace fyr::server
