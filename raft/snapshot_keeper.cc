#include "raft/snapshot_keeper.h"

#include "base/log.h"
#include "raft/snapshot_receiver.h"

namespace fyr::raft {

// The receiver as the transport knows it.
class SnapshotKeeper::Sink final : public SnapshotSink {
 public:
  explicit Sink(SnapshotReceiver r) : receiver(std::move(r)) {}

  Result<std::optional<Part>> next() override {
    if (!receiver.has_manifest())
      return std::optional<Part>({"", manifest_.size(), kSnapshotChunk});
    const auto want = receiver.next();
    if (!want) return std::optional<Part>();
    return std::optional<Part>({want->file, want->offset, kSnapshotChunk});
  }

  Result<void> put(const Part& part, SnapshotSource::Part got) override {
    if (!part.file.empty()) return receiver.put({part.file, part.offset}, got.bytes);
    if (got.file_size > kMaxManifestBytes || got.bytes.empty()) {
      return fail(ErrorCode::InvalidArgument, "snapshot: no manifest of a size that can be");
    }
    manifest_ += got.bytes;
    if (manifest_.size() < got.file_size) return {};
    return receiver.put_manifest(std::exchange(manifest_, {}));
  }

  SnapshotReceiver receiver;

 private:
  std::string manifest_;  // as far as it came
};

Result<std::unique_ptr<SnapshotKeeper>> SnapshotKeeper::open(Options options, StateMachine& machine,
                                                             Transport* transport) {
  auto store = SnapshotStore::open(options.directory);
  if (!store) return store.error();
  return std::unique_ptr<SnapshotKeeper>(
      new SnapshotKeeper(std::move(options), machine, transport, std::move(*store)));
}

SnapshotKeeper::SnapshotKeeper(Options options, StateMachine& machine, Transport* transport,
                               std::unique_ptr<SnapshotStore> store)
    : options_(std::move(options)),
      machine_(machine),
      transport_(transport),
      store_(std::move(store)),
      worker_("raft-snapshot") {}

void SnapshotKeeper::stop() {
  worker_.stop();
}

// ---- making -------------------------------------------------------------------------------

void SnapshotKeeper::make() {
  options_.on_apply_thread([this] {
    const auto copy = store_->begin();
    auto position = machine_.checkpoint(copy);
    worker_.post([this, copy, position = std::move(position)]() mutable {
      finish_making(copy, std::move(position));
    });
  });
}

void SnapshotKeeper::finish_making(const std::filesystem::path& copy,
                                   Result<LogPosition> position) {
  const Instant begun = now();
  Result<SnapshotMeta> made =
      position ? store_->finish(copy, *position, options_.configuration_at(position->index),
                                options_.cluster())
               : Result<SnapshotMeta>(position.error());
  SnapshotEvent event;
  if (made) {
    event.kind = SnapshotEvent::Kind::Made;
    event.snapshot = std::move(*made);
    log::info("raft", "snapshot at entry {} made in {}", event.snapshot.index.value,
              format_duration(now() - begun));
  } else {
    log::error("raft", "snapshot: {}", made.error().message);
    store_->abandon(copy);
  }
  unpin_unread();
  options_.done(std::move(event));
}

// ---- serving ------------------------------------------------------------------------------

Result<SnapshotSource::Part> SnapshotKeeper::read(const std::string& id, const std::string& file,
                                                  std::uint64_t offset, std::size_t max_bytes) {
  {
    std::lock_guard lock(mutex_);
    const bool known = pinned_.contains(id);
    if (!known && !store_->pin(id)) return fail(ErrorCode::NotFound, "no such snapshot");
    pinned_[id] = now();
  }
  auto manifest = store_->manifest(id);
  if (!manifest) return manifest.error();
  if (file.empty()) {
    if (offset > manifest->size()) return fail(ErrorCode::NotFound, "behind the manifest's end");
    return Part{manifest->substr(offset, max_bytes), manifest->size()};
  }
  auto bytes = store_->read_chunk(id, file, offset);
  if (!bytes) return bytes.error();
  return Part{std::move(*bytes), 0};
}

void SnapshotKeeper::unpin_unread() {
  std::lock_guard lock(mutex_);
  for (auto at = pinned_.begin(); at != pinned_.end();) {
    if (at->second + options_.unpin_after > now()) {
      ++at;
      continue;
    }
    store_->unpin(at->first);
    at = pinned_.erase(at);
  }
}

// ---- fetching -----------------------------------------------------------------------------

bool SnapshotKeeper::is_current(std::uint64_t attempt) {
  std::lock_guard lock(mutex_);
  return attempt_ == attempt;
}

void SnapshotKeeper::fetch(const FetchSnapshot& request) {
  std::uint64_t attempt = 0;
  {
    std::lock_guard lock(mutex_);
    attempt = ++attempt_;
  }
  log::info("raft", "fetching the snapshot at entry {} from {}", request.snapshot.index.value,
            request.from.value);
  worker_.post([this, request, attempt] { start_fetching(request, attempt); });
}

void SnapshotKeeper::drop() {
  {
    std::lock_guard lock(mutex_);
    ++attempt_;
  }
  worker_.post([this] {
    if (transport_) transport_->cancel_snapshot();
    machine_.drop_prepared();
  });
}

void SnapshotKeeper::start_fetching(const FetchSnapshot& request, std::uint64_t attempt) {
  if (!is_current(attempt)) return;
  const auto failed = [&](const Error& error) { fetched(request, attempt, nullptr, error); };
  if (!transport_) return failed(fail(ErrorCode::Unsupported, "snapshot: no way to fetch it"));
  auto directory = store_->incoming(request.snapshot);
  if (!directory) return failed(directory.error());
  auto receiver = SnapshotReceiver::open(*directory, request.snapshot);
  if (!receiver) return failed(receiver.error());
  auto sink = std::make_shared<Sink>(std::move(*receiver));
  transport_->fetch_snapshot(request, sink, [this, request, attempt, sink](Result<void> result) {
    worker_.post([this, request, attempt, sink, result = std::move(result)]() mutable {
      fetched(request, attempt, std::move(sink), std::move(result));
    });
  });
}

void SnapshotKeeper::fetched(const FetchSnapshot& request, std::uint64_t attempt,
                             std::shared_ptr<Sink> sink, Result<void> result) {
  if (!is_current(attempt)) return;
  Result<Configuration> prepared =
      result ? prepare(request, *sink) : Result<Configuration>(result.error());
  SnapshotEvent event;
  event.snapshot = request.snapshot;
  if (prepared) {
    log::info("raft", "snapshot at entry {} is here and checked", request.snapshot.index.value);
    event.kind = SnapshotEvent::Kind::Prepared;
    event.configuration = std::move(*prepared);
  } else {
    log::warn("raft", "snapshot at entry {}: {}", request.snapshot.index.value,
              prepared.error().message);
  }
  if (!is_current(attempt)) {
    machine_.drop_prepared();
    return;
  }
  options_.done(std::move(event));
}

// Everything that came is checked once more, and opened as the next state.
Result<Configuration> SnapshotKeeper::prepare(const FetchSnapshot& request, Sink& sink) {
  auto manifest = sink.receiver.finish();
  if (!manifest) return manifest.error();
  if (manifest->cluster != options_.cluster()) {
    return fail(ErrorCode::Corrupt, "it is one of another cluster");
  }
  auto directory = store_->incoming(request.snapshot);
  if (!directory) return directory.error();
  auto position = machine_.prepare(*directory);
  if (!position) return position.error();
  if (position->index != request.snapshot.index) {
    return fail(ErrorCode::Corrupt,
                "its state is that of entry " + std::to_string(position->index.value));
  }
  store_->drop_incoming();
  return std::move(manifest->configuration);
}

}  // namespace fyr::raft
