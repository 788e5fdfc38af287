#include "server/api/snapshot.h"

#include <chrono>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "base/id.h"
#include "base/log.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"
#include "server/api/snapshot_archive.h"
#include "server/state/saved_rows.h"

namespace fyr::server {
namespace {

constexpr std::size_t kPartBytes = 1 << 20;
// A write ends by itself when leadership is lost; this is for a leader that takes it and is silent.
constexpr auto kWriteTimeout = std::chrono::seconds(30);
constexpr auto kPause = std::chrono::milliseconds(100);

bool never_ran(const Error& error) {
  return error.code == ErrorCode::NoLeader || error.code == ErrorCode::NotLeader;
}

Consistency consistency_of(const io::HttpCall& call) {
  if (call.query().has("stale")) return Consistency::Stale;
  return call.query().has("consistent") ? Consistency::Consistent : Consistency::Default;
}

}  // namespace

void Snapshots::start(const io::HttpCallPtr& call, std::function<io::HttpResponse()> work) {
  std::lock_guard lock(mutex_);
  if (stopped_) return call->text(503, "stopping");
  if (busy_.exchange(true)) return call->text(503, "snapshot: another one is under way");
  if (thread_.joinable()) thread_.join();  // it has ended
  // tidy: thread: seconds of work on the whole state would hold up every request of an io thread
  thread_ = std::thread([this, call, work = std::move(work)] {
    io::HttpResponse response = work();
    busy_ = false;  // before the client knows, who may ask for the next one at once
    // Not through the router: an archive is compressed already.
    call->exchange()->respond(std::move(response));
  });
}

void Snapshots::stop() {
  stopped_ = true;
  // tidy: thread: the one of start()
  std::thread last;
  {
    std::lock_guard lock(mutex_);
    last = std::move(thread_);
  }
  // Not under the lock: what it waits for may itself be about to start another one.
  if (last.joinable()) last.join();
}

// ---- saving -----------------------------------------------------------------------------------

void Snapshots::save(const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, options_)) return;
  server_.wait_read(consistency_of(*call), [this, call](Result<ReadStamp> stamp) {
    if (!stamp) return answer_error(*call, stamp.error());
    start(call, [this, stamp = *stamp] { return save_now(stamp); });
  });
}

io::HttpResponse Snapshots::save_now(const ReadStamp& stamp) {
  SnapshotArchive archive;
  const auto rows = server_.read([&](const StateStore& store) {
    archive.index = store.applied();
    return store.all_rows();
  });
  archive.term = server_.raft_status().term.value;
  archive.id = std::to_string(archive.term) + "-" + std::to_string(archive.index);
  archive.state = encode_rows(rows);
  if (archive.state.size() > kMaxStateBytes)
    return io::HttpResponse::text(500, "snapshot: the state is larger than 1 GiB");
  io::HttpResponse response;
  response.headers.emplace_back("Content-Type", "application/x-gzip");
  io::QueryMeta meta;
  meta.index = archive.index;
  meta.known_leader = stamp.known_leader;
  meta.last_contact = stamp.last_contact;
  io::append_query_headers(response.headers, meta);
  response.body = std::make_shared<const std::string>(write_archive(archive));
  return response;
}

// ---- restoring --------------------------------------------------------------------------------

void Snapshots::restore(const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, options_)) return;
  start(call, [this, call] {
    if (auto done = restore_now(call->request().body); !done)
      return io::HttpResponse::text(500, done.error().message);
    return io::HttpResponse::text(200, "");
  });
}

Result<void> Snapshots::restore_now(const std::string& bytes) {
  auto archive = read_archive(bytes);
  if (!archive) return archive.error();
  // What every server will do at the end: a state that cannot be read is refused before it starts.
  if (auto readable = restored_state(archive->state, archive->index); !readable)
    return readable.error();
  const std::string id = make_uuid();
  const std::string_view state = archive->state;
  std::uint32_t parts = 0;
  for (std::size_t at = 0; at < state.size(); at += kPartBytes) {
    pb::Command command;
    auto& stage = *command.mutable_restore_stage();
    stage.set_id(id);
    stage.set_part(parts++);
    stage.set_data(std::string(state.substr(at, kPartBytes)));
    if (auto done = write(command); !done) return done.error();
  }
  pb::Command command;
  auto& commit = *command.mutable_restore_commit();
  commit.set_id(id);
  commit.set_parts(parts);
  commit.set_sha256(sha256(state));
  if (auto done = write(command); !done) return done.error();
  log::info("server", "restored a snapshot of index {}, {} bytes", archive->index, state.size());
  return {};
}

Result<void> Snapshots::write(const pb::Command& command) {
  const Instant deadline = now() + options_.rpc_hold_timeout;
  while (true) {
    if (stopped_) return fail(ErrorCode::Stopped, "stopping");
    auto answer = std::make_shared<std::promise<Result<ApplyResult>>>();
    auto future = answer->get_future();
    server_.write(command,
                  [answer](Result<ApplyResult> result) { answer->set_value(std::move(result)); });
    if (future.wait_for(kWriteTimeout) != std::future_status::ready)
      return fail(ErrorCode::CommitUnknown, "snapshot: no answer from the leader");
    auto result = future.get();
    if (result) {
      if (result->error) return *result->error;
      return {};
    }
    if (!never_ran(result.error()) || now() + kPause > deadline) return result.error();
    // tidy: sleep: a thread of its own, which has nothing else to do until somebody leads
    std::this_thread::sleep_for(kPause);
  }
}

void add_snapshot_routes(io::HttpRouter& router, Snapshots& snapshots) {
  router.add("GET", "/v1/snapshot", [&](const io::HttpCallPtr& call) { snapshots.save(call); });
  router.add("PUT", "/v1/snapshot", [&](const io::HttpCallPtr& call) { snapshots.restore(call); });
}

}  // namespace fyr::server
