#include "raft/stream_connection.h"

#include <grpcpp/grpcpp.h>

#include "raft/wire.h"

namespace fyr::raft {
namespace {

int milliseconds(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

std::shared_ptr<grpc::ChannelCredentials> credentials() {
  return grpc::InsecureChannelCredentials();
}

}  // namespace

std::shared_ptr<grpc::Channel> connect(const std::string& address,
                                       const GrpcTransportOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, milliseconds(options.handshake_wait));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(options.keepalive));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(options.keepalive));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMaxFrameBytes));
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, credentials(), arguments);
}

bool says_reset(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  const std::string& text = status.error_message();
  for (const char* sign :
       {"refused", "Socket closed", "reset by peer", "Broken pipe", "stopping"}) {
    if (text.find(sign) != std::string::npos) return true;
  }
  return false;
}

}  // namespace fyr::raft
