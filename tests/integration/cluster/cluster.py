"""Several servers that form one cluster, on loopback or in the namespaces of a bed."""
import base64
import json
import os
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BINARY, ROOT, Fyr, request, until  # noqa: E402  (tests import them from here)

FULL = os.environ.get("FYR_CLUSTER_FULL") == "1"
NAMED = os.environ.get("FYR_CLUSTER_NAMED") == "1"  # the caller chose the tests
LINCHECK = os.path.join(ROOT, "build/release/tests/lincheck/lincheck")


def lengthy(test):
    """Not in the short selection."""
    return unittest.skipUnless(FULL or NAMED, "only with --full or by name")(test)


def _overload():
    """1 on a machine that has its processors for us, 3 on one where others wait for them, too: the
    times that are asked for cannot be kept there. Looked at before anything of ours runs; what ran
    just before us has some seconds to be over."""
    try:
        for _ in range(20):
            with open("/proc/pressure/cpu", encoding="utf-8") as file:
                waiting = float(file.readline().split("avg10=")[1].split()[0])
            if waiting < 50:
                return 1
            time.sleep(1)
    except (OSError, IndexError, ValueError):
        return 1
    print("OVERLOADED MACHINE (somebody waits for a processor %.0f %% of the time): limits x 3"
          % waiting, file=sys.stderr)
    return 3


OVERLOAD = _overload()


def allowed(seconds):
    """The limit of a time that somebody feels."""
    return seconds * OVERLOAD


def trials(short, full):
    """How often something is repeated: few times beside the other tests, often with --full."""
    return int(os.environ.get("FYR_TRIALS", 0)) or (full if FULL else short)


class Server(Fyr):
    """A server that finds the others by gossip; `place` (bed.Place) is where it runs."""

    def __init__(self, name, expect, place=None, config=None):
        self.place = place
        if place:
            self.address, self.prefix = place.address, place.prefix
        super().__init__(name, server=True, config=config,
                         folder=tempfile.mkdtemp(prefix="fyr-%s-" % name))
        if place and place.disk:
            self.data = os.path.join(place.disk.path, "data")
        self.expect, self.others = expect, []

    def settings(self):
        values = super().settings()
        values["log_level"] = os.environ.get("FYR_LOG_LEVEL", "info")
        values.pop("bootstrap_expect", None)
        if self.expect:
            values["bootstrap_expect"] = self.expect
        values["retry_join"] = ["%s:%d" % (other.address, other.serf) for other in self.others]
        values.update(self.config)
        return values

    def raft(self):
        return self.json("/v1/agent/self", timeout=2)["Stats"]["raft"]

    def leads(self):
        try:
            return self.raft()["state"] == "Leader"
        except (OSError, ValueError, KeyError):
            return False

    def applied(self):
        return int(self.raft()["applied_index"])

    def running(self):
        return self.process is not None and self.process.poll() is None


class Cluster:
    """`count` servers, started with bootstrap_expect; the test adds close() to its clean-ups."""

    def __init__(self, count=3, bed=None, config=None):
        self.bed, self.config, self.servers = bed, config or {}, []
        for number in range(1, count + 1):
            self.servers.append(self.new_server(number, count))
        for server in self.servers:
            server.others = [other for other in self.servers if other is not server]

    def new_server(self, number, expect=0):
        place = self.bed.places[number - 1] if self.bed else None
        return Server("s%d" % number, expect, place, dict(self.config))

    def start(self, limit=20):
        for server in self.servers:
            server.start(wait=False)
        self.wait_writable(limit)
        return self

    def add(self, number):
        """A server that was not there at the founding; not started yet."""
        server = self.new_server(number)
        server.others = list(self.servers)
        self.servers.append(server)
        return server

    def wait_writable(self, limit=20, servers=None):
        for server in servers or self.running():
            until(lambda s=server: s.put("/v1/kv/bed-ready", s.name, timeout=2)[0] == 200, limit,
                  server.name + " takes writes")

    def running(self):
        return [server for server in self.servers if server.running()]

    def leader(self, limit=10):
        """The one that leads, and that a majority agrees on at that moment."""
        def find():
            leading = [(int(s.raft()["term"]), s) for s in self.running() if s.leads()]
            return max(leading, key=lambda pair: pair[0])[1] if leading else None
        return until(find, limit, "a leader")

    def followers(self):
        leader = self.leader()
        return [server for server in self.running() if server is not leader]

    def wait_equal(self, limit=30, prefix=""):
        """All running servers hold the same keys and values; returns them. Stale reads: each
        server's own state, after it has applied what the leader had committed."""
        leader = self.leader()
        until(lambda: leader.put("/v1/kv/bed-last", str(time.monotonic()))[0] == 200, limit, "last write")
        reached = leader.applied()
        states = []
        for server in self.running():
            until(lambda s=server: s.applied() >= reached, limit, server.name + " caught up")
            states.append(own_keys(server, prefix))
        for server, state in zip(self.running(), states):
            if state != states[0]:
                different = [key for key in set(state) | set(states[0])
                             if state.get(key) != states[0].get(key)]
                raise AssertionError("%s differs from %s in %d keys, such as %s"
                                     % (server.name, self.running()[0].name, len(different),
                                        [(key, states[0].get(key), state.get(key))
                                         for key in different[:3]]))
        return {key: value for key, (value, _) in states[0].items()}

    def logs(self, lines=25):
        return "\n".join("--- %s\n%s" % (s.name, "\n".join(s.log().splitlines()[-lines:]))
                         for s in self.servers)

    def close(self):
        errors = []
        for server in self.servers:
            try:
                server.close()
            except AssertionError as error:
                errors.append(str(error))
        if errors:
            raise AssertionError("\n".join(errors))


def own_keys(server, prefix=""):
    """{key: (value, modify index)} in the server's own state."""
    status, _, body = server.get("/v1/kv/%s?recurse&stale" % prefix, timeout=60)
    if status == 404:
        return {}
    if status != 200:
        raise OSError("%s: %d %r" % (server.name, status, body[:200]))
    return {row["Key"]: (base64.b64decode(row["Value"] or "").decode(), row["ModifyIndex"])
            for row in json.loads(body)}


def median(values):
    return sorted(values)[len(values) // 2]


def freeze(server):
    server.signal(signal.SIGSTOP)


def thaw(server):
    server.signal(signal.SIGCONT)


__all__ = ["BINARY", "FULL", "LINCHECK", "ROOT", "Cluster", "Server", "allowed", "freeze", "lengthy",
           "median", "own_keys", "request", "thaw", "trials", "until"]
