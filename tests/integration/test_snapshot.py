"""Snapshots and forced recovery on a cluster of three: what comes back is the same everywhere."""
import json
import os
import pty
import signal
import subprocess
import tempfile
import threading
import unittest

from cluster import Cluster
from harness import BINARY, ROOT, until

CORRUPT = os.path.join(ROOT, "build/release/tests/integration/corrupt_row")


def own_rows(server):
    """Keys, values and catalog of the server's own state."""
    keys = server.get("/v1/kv/kept/?recurse&stale", timeout=30)
    return (keys[2] if keys[0] == 200 else b"[]", server.get("/v1/catalog/services?stale")[2])


class SnapshotStory(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="fyr-snapshot-")
        self.addCleanup(lambda: subprocess.run(["rm", "-r", self.folder], check=False))

    def cluster(self, config=None):
        cluster = Cluster(3, config)
        self.addCleanup(cluster.close)
        cluster.start()
        cluster.wait_healthy()
        return cluster

    def fyr(self, *words, server=None, status=0):
        if server:
            words += ("-http-addr=127.0.0.1:%d" % server.http,)
        done = subprocess.run([BINARY, *words], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_scheduled_snapshots_are_made_kept_and_restorable(self):
        cluster = self.cluster({"snapshot_schedule": {"interval": "1s", "retain": 2}})
        leader = cluster.leader()
        leader.put("/v1/kv/kept/a", "1")

        def made(server):
            return server.json("/v1/snapshot/schedule")["Snapshots"]
        index = leader.json("/v1/kv/kept/a")[0]["ModifyIndex"]
        until(lambda: made(leader)[-1]["Index"] >= index, 20, "a snapshot of the write")
        first = made(leader)[-1]["File"]
        until(lambda: first not in [row["File"] for row in made(leader)], 20, "the old one removed")
        folder = os.path.join(leader.data, "snapshots")
        self.assertLessEqual(len(os.listdir(folder)), 3)  # one may just be written
        for server in cluster.servers:
            if server is not leader:
                self.assertEqual(made(server), [])
        shown = self.fyr("snapshot", "list", server=leader)
        self.assertIn("every 1s, the newest 2 stay", shown)
        kept = os.path.join(self.folder, "kept.snap")
        # The newest one: it is the last to be removed.
        subprocess.run(["cp", os.path.join(folder, made(leader)[-1]["File"]), kept], check=True)
        leader.put("/v1/kv/kept/a", "2")
        self.fyr("snapshot", "restore", kept, server=leader)
        self.assertEqual(leader.get("/v1/kv/kept/a?raw")[2], b"1")
        counters = {(c["Name"], c["Labels"].get("result")): c["Count"]
                    for c in leader.json("/v1/agent/metrics")["Counters"]}
        self.assertGreaterEqual(counters["fyr.snapshot.scheduled", "ok"], 3)

    def test_restore_under_load_gives_the_same_content_everywhere(self):
        cluster = self.cluster()
        servers = cluster.servers
        for number in range(200):
            self.assertEqual(servers[number % 3].put("/v1/kv/kept/%03d" % number, "old")[0], 200)
        saved = os.path.join(self.folder, "saved.snap")
        self.fyr("snapshot", "save", saved, server=servers[1])
        for number in range(100, 300):
            servers[0].put("/v1/kv/kept/%03d" % number, "new")
        stopping = threading.Event()
        written = []

        def write(server):
            while not stopping.is_set():
                written.append(server.put("/v1/kv/load/%s-%d" % (server.name, len(written)), "x")[0])
        threads = [threading.Thread(target=write, args=(server,)) for server in servers]
        for thread in threads:
            thread.start()
        follower = next(s for s in servers if s is not cluster.leader())
        self.fyr("snapshot", "restore", saved, server=follower)
        reached = len(written)
        until(lambda: len(written) > reached + 50, 20, "writes after the restore")
        stopping.set()
        for thread in threads:
            thread.join()
        self.assertEqual(set(written), {200})
        last = servers[0].put("/v1/kv/last", "1")
        self.assertEqual(last[0], 200)
        for server in servers:
            until(lambda s=server: s.get("/v1/kv/last?stale&raw")[2] == b"1", 10, "all of it")
        rows = [own_rows(server) for server in servers]
        self.assertEqual(rows[0], rows[1])
        self.assertEqual(rows[0], rows[2])
        keys = json.loads(rows[0][0])
        self.assertEqual([row["Key"] for row in keys], ["kept/%03d" % n for n in range(200)])
        self.assertEqual({row["Value"] for row in keys}, {"b2xk"})  # "old"
        # A state that was restored survives as any other.
        servers[2].kill9()
        servers[2].start()
        self.assertEqual(own_rows(servers[2]), rows[0])

    def test_lone_survivor_goes_on_and_old_members_stay_out(self):
        cluster = self.cluster()
        survivor, old, gone = cluster.servers
        self.assertEqual(old.put("/v1/kv/kept/a", "1")[0], 200)
        until(lambda: survivor.get("/v1/kv/kept/a?stale&raw")[2] == b"1", 10, "the write here")
        old.kill9()
        gone.kill9()
        self.assertEqual(survivor.put("/v1/kv/kept/b", "1", timeout=20)[0], 500)
        # Not while it runs.
        self.assertIn("another process", self.fyr("operator", "recover", "-data-dir=" + survivor.data, status=1))
        survivor.kill9()
        for _ in range(2):
            shown = self.fyr("operator", "recover", "-data-dir=" + survivor.data)
            self.assertIn("Nothing was changed", shown)
            self.assertIn("Recovery epoch   0", shown)
            self.assertEqual(shown.count("127.0.0.1:"), 3)
        shown = self.fyr("operator", "recover", "-data-dir=" + survivor.data, "-yes")
        self.assertIn("Recovery epoch   1", shown)
        survivor.start(wait=False)
        until(lambda: survivor.put("/v1/kv/kept/c", "1", timeout=5)[0] == 200, 20, "a write at the survivor")
        self.assertEqual(survivor.get("/v1/kv/kept/a?raw")[2], b"1")
        # The one that comes back with its old folder: never again.
        old.start(wait=False)

        def refused():
            return any(c["Name"] == "fyr.raft.handshake_refused" and c["Labels"]["reason"] == "recovery_epoch"
                       for server in (survivor, old) for c in server.json("/v1/agent/metrics")["Counters"])
        until(refused, 30, "the old member refused")
        self.assertEqual(survivor.put("/v1/kv/kept/d", "1")[0], 200)
        self.assertEqual(cluster.voters(survivor), [survivor.name])
        self.assertNotEqual(old.get("/v1/kv/kept/d?stale&raw")[0], 200)
        # With an empty one it is welcome.
        old.kill9()
        subprocess.run(["rm", "-r", old.data], check=True)
        old.config["bootstrap_expect"] = 0
        old.start(wait=False)
        until(lambda: len(cluster.voters(survivor)) == 2, 40, "a new voter")
        until(lambda: old.get("/v1/kv/kept/d?stale&raw")[2] == b"1", 20, "the state at the new one")

    def test_a_server_whose_state_differs_is_found_and_made_anew(self):
        cluster = self.cluster({"state_check_interval": "1s"})
        for number in range(50):
            cluster.servers[0].put("/v1/kv/kept/%d" % number, "right")
        for odd in (next(s for s in cluster.servers if s is not cluster.leader()), cluster.leader()):
            self.assertEqual(odd.terminate(), 1)
            subprocess.run([CORRUPT, odd.data, "kept/7", "wrong"], check=True)
            odd.start(wait=False)
            until(lambda s=odd: s.process.poll() is not None, 40, "the odd one ends")
            self.assertEqual(odd.process.returncode, 65)
            self.assertIn("the state differs from the others'", odd.log())
            odd.start(wait=False)
            cluster.wait_healthy()
            until(lambda s=odd: s.put("/v1/kv/last", s.name)[0] == 200, 20, "all of it")
            rows = [own_rows(server) for server in cluster.servers]
            self.assertEqual(rows[0], rows[1])
            self.assertEqual(rows[0], rows[2])
            self.assertEqual(odd.get("/v1/kv/kept/7?raw&stale")[2], b"right")

        def compared(server):
            return sum(c["Count"] for c in server.json("/v1/agent/metrics")["Counters"]
                       if c["Name"] == "fyr.raft.digest_checks")
        leader = cluster.leader()
        shown = leader.json("/v1/agent/metrics")
        self.assertLessEqual({"consul.raft.commitTime", "consul.raft.leader.lastContact", "fyr.raft.fsync_ms"},
                             {s["Name"] for s in shown["Samples"] if s["Count"] > 0})
        gauges = {g["Name"]: g["Value"] for g in shown["Gauges"]}
        self.assertEqual(gauges["fyr.raft.is_leader"], 1)
        self.assertGreater(gauges["fyr.raft.commit_index"], 50)
        before = compared(leader)
        until(lambda: compared(leader) > before + 1, 20, "two more comparisons")
        self.assertEqual(cluster.alive(), cluster.servers)

    def test_a_terminal_shows_how_far_a_long_restore_is(self):
        cluster = self.cluster()
        leader = cluster.leader()
        for number in range(64):
            leader.put("/v1/kv/kept/%d" % number, os.urandom(500_000))
        saved = os.path.join(self.folder, "saved.snap")
        quiet = self.fyr("snapshot", "save", saved, server=leader)
        self.assertNotIn("\r", quiet)
        # Long for certain: nobody else answers for a while. The restore goes on when they do.
        stopped = [s for s in cluster.servers if s is not leader]
        for server in stopped:
            server.signal(signal.SIGSTOP)
        threading.Timer(2.5, lambda: [server.signal(signal.SIGCONT) for server in stopped]).start()
        ours, theirs = pty.openpty()
        with subprocess.Popen([BINARY, "snapshot", "restore", "-http-addr=127.0.0.1:%d" % leader.http, saved],
                              stdout=subprocess.PIPE, stderr=theirs, text=True) as command:
            os.close(theirs)
            shown = b""
            try:
                while chunk := os.read(ours, 4096):
                    shown += chunk
            except OSError:
                pass  # how the end of a terminal reads
            os.close(ours)
            self.assertEqual(command.wait(60), 0, shown)
        self.assertRegex(shown.decode(), r"Restoring: .*\d s")
        self.assertTrue(shown.endswith(b"\r\033[K"), shown)


if __name__ == "__main__":
    unittest.main()
