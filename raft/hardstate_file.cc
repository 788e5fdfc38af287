#include "raft/hardstate_file.h"

#include "base/bytes.h"
#include "base/check.h"

namespace fyr::raft {
namespace {

constexpr std::string_view kHardStateMagic = "FYRHARD1";
constexpr std::string_view kWatermarkMagic = "FYRMARK1";

std::string encode(std::uint64_t incarnation, HardState state) {
  std::string out;
  append_be64(out, incarnation);
  append_be64(out, state.term.value);
  append_be64(out, state.voted_for.value);
  return out;
}

std::string encode(Watermark value) {
  std::string out;
  append_be64(out, value.index.value);
  append_be64(out, value.term.value);
  return out;
}

std::uint64_t number_at(std::string_view payload, std::size_t position) {
  return read_be64(payload.substr(8 * position, 8));
}

}  // namespace

Result<HardStateFile> HardStateFile::create(const std::filesystem::path& path, HardState initial) {
  auto file = SlotFile::create(path, kHardStateMagic, encode(1, initial));
  if (!file) return file.error();
  return HardStateFile(std::move(*file), initial, 1);
}

Result<HardStateFile> HardStateFile::open(const std::filesystem::path& path) {
  auto file = SlotFile::open(path, kHardStateMagic, 24);
  if (!file) return file.error();
  const std::string& payload = file->payload();
  const HardState state{Term(number_at(payload, 1)), NodeId(number_at(payload, 2))};
  const std::uint64_t incarnation = number_at(payload, 0);
  return HardStateFile(std::move(*file), state, incarnation);
}

Result<void> HardStateFile::write(HardState state) {
  CHECK_MSG(state.term >= state_.term, "a term never falls");
  if (auto done = file_.write_synced(encode(incarnation_, state)); !done) return done;
  state_ = state;
  return {};
}

Result<void> HardStateFile::raise_incarnation() {
  if (auto done = file_.write_synced(encode(incarnation_ + 1, state_)); !done) return done;
  ++incarnation_;
  return {};
}

Result<WatermarkFile> WatermarkFile::create(const std::filesystem::path& path, Watermark initial) {
  auto file = SlotFile::create(path, kWatermarkMagic, encode(initial));
  if (!file) return file.error();
  return WatermarkFile(std::move(*file), initial);
}

Result<WatermarkFile> WatermarkFile::open(const std::filesystem::path& path) {
  auto file = SlotFile::open(path, kWatermarkMagic, 16);
  if (!file) return file.error();
  const Watermark value{Index(number_at(file->payload(), 0)), Term(number_at(file->payload(), 1))};
  return WatermarkFile(std::move(*file), value);
}

Result<void> WatermarkFile::raise(Watermark value) {
  if (auto done = file_.write_unsynced(encode(value)); !done) return done;
  value_ = value;
  dirty_ = true;
  return {};
}

Result<void> WatermarkFile::lower(Watermark value) {
  if (auto done = file_.write_synced(encode(value)); !done) return done;
  value_ = value;
  dirty_ = false;
  return {};
}

Result<void> WatermarkFile::sync() {
  if (!dirty_) return {};
  if (auto done = file_.sync(); !done) return done;
  dirty_ = false;
  return {};
}

}  // namespace fyr::raft
