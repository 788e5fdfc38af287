#include "agent/checks/grpc_probe.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "agent/checks/output.h"
#include "agent/rpc_calls.h"
#include "base/guarded.h"

namespace fyr::agent {

namespace {

constexpr const char* kMethod = "/grpc.health.v1.Health/Check";
constexpr int kServing = 1;

// HealthCheckRequest { string service = 1; }, by hand: two messages of one field each.
grpc::ByteBuffer encode_request(const std::string& service) {
  std::string bytes;
  if (!service.empty()) {
    bytes.push_back('\x0A');
    std::size_t size = service.size();
    while (size >= 0x80) {
      bytes.push_back(static_cast<char>((size & 0x7F) | 0x80));
      size >>= 7;
    }
    bytes.push_back(static_cast<char>(size));
    bytes += service;
  }
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// HealthCheckResponse { ServingStatus status = 1; }: 0 unknown, 1 serving, 2 not serving.
int decode_status(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return 0;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes.size() >= 2 && bytes[0] == '\x08' ? bytes[1] : 0;
}

const char* status_name(int status) {
  switch (status) {
    case 1:
      return "SERVING";
    case 2:
      return "NOT_SERVING";
    case 3:
      return "SERVICE_UNKNOWN";
    default:
      return "UNKNOWN";
  }
}

struct Call {
  grpc::ClientContext context;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::ByteBuffer request, response;
};

// gRPC may answer after the probe and even the io threads are gone: the answer passes while the
// probe wants it, under a lock the probe's end takes too, and then goes through the io thread.
class GrpcProbe final : public Probe {
 public:
  GrpcProbe(io::Runtime& runtime, int thread, const ProbeRequest& request,
            std::function<void(CheckResult)> done)
      : call_(std::make_shared<Call>()),
        wanted_(std::make_shared<std::function<void(CheckResult)>>(std::move(done))),
        runtime_(std::make_shared<Guarded<io::Runtime*>>(&runtime)) {
    const std::string& target = request.definition->grpc();
    connect(target, request);
    if (!process_calls().add(&call_->context)) return;  // the process ends
    call_->stub->UnaryCall(&call_->context, kMethod, grpc::StubOptions(), &call_->request,
                           &call_->response,
                           [call = call_, target, post_to = runtime_, thread,
                            wanted = std::weak_ptr(wanted_)](const grpc::Status& status) mutable {
                             CheckResult result = judge(*call, target, status);
                             post_to->with([&](io::Runtime* threads) {
                               if (!threads) return;
                               threads->post(thread, [wanted, result = std::move(result)] {
                                 if (auto report = wanted.lock()) (*report)(result);
                               });
                             });
                             process_calls().remove(&call->context);
                             call.reset();
                             process_calls().gone();
                           });
  }
  ~GrpcProbe() override {
    runtime_->with([](io::Runtime*& runtime) { runtime = nullptr; });
    call_->context.TryCancel();
  }

 private:
  void connect(const std::string& target, const ProbeRequest& request) {
    const auto slash = target.find('/');
    const std::string address = target.substr(0, slash);
    const std::string service = slash == std::string::npos ? "" : target.substr(slash + 1);
    grpc::ChannelArguments arguments;
    // Each run connects anew: that is part of what is checked.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    if (!request.definition->tls_server_name().empty()) {
      arguments.SetSslTargetNameOverride(request.definition->tls_server_name());
    }
    const auto credentials = request.definition->grpc_use_tls()
                                 ? grpc::SslCredentials(grpc::SslCredentialsOptions())
                                 : grpc::InsecureChannelCredentials();
    call_->channel = grpc::CreateCustomChannel(address, credentials, arguments);
    call_->stub = std::make_unique<grpc::GenericStub>(call_->channel);
    call_->request = encode_request(service);
    call_->context.set_deadline(std::chrono::system_clock::now() + request.timeout);
  }

  static CheckResult judge(const Call& call, const std::string& target,
                           const grpc::Status& status) {
    if (!status.ok()) {
      return {CheckStatus::Critical,
              clean_text("gRPC check " + target + " failed: " + status.error_message())};
    }
    const int serving = decode_status(call.response);
    if (serving == kServing) return {CheckStatus::Passing, "gRPC check " + target + ": success"};
    return {CheckStatus::Critical,
            "gRPC " + target + " serving status: " + std::string(status_name(serving))};
  }

  const std::shared_ptr<Call> call_;
  const std::shared_ptr<std::function<void(CheckResult)>> wanted_;
  const std::shared_ptr<Guarded<io::Runtime*>> runtime_;  // null when the probe has ended
};

}  // namespace

std::unique_ptr<Probe> start_grpc_probe(io::Runtime& runtime, int thread,
                                        const ProbeRequest& request,
                                        std::function<void(CheckResult)> done) {
  return std::make_unique<GrpcProbe>(runtime, thread, request, std::move(done));
}

}  // namespace fyr::agent
