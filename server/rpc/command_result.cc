#include "server/rpc/command_result.h"

namespace fyr::server {

Error error_from_wire(int code, const std::string& message) {
  constexpr int kLast = static_cast<int>(ErrorCode::Internal);
  const int value = code - 1;
  return {value < 0 || value > kLast ? ErrorCode::Internal : static_cast<ErrorCode>(value),
          message};
}

void encode_result(const ApplyResult& result, pb::CommandResult& out) {
  out.set_index(result.index);
  out.set_done(result.done);
  if (result.error) {
    out.set_refused(to_wire(result.error->code));
    out.set_message(result.error->message);
  }
  for (const ApplyResult& item : result.items) encode_result(item, *out.add_items());
}

ApplyResult decode_result(const pb::CommandResult& result) {
  ApplyResult out;
  out.index = result.index();
  out.done = result.done();
  if (result.refused() != 0) out.error = error_from_wire(result.refused(), result.message());
  for (const pb::CommandResult& item : result.items()) out.items.push_back(decode_result(item));
  return out;
}

}  // namespace fyr::server
