// /v1/operator/keyring: what a Consul without gossip encryption answers.
#include <charconv>

#include "base/bytes.h"
#include "base/json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

bool refuse_relay_factor(const io::HttpCall& call) {
  const auto text = call.query().get("relay-factor");
  if (text.empty()) return false;
  int factor = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), factor);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (is_number && factor >= 0 && factor <= 5) return false;
  call.text(400, "Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]");
  return true;
}

void answer(const ApiContext& context, const io::HttpCall& call, const std::string& why) {
  const std::string& node = context.server.options().node_name;
  call.text(500, "2 errors occurred:\n\t* " + context.options.datacenter +
                     " (LAN) error: 1/1 nodes reported failure\n\t* " + node + ": " + why + "\n\n");
}

void list(const ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_relay_factor(*call)) return;
  answer(context, *call, "Keyring is empty (encryption not enabled)");
}

void change(const ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_relay_factor(*call)) return;
  auto body = call->body_json();
  if (!body) return call->text(400, "Bad request: " + body.error().message);
  std::string key;
  ObjectDecoder decoder(*body, "", UnknownFields::Ignore);
  if (auto done = decoder.field("Key", key).finish(); !done) {
    return call->text(400, "Bad request: Request decode failed: " + done.error().message);
  }
  const auto bytes = from_base64(key);
  if (!bytes) return answer(context, *call, "illegal base64 data");
  answer(context, *call, "No keyring to modify (encryption not enabled)");
}

}  // namespace

void add_keyring_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("GET", "/v1/operator/keyring",
             [&context](const io::HttpCallPtr& call) { list(context, call); });
  for (const auto* method : {"POST", "PUT", "DELETE"}) {
    router.add(method, "/v1/operator/keyring",
               [&context](const io::HttpCallPtr& call) { change(context, call); });
  }
}

}  // namespace fyr::server
