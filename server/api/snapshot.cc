#include "server/api/snapshot.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"
#include "server/api/snapshot_archive.h"
#include "server/api/snapshot_schedule.h"
#include "server/state/saved_rows.h"

namespace fyr::server {
namespace {

constexpr std::size_t kPartBytes = 1 << 20;
// A write ends by itself when leadership is lost; this is for a leader that takes it and is silent.
constexpr auto kWriteTimeout = std::chrono::seconds(30);
constexpr auto kPause = std::chrono::milliseconds(100);

// Never ran, or may run twice: a part that is laid down again says the same.
bool may_try_again(const Error& error, const pb::Command& command) {
  return error.code == ErrorCode::NoLeader || error.code == ErrorCode::NotLeader ||
         (error.code == ErrorCode::CommitUnknown && command.has_restore_stage());
}

Consistency consistency_of(const io::HttpCall& call) {
  if (call.query().has("stale")) return Consistency::Stale;
  return call.query().has("consistent") ? Consistency::Consistent : Consistency::Default;
}

}  // namespace

bool SnapshotWork::begin(Step step) {
  Step none = Step::None;
  if (!step_.compare_exchange_strong(none, step)) return false;
  advance(0, 0);
  return true;
}

void SnapshotWork::end() {
  step_ = Step::None;
}

void SnapshotWork::advance(std::uint64_t done, std::uint64_t total) {
  done_ = done;
  total_ = total;
}

SnapshotWork::Progress SnapshotWork::progress() const {
  return {step_, done_, total_};
}

void Snapshots::start(const io::HttpCallPtr& call, SnapshotWork::Step step,
                      std::function<io::HttpResponse()> work) {
  std::lock_guard lock(mutex_);
  if (stopped_) return call->text(503, "stopping");
  if (!work_.begin(step)) return call->text(503, "snapshot: another one is under way");
  if (thread_.joinable()) thread_.join();  // it has ended
  // tidy: thread: seconds of work on the whole state would hold up every request of an io thread
  thread_ = std::thread([this, call, work = std::move(work)] {
    io::HttpResponse response = work();
    work_.end();  // before the client knows, who may ask for the next one at once
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
    start(call, SnapshotWork::Step::Saving, [this, stamp = *stamp] { return save_now(stamp); });
  });
}

Result<SavedState> save_state(const Server& server) {
  SavedState out;
  out.rows = server.read([&](const StateStore& store) {
    out.archive.index = store.applied();
    return store.all_rows();
  });
  out.archive.term = server.raft_status().term.value;
  out.archive.id = std::to_string(out.archive.term) + "-" + std::to_string(out.archive.index);
  out.archive.state = encode_rows(out.rows);
  if (out.archive.state.size() > kMaxStateBytes)
    return fail(ErrorCode::ResourceExhausted, "snapshot: the state is larger than 1 GiB");
  return out;
}

io::HttpResponse Snapshots::save_now(const ReadStamp& stamp) {
  const auto saved = save_state(server_);
  if (!saved) return io::HttpResponse::text(500, saved.error().message);
  const SnapshotArchive& archive = saved->archive;
  work_.advance(0, archive.state.size());
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
  start(call, SnapshotWork::Step::Restoring, [this, call] {
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
    work_.advance(std::min(at + kPartBytes, state.size()), state.size());
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
    if (!may_try_again(result.error(), command) || now() + kPause > deadline) return result.error();
    // tidy: sleep: a thread of its own, which has nothing else to do until somebody leads
    std::this_thread::sleep_for(kPause);
  }
}

void Snapshots::progress(const io::HttpCallPtr& call) const {
  constexpr std::array kWords = {"", "saving", "restoring", "scheduled"};
  const SnapshotWork::Progress progress = work_.progress();
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  out.key("Busy").boolean(progress.step != SnapshotWork::Step::None);
  out.key("Step").string(kWords.at(static_cast<std::size_t>(progress.step)));
  out.key("Done").number(progress.done);
  out.key("Total").number(progress.total);
  out.end_object();
  call->json(std::move(body));
}

void add_snapshot_routes(io::HttpRouter& router, Snapshots& snapshots,
                         const SnapshotSchedule& schedule) {
  router.add("GET", "/v1/snapshot", [&](const io::HttpCallPtr& call) { snapshots.save(call); });
  router.add("PUT", "/v1/snapshot", [&](const io::HttpCallPtr& call) { snapshots.restore(call); });
  // Ours, of the server that answers.
  router.add("GET", "/v1/snapshot/progress",
             [&](const io::HttpCallPtr& call) { snapshots.progress(call); });
  router.add("GET", "/v1/snapshot/schedule",
             [&](const io::HttpCallPtr& call) { call->json(schedule.status_json()); });
}

}  // namespace fyr::server
