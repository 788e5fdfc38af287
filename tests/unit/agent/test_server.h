// A real server with its RPC listener, for tests of the agent half.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "server/api/api.h"
#include "server/rpc/rpc_server.h"
#include "server/server.h"

namespace fyr::agent {

class TestServer {
 public:
  // Opens on the port it had before, if any. `forward` in place of the server's own API.
  void open(io::Runtime& runtime, const std::filesystem::path& folder,
            io::HttpHandler forward = nullptr) {
    server::ServerOptions options;
    options.data_dir = folder;
    options.node_name = "s1";
    options.node_id = "9d5ad1a0-0000-4000-8000-0000000000aa";
    options.rpc_address = "127.0.0.1:1";
    options.bootstrap = true;
    auto opened = server::Server::open(options);
    ASSERT_TRUE(opened) << opened.error().message;
    server_ = std::move(*opened);
    api_ = std::make_unique<server::Api>(*server_, runtime, server::ApiOptions());
    server::RpcServerOptions rpc;
    rpc.listen = {{"127.0.0.1", port_}};
    rpc.node_name = "s1";
    if (!forward) {
      forward = [api = api_.get()](std::shared_ptr<io::HttpExchange> exchange) {
        api->handle(std::move(exchange));
      };
    }
    auto listening = server::RpcServer::listen(rpc, *server_, runtime, std::move(forward));
    ASSERT_TRUE(listening) << listening.error().message;
    rpc_ = std::move(*listening);
    port_ = rpc_->bound()[0].port;
    std::promise<void> leads;
    server_->wait_read(server::Consistency::Default,
                       [&](const Result<server::ReadStamp>&) { leads.set_value(); });
    ASSERT_EQ(leads.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  }
  void close() {
    if (rpc_) rpc_->stop();
    if (api_) api_->stop();
    if (server_) server_->stop();
    rpc_.reset();
    api_.reset();
    server_.reset();
  }

  server::Server& server() { return *server_; }
  server::RpcServer& rpc() { return *rpc_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  server::ApplyResult write(const pb::Command& command) {
    std::promise<server::ApplyResult> done;
    server_->write(command, [&](Result<server::ApplyResult> result) {
      done.set_value(result ? *result : server::ApplyResult{});
    });
    return done.get_future().get();
  }
  server::StateIndex applied() {
    return server_->read([](const server::StateStore& store) { return store.applied(); });
  }
  bool has(const std::string& service) {
    return server_->read([&](const server::StateStore& store) {
      return !store.service_nodes(service).rows.empty();
    });
  }
  // Worst status over all checks of all instances; "" without instances.
  std::string health(const std::string& service) {
    return server_->read([&](const server::StateStore& store) -> std::string {
      const auto listing = store.service_health(service);
      if (listing.rows.empty()) return "";
      for (const auto& row : listing.rows) {
        for (const auto& check : row.checks) {
          if (check->status() != "passing") return check->status();
        }
      }
      return "passing";
    });
  }

 private:
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<server::Api> api_;
  std::unique_ptr<server::RpcServer> rpc_;
  std::uint16_t port_ = 0;
};

}  // namespace fyr::agent
