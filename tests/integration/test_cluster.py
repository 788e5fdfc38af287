"""A quorum of real servers: what is acknowledged stays, writes are soon possible again, nobody reads the past."""
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from cluster import Cluster, Outage, Registers
from harness import BINARY, KILLS, Writers, until

TRIALS = max(3, KILLS // 5)


class ClusterStory(unittest.TestCase):
    def cluster(self, count=3, config=None):
        cluster = Cluster(count, config)
        self.addCleanup(cluster.close)
        return cluster.start()

    def history(self):
        folder = tempfile.mkdtemp(prefix="fyr-history-")
        self.addCleanup(lambda: subprocess.run(["rm", "-r", folder], check=False))
        return os.path.join(folder, "history")

    def test_three_servers_found_one_cluster_and_write_soon(self):
        cluster = Cluster()
        self.addCleanup(cluster.close)
        began = time.monotonic()
        for server in cluster.servers:
            server.start(wait=False)
        until(lambda: cluster.servers[0].put("/v1/kv/first", "1")[0] == 200, 20, "first write", step=0.005)
        print("three servers, start to first write %.2f s" % (time.monotonic() - began))
        for server in cluster.servers:
            until(lambda: len(cluster.voters(server)) == 3, 10, "three voters")
            until(lambda: server.get("/v1/kv/first?raw")[2] == b"1", 10, "the write at " + server.name)

    def test_killed_leader_is_replaced_and_no_acknowledged_write_is_lost(self):
        cluster = self.cluster()
        outage = Outage(cluster.servers)
        writers = [Writers(server, 2) for server in cluster.servers]
        gaps = []
        for _ in range(TRIALS):
            leader = cluster.leader()
            moment = time.monotonic()
            leader.kill9()
            gaps.append(until(lambda: outage.since(moment + 0.05), 20, "a write after the kill"))
            leader.start(wait=False)
            until(lambda: leader.put("/v1/kv/back", "1", timeout=2)[0] == 200, 20, leader.name + " back")
            cluster.wait_healthy()  # else the next kill meets two of three
        outage.stop()
        for writer in writers:
            writer.stop()
        gaps.sort()
        acknowledged = {}
        for writer in writers:
            acknowledged.update({"%s" % k: v for k, v in writer.acknowledged.items()})
        print("%d kills of the leader: writes again after p50 %.2f s, max %.2f s; %d acknowledged writes"
              % (TRIALS, gaps[len(gaps) // 2], gaps[-1], len(acknowledged)))
        reader = cluster.leader()
        keys = set(json.loads(reader.get("/v1/kv/crash/?keys", timeout=60)[2]))
        self.assertEqual([key for key in acknowledged if key not in keys], [])
        self.assertLess(gaps[-1], 5)  # the figure itself is tests/bench's business

    def test_stopped_leader_hands_over_first(self):
        cluster = self.cluster()
        outage = Outage(cluster.servers)
        leader = cluster.leader()
        moment = time.monotonic()
        leader.signal(signal.SIGTERM)
        self.assertEqual(leader.process.wait(20), 1)
        rest = cluster.alive()
        until(lambda: outage.since(time.monotonic() - 0.02), 10, "writes going on")
        outage.stop()
        print("SIGTERM of the leader: longest time without a write %.3f s" % outage.longest())
        self.assertIn(cluster.leader(rest), rest)
        self.assertLess(time.monotonic() - moment, 20)

    def test_histories_through_kills_and_pauses_are_linearizable(self):
        cluster = self.cluster()
        registers = Registers(cluster.servers, 9, self.history())
        for round_ in range(TRIALS):
            reached = registers.answered
            until(lambda: registers.answered > reached + 300, 30, "operations going on")
            victim = cluster.leader() if round_ % 2 == 0 else cluster.servers[round_ % 3]
            if round_ % 3 == 2:
                victim.signal(signal.SIGSTOP)
                others = [s for s in cluster.servers if s is not victim]
                until(lambda: others[0].put("/v1/kv/moved", "1", timeout=15)[0] == 200, 30, "a write without it")
                victim.signal(signal.SIGCONT)
            else:
                victim.kill9()
                reached = registers.answered
                until(lambda: registers.answered > reached + 50, 30, "operations without it")
                victim.start(wait=False)
        print(registers.check())

    def test_all_three_killed_at_once_lose_nothing(self):
        cluster = self.cluster()
        writers = Writers(cluster.servers[0], 4)
        for _ in range(TRIALS):
            before = writers.count()
            until(lambda: writers.count() > before + 50, 30, "writes going on")
            for server in cluster.servers:
                server.kill9()
            for server in cluster.servers:
                server.start(wait=False)
        before = writers.count()
        until(lambda: writers.count() > before, 30, "a write after the last kill")
        writers.stop()
        keys = set(json.loads(cluster.servers[1].get("/v1/kv/crash/?keys", timeout=60)[2]))
        self.assertEqual([key for key in writers.acknowledged if key not in keys], [])
        print("%d acknowledged writes, 0 lost" % len(writers.acknowledged))

    def test_rolling_restart_under_load(self):
        cluster = self.cluster()
        outage = Outage(cluster.servers)
        for server in list(cluster.servers):
            self.assertEqual(server.terminate(), 1)
            server.start(wait=False)
            until(lambda: server.put("/v1/kv/rolled", server.name, timeout=2)[0] == 200, 20, server.name + " back")
        outage.stop()
        print("rolling restart: longest time without a write %.3f s" % outage.longest())
        self.assertLess(outage.longest(), 5)

    def test_frozen_leader_is_replaced_and_follows_when_it_wakes(self):
        cluster = self.cluster()
        leader = cluster.leader()
        others = [s for s in cluster.servers if s is not leader]
        began = time.monotonic()
        leader.signal(signal.SIGSTOP)
        until(lambda: others[0].put("/v1/kv/frozen", "1", timeout=15)[0] == 200, 20, "a write without it")
        print("frozen leader: writes again after %.2f s" % (time.monotonic() - began))
        self.assertIsNot(cluster.leader(others), leader)
        leader.signal(signal.SIGCONT)
        until(lambda: leader.get("/v1/kv/frozen?raw", timeout=15)[2] == b"1", 20, "the write at the old leader")

    def test_a_minority_answers_stale_reads_and_no_writes(self):
        cluster = self.cluster()
        lone = cluster.servers[0]
        self.assertEqual(lone.put("/v1/kv/kept", "1")[0], 200)
        for server in cluster.servers[1:]:
            server.kill9()
        until(lambda: lone.put("/v1/kv/more", "1", timeout=20)[0] == 500, 30, "a refused write")
        # A write under way may be refused before the leader counts as gone.
        until(lambda: lone.get("/v1/kv/kept?stale&raw")[1]["X-Consul-KnownLeader"] == "false", 10, "no leader known")
        self.assertEqual(lone.get("/v1/kv/kept?stale&raw")[0::2], (200, b"1"))
        self.assertEqual(lone.get("/v1/kv/kept?raw", timeout=20)[0], 500)

    def test_a_fourth_server_joins_votes_and_can_be_removed(self):
        cluster = self.cluster()
        body = {"ServerStabilizationTime": "1s", "CleanupDeadServers": True, "LastContactThreshold": "200ms",
                "MaxTrailingLogs": 250}
        self.assertEqual(cluster.servers[1].put("/v1/operator/autopilot/configuration", body)[0], 200)
        fourth = cluster.add("s3")
        leader = cluster.leader()
        until(lambda: "s3" in cluster.voters(leader), 30, "the fourth one voting")
        until(lambda: fourth.get("/v1/kv/cluster-ready?raw")[2] == b"1", 10, "the state at the fourth one")
        listed = subprocess.run([BINARY, "operator", "raft", "list-peers", "-http-addr", "127.0.0.1:%d" % fourth.http],
                                capture_output=True, text=True, timeout=20, check=True).stdout
        self.assertEqual(len(listed.strip().splitlines()), 5, listed)
        fourth.kill9()
        def removed():
            """By us, or by the autopilot, which may be quicker and lets no second change begin beside its own."""
            done = subprocess.run([BINARY, "operator", "raft", "remove-peer", "-address=127.0.0.1:%d" % fourth.rpc,
                                   "-http-addr=127.0.0.1:%d" % cluster.servers[0].http],
                                  capture_output=True, text=True, timeout=20, check=False)
            return done.returncode == 0 or len(cluster.voters(cluster.leader())) == 3
        until(removed, 10, "the command")
        until(lambda: len(cluster.voters(cluster.leader())) == 3, 10, "three voters again")

    def test_leadership_can_be_transferred_by_the_operator(self):
        cluster = self.cluster()
        leader = cluster.leader()
        done = subprocess.run([BINARY, "operator", "raft", "transfer-leader",
                               "-http-addr=127.0.0.1:%d" % cluster.servers[0].http],
                              capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "Success"), done.stderr)
        until(lambda: cluster.leader() is not leader, 10, "another leader")

    def test_a_session_is_renewed_through_a_follower(self):
        cluster = self.cluster()
        follower = next(s for s in cluster.servers if s is not cluster.leader())
        until(lambda: follower.put("/v1/session/create", {"TTL": "10s"})[0] == 200, 20, "a session")
        created = json.loads(follower.put("/v1/session/create", {"TTL": "10s"})[2])["ID"]
        status, _, body = follower.put("/v1/session/renew/" + created)
        self.assertEqual((status, json.loads(body)[0]["ID"]), (200, created))


if __name__ == "__main__":
    unittest.main()
