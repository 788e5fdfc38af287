"""Servers that come, go, and are asked to lead."""
import concurrent.futures
import json
import random
import subprocess
import time
import unittest

from clients import Connection, Writers
from cluster import BINARY, Cluster, allowed, trials, until

WORKERS = 8


class Members(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster().start()
        self.addCleanup(self.cluster.close)

    def peers(self, server=None):
        rows = (server or self.cluster.leader()).json("/v1/operator/raft/configuration")["Servers"]
        return {row["Node"]: row for row in rows}

    def voters(self):
        return sorted(name for name, row in self.peers().items() if row["Voter"])

    def operator(self, *words, server=None):
        server = server or self.cluster.leader()
        return subprocess.run(
            [BINARY, "operator", "raft", *words, "-http-addr=%s:%d" % (server.address, server.http)],
            capture_output=True, text=True, timeout=20, check=False)

    def test_list_peers_names_everybody_and_the_leader(self):
        for server in self.cluster.servers:
            ran = until(lambda s=server: self.listed(s), 10, "the list of " + server.name)
            leader = self.cluster.leader()
            lines = [line.split() for line in ran.splitlines()[1:]]
            self.assertEqual(sorted(line[0] for line in lines), ["s1", "s2", "s3"])
            self.assertEqual([line[0] for line in lines if "leader" in line], [leader.name])

    def listed(self, server):
        ran = self.operator("list-peers", server=server)
        return ran.stdout if ran.returncode == 0 and "leader" in ran.stdout else None

    def test_leadership_is_handed_to_the_one_that_was_named(self):
        writers = Writers(self.cluster.servers)
        self.addCleanup(writers.stop)
        gaps = []
        for _ in range(trials(3, 20)):
            until(lambda: min(writers.count(s) for s in self.cluster.servers) > 20, 20, "writes")
            target = self.cluster.followers()[0]
            began = time.monotonic()
            ran = self.operator("transfer-leader", "-id=" + self.peers()[target.name]["ID"])
            self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
            until(target.leads, 5, target.name + " leads")
            reached = writers.count()
            until(lambda: writers.count() > reached + 50, 20, "writes go on")
            gaps.append(writers.gap(began, self.cluster.servers))
        writers.stop()
        self.assertEqual(writers.lost(self.cluster.wait_equal()), [])
        print("longest write gap of a transfer: %.0f ms" % (max(gaps) * 1000))
        self.assertLessEqual(max(gaps), allowed(0.5))

    def test_a_fourth_server_joins_and_is_promoted(self):
        writers = Writers(self.cluster.servers)
        self.addCleanup(writers.stop)
        fourth = self.cluster.add(4)
        began = time.monotonic()
        fourth.start(wait=False)
        until(lambda: "s4" in self.peers(), 20, "s4 is a member")
        until(lambda: "s4" in self.voters(), 40, "s4 is a voter")
        print("a fourth server is a voter %.1f s after its start" % (time.monotonic() - began))
        self.cluster.wait_writable()
        writers.stop()
        self.assertEqual(writers.lost(self.cluster.wait_equal()), [])

    def test_a_removed_server_is_out_and_the_others_go_on(self):
        gone = self.cluster.followers()[0]
        others = [s for s in self.cluster.servers if s is not gone]
        address = self.peers()[gone.name]["Address"]
        gone.kill9()
        ran = self.operator("remove-peer", "-address=" + address)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        until(lambda: gone.name not in self.peers(), 10, gone.name + " is out")
        self.cluster.wait_writable(servers=others)
        # Two are left, both voters: that each needs the other shows that the third counts no more.
        self.assertEqual(self.voters(), sorted(s.name for s in others))


class Restarts(unittest.TestCase):
    def test_every_acknowledged_write_survives_kill_9_of_all_three(self):
        cluster = Cluster().start()
        self.addCleanup(cluster.close)
        writers = Writers(cluster.servers, timeout=5)
        self.addCleanup(writers.stop)
        count, times, seed = trials(5, 200), [], int(time.time())
        print("seed %d" % seed)
        chance = random.Random(seed)
        for _ in range(count):
            reached = writers.count()
            more = chance.randrange(5, 200)
            until(lambda: writers.count() > reached + more, 20, "writes", step=0.001)
            for server in chance.sample(cluster.servers, 3):
                server.kill9()
            began = time.monotonic()
            for server in cluster.servers:
                server.start(wait=False)
            reached = writers.count()
            until(lambda: writers.count() > reached, 20, "first write after the kills")
            times.append(time.monotonic() - began)
        writers.stop()
        lost = writers.lost(cluster.wait_equal())
        print("%d times kill -9 of all three: %d acknowledged writes, %d lost; start to first write "
              "max %.2f s" % (count, len(writers.acknowledged), len(lost), max(times)))
        self.assertEqual(lost, [], cluster.logs())
        self.assertLessEqual(max(times), allowed(5))

    def test_a_follower_that_was_away_for_many_writes_catches_up(self):
        cluster = Cluster().start()
        self.addCleanup(cluster.close)
        away = cluster.followers()[0]
        others = [s for s in cluster.servers if s is not away]
        away.kill9()
        writers = Writers(others, each=8, pause=0, size=4000)
        self.addCleanup(writers.stop)
        until(lambda: writers.count() > trials(2000, 50000), 200, "many writes")
        began = time.monotonic()
        leader, term = cluster.leader(), cluster.leader().raft()["term"]
        away.start(wait=False)
        until(lambda: away.applied() > leader.applied() - 50, 60, "caught up under load")
        took = time.monotonic() - began
        self.assertEqual(cluster.leader().raft()["term"], term, "catching up cost the leader its place")
        writers.stop()
        self.assertEqual(writers.lost(cluster.wait_equal()), [])
        print("a follower away for %d writes caught up under load in %.1f s"
              % (writers.count(), took))

    def test_restart_with_50000_checks_is_fast(self):
        cluster = Cluster().start()
        self.addCleanup(cluster.close)
        services = trials(2000, 10000)
        fill(cluster.servers, services)
        until(lambda: count_of(cluster.servers[0]) == services, 20, "the last services")
        for server in cluster.servers:
            server.kill9()
        began = time.monotonic()
        for server in cluster.servers:
            server.start(wait=False)
        last = "/v1/catalog/node-services/node%d?stale" % ((services - 1) // 10)
        until(lambda: all(s.json(last)["Services"] for s in cluster.servers), 20, "stale reads everywhere")
        stale = time.monotonic() - began
        until(lambda: cluster.servers[0].put("/v1/kv/after", "1")[0] == 200, 20, "first write")
        write = time.monotonic() - began
        print("restart with %d services and %d checks: stale reads everywhere %.2f s, first write "
              "%.2f s after the start" % (services, services * 5, stale, write))
        for server in cluster.servers:
            self.assertEqual(count_of(server), services)
        self.assertLessEqual(stale, allowed(3))
        self.assertLessEqual(write, allowed(4))


def fill(servers, services):
    """So many services of five checks each, ten to a node, registered by a few clients."""
    def work(worker):
        connection = Connection(servers[worker % len(servers)], 30)
        for number in range(worker, services, WORKERS):
            name, node = "web-%d" % number, "node%d" % (number // 10)
            status, _, body = connection.call("PUT", "/v1/catalog/register", json.dumps({
                "Node": node, "Address": "10.0.0.1", "Service": {"ID": name, "Service": "web", "Port": 80},
                "Checks": [{"Node": node, "CheckID": "%s-%d" % (name, k), "Name": "c",
                            "Status": "passing", "ServiceID": name} for k in range(5)]}))
            if status != 200:
                raise OSError("filling: %d %r" % (status, body[:200]))
        connection.close()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))


def count_of(server):
    return len(server.json("/v1/catalog/service/web?stale", timeout=10))


if __name__ == "__main__":
    unittest.main()
