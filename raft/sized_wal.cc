#include "raft/sized_wal.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <string>
#include <utility>

namespace fyr::raft {
namespace {

class SizedWal final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "SizedWal"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* context) override {
    rocksdb::FileOptions sized = options;
    if (name.ends_with(".log")) sized.fallocate_with_keep_size = false;
    return target()->NewWritableFile(name, sized, result, context);
  }
};

}  // namespace

std::shared_ptr<rocksdb::Env> with_sized_wal(rocksdb::Env* base) {
  if (base == nullptr) base = rocksdb::Env::Default();
  return rocksdb::NewCompositeEnv(std::make_shared<SizedWal>(base->GetFileSystem()));
}

}  // namespace fyr::raft
