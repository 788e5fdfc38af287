// Snapshots as files: made whole or not at all, kept, sent in chunks, put together again.
#include <gtest/gtest.h>

#include <fstream>

#include "base/bytes.h"
#include "raft/snapshot_receiver.h"
#include "raft/snapshot_store.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

class SnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    store_.reset();
    auto opened = SnapshotStore::open(folder_.path() / "snapshots");
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  // Three files: none, a little, and a bit more than two chunks.
  SnapshotMeta make(std::uint64_t index) {
    const fs::path copy = store_->begin();
    EXPECT_FALSE(fs::exists(copy));
    fs::create_directories(copy);
    write_bytes(copy / "CURRENT", "MANIFEST-000004\n");
    write_bytes(copy / "empty", "");
    std::string big(2 * kSnapshotChunk + 17, 'x');
    for (std::size_t i = 0; i < big.size(); i += 97) big[i] = static_cast<char>(i + index);
    write_bytes(copy / "000001.sst", big);
    Configuration configuration;
    configuration.voters = {NodeId(1), NodeId(2)};
    auto made = store_->finish(copy, {Index(index), Term(3)}, configuration, "c1");
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : SnapshotMeta{};
  }
  // As many chunks as `count`; false: everything is there.
  bool fetch(SnapshotReceiver& receiver, const std::string& id, int count) {
    while (auto want = receiver.next()) {
      if (count-- == 0) return true;
      auto chunk = store_->read_chunk(id, want->file, want->offset);
      EXPECT_TRUE(chunk) << chunk.error().message;
      const auto done = receiver.put(*want, *chunk);
      EXPECT_TRUE(done) << done.error().message;
    }
    return false;
  }
  SnapshotReceiver receiver_for(const SnapshotMeta& meta) {
    auto opened = SnapshotReceiver::open(*store_->incoming(meta), meta);
    EXPECT_TRUE(opened);
    if (!opened->has_manifest()) {
      EXPECT_TRUE(opened->put_manifest(*store_->manifest(meta.id)));
    }
    return std::move(*opened);
  }
  std::size_t folders() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_.path() / "snapshots"), {}));
  }

  TempFolder folder_{Medium::Memory};
  std::unique_ptr<SnapshotStore> store_;
};

TEST_F(SnapshotTest, AManifestSurvivesEncodingAndNoDamageGoesUnnoticed) {
  const SnapshotMeta meta = make(10);
  const std::string encoded = *store_->manifest(meta.id);
  const auto manifest = decode_manifest(encoded);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->index, Index(10));
  EXPECT_EQ(manifest->cluster, "c1");
  EXPECT_EQ(manifest->files.size(), 3u);
  EXPECT_EQ(manifest->find("000001.sst")->chunks.size(), 3u);
  EXPECT_EQ(encode_manifest(*manifest), encoded);
  EXPECT_EQ(meta_of(*manifest, encoded), meta);
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    EXPECT_FALSE(decode_manifest(encoded.substr(0, i))) << "cut at " << i;
    std::string flipped = encoded;
    flipped[i] ^= 4;
    EXPECT_FALSE(decode_manifest(flipped)) << "flipped at " << i;
  }
}

TEST_F(SnapshotTest, NoFileNameLeadsOutOfTheFolder) {
  for (const char* name : {"../x", "/etc/x", "a/b", ".", "..", "", "fyr-manifest"}) {
    SnapshotManifest manifest;
    manifest.id = "1-1-a";
    manifest.files.push_back({name, 0, {}});
    EXPECT_EQ(decode_manifest(encode_manifest(manifest)).error().code, ErrorCode::Corrupt) << name;
  }
}

TEST_F(SnapshotTest, TheNewestTwoAreKeptAndWhatIsPinned) {
  const SnapshotMeta first = make(10);
  EXPECT_TRUE(store_->pin(first.id));
  make(20);
  make(30);
  const SnapshotMeta last = make(40);
  EXPECT_EQ(store_->newest(), last);
  EXPECT_EQ(folders(), 3u);
  EXPECT_TRUE(store_->manifest(first.id));
  store_->unpin(first.id);
  EXPECT_EQ(store_->manifest(first.id).error().code, ErrorCode::NotFound);
  EXPECT_EQ(folders(), 2u);
  reopen();
  EXPECT_EQ(store_->newest(), last);
  EXPECT_EQ(folders(), 2u);
}

TEST_F(SnapshotTest, WhatWasNotFinishedIsGoneAfterARestart) {
  const SnapshotMeta meta = make(10);
  fs::create_directories(store_->begin());
  fs::create_directories(folder_.path() / "snapshots" / "no-manifest");
  reopen();
  EXPECT_EQ(folders(), 1u);
  EXPECT_EQ(store_->newest(), meta);
}

TEST_F(SnapshotTest, IsServedInChunksAndPutTogetherTheSame) {
  const SnapshotMeta meta = make(10);
  SnapshotReceiver receiver = receiver_for(meta);
  EXPECT_FALSE(fetch(receiver, meta.id, 100));
  EXPECT_EQ(receiver.bytes_done(), receiver.bytes_total());
  const auto finished = receiver.finish();
  ASSERT_TRUE(finished) << finished.error().message;
  for (const char* name : {"CURRENT", "empty", "000001.sst"}) {
    EXPECT_EQ(read_bytes(*store_->incoming(meta) / name),
              read_bytes(store_->path_of(meta.id) / name));
  }
}

TEST_F(SnapshotTest, FetchingGoesOnWhereItEndedAndKeepsOnlyWhatIsGood) {
  const SnapshotMeta meta = make(10);
  {
    SnapshotReceiver receiver = receiver_for(meta);
    EXPECT_TRUE(fetch(receiver, meta.id, 2));
    EXPECT_EQ(receiver.next()->offset, 2 * kSnapshotChunk);
  }
  {
    SnapshotReceiver receiver = receiver_for(meta);
    EXPECT_EQ(receiver.next()->offset, 2 * kSnapshotChunk);
    EXPECT_EQ(receiver.bytes_done(), 2 * kSnapshotChunk);
  }
  const fs::path file = *store_->incoming(meta) / "000001.sst";
  std::string bytes = read_bytes(file);
  bytes[kSnapshotChunk + 5] ^= 1;
  write_bytes(file, bytes + "left over from before");
  SnapshotReceiver receiver = receiver_for(meta);
  EXPECT_EQ(receiver.next()->offset, kSnapshotChunk);
  EXPECT_FALSE(fetch(receiver, meta.id, 100));
  EXPECT_TRUE(receiver.finish());
}

TEST_F(SnapshotTest, AChunkThatFailsItsChecksumIsAskedForAgain) {
  const SnapshotMeta meta = make(10);
  SnapshotReceiver receiver = receiver_for(meta);
  const auto want = receiver.next();
  std::string chunk = *store_->read_chunk(meta.id, want->file, want->offset);
  chunk[7] ^= 1;
  EXPECT_EQ(receiver.put(*want, chunk).error().code, ErrorCode::Corrupt);
  EXPECT_EQ(receiver.put(*want, chunk.substr(1)).error().code, ErrorCode::Corrupt);
  EXPECT_EQ(receiver.next()->offset, want->offset);
  EXPECT_FALSE(fetch(receiver, meta.id, 100));
}

TEST_F(SnapshotTest, AManifestThatWasNotOfferedIsRefused) {
  const SnapshotMeta meta = make(10);
  const SnapshotMeta other = make(20);
  auto receiver = SnapshotReceiver::open(*store_->incoming(meta), meta);
  ASSERT_TRUE(receiver);
  EXPECT_EQ(receiver->put_manifest(*store_->manifest(other.id)).error().code, ErrorCode::Corrupt);
  SnapshotMeta lying = other;
  lying.index = Index(21);
  auto second = SnapshotReceiver::open(*store_->incoming(lying), lying);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->put_manifest(*store_->manifest(other.id)).error().code, ErrorCode::Corrupt);
}

TEST_F(SnapshotTest, ARottenSnapshotIsNotSentAndNotKept) {
  const SnapshotMeta meta = make(10);
  const fs::path file = store_->path_of(meta.id) / "000001.sst";
  std::string bytes = read_bytes(file);
  bytes[kSnapshotChunk + 5] ^= 1;
  write_bytes(file, bytes);
  EXPECT_EQ(verify_snapshot(store_->path_of(meta.id), *decode_manifest(*store_->manifest(meta.id)))
                .error()
                .code,
            ErrorCode::Corrupt);
  EXPECT_TRUE(store_->read_chunk(meta.id, "000001.sst", 0));
  EXPECT_EQ(store_->read_chunk(meta.id, "000001.sst", kSnapshotChunk).error().code,
            ErrorCode::Corrupt);
  EXPECT_FALSE(store_->newest());
}

TEST_F(SnapshotTest, AskingForWhatIsNotThereIsAnError) {
  const SnapshotMeta meta = make(10);
  EXPECT_EQ(store_->read_chunk("x", "CURRENT", 0).error().code, ErrorCode::NotFound);
  EXPECT_EQ(store_->read_chunk(meta.id, "../x", 0).error().code, ErrorCode::NotFound);
  EXPECT_EQ(store_->read_chunk(meta.id, "CURRENT", 5).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(store_->read_chunk(meta.id, "CURRENT", kSnapshotChunk).error().code,
            ErrorCode::InvalidArgument);
}

}  // namespace
}  // namespace fyr::raft
