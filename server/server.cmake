# The state machine over RocksDB, apart from Raft so that it can be tested without it.
fyr_library(fyr_fsm
  SOURCES fsm.cc state_database.cc
  DEPS fyr_state fyr_watch fyr_raft fyr_io fyr_rocksdb)

fyr_library(fyr_server
  SOURCES server.cc
  DEPS fyr_fsm fyr_leader fyr_raft)
