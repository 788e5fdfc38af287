#include "server/rpc/server_rpc.h"

#include "server.grpc.pb.h"
#include "server/rpc/command_result.h"

namespace fyr::server {

namespace {

class ServerService final : public pb::ServerRpc::CallbackService {
 public:
  ServerService(Server& server, io::Runtime& runtime) : server_(server), runtime_(runtime) {}

  grpc::ServerUnaryReactor* Apply(grpc::CallbackServerContext* context,
                                  const pb::ApplyRequest* request,
                                  pb::ApplyResponse* response) override {
    auto* reactor = context->DefaultReactor();
    pb::Command command;
    if (!command.ParseFromString(request->command())) {
      set_error(*response, fail(ErrorCode::InvalidArgument, "command: cannot be read"));
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    server_.write_here(std::move(command), [this, reactor, response](Result<ApplyResult> applied) {
      runtime_.post(runtime_.next(), [reactor, response, applied = std::move(applied)] {
        if (applied) {
          encode_result(*applied, *response->mutable_result());
        } else {
          set_error(*response, applied.error());
        }
        reactor->Finish(grpc::Status::OK);
      });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* RenewSession(grpc::CallbackServerContext* context,
                                         const pb::RenewSessionRequest* request,
                                         pb::RenewSessionResponse* response) override {
    auto* reactor = context->DefaultReactor();
    const Result<SessionRow> renewed = server_.renew_session_here(request->id());
    if (renewed) {
      *response->mutable_session() = **renewed;
    } else {
      set_error(*response, renewed.error());
    }
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* Consent(grpc::CallbackServerContext* context,
                                    const pb::ConsentRequest* request,
                                    pb::ConsentResponse* response) override {
    auto* reactor = context->DefaultReactor();
    response->set_granted(
        server_.consent(raft::NodeId(request->founder()), raft::NodeId(request->to())));
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  template <class Response>
  static void set_error(Response& response, const Error& error) {
    response.set_code(to_wire(error.code));
    response.set_message(error.message);
  }

  Server& server_;
  io::Runtime& runtime_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_server_rpc(Server& server, io::Runtime& runtime) {
  return std::make_unique<ServerService>(server, runtime);
}

}  // namespace fyr::server
