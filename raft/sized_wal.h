// RocksDB's write-ahead log in files that have their size from the beginning.
//
// A file that grows makes each sync write its inode, too; here the blocks are taken with the size
// (fallocate), so that a sync after an append has only the data to wait for. After a kill the rest
// of such a file is zeros, which RocksDB skips; a record torn by a power cut stands before them
// instead of at the end, and is then damage that the log is taken up to (log_recovery.cc). A file
// closed in order is cut to what was written.
//
// Threading: as rocksdb::Env.
#pragma once

#include <memory>

namespace rocksdb {
class Env;
}

namespace fyr::raft {

// `base` (null: the default one) must outlive the result, and that the database.
std::shared_ptr<rocksdb::Env> with_sized_wal(rocksdb::Env* base);

}  // namespace fyr::raft
