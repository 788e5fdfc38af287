"""Three or more servers on loopback, and clients whose histories can be checked (tests/lincheck)."""
import base64
import http.client
import json
import os
import random
import subprocess
import threading
import time

from harness import ROOT, Fyr, until

LINCHECK = os.path.join(ROOT, "build/release/tests/lincheck/lincheck")


class Cluster:
    def __init__(self, count=3, config=None):
        self.servers = [Fyr("s%d" % i, server=True, config=dict({"bootstrap_expect": count}, **(config or {})))
                        for i in range(count)]
        for server in self.servers:
            server.join = ["127.0.0.1:%d" % other.serf for other in self.servers]

    def start(self):
        for server in self.servers:
            server.start(wait=False)
        until(lambda: all(s.put("/v1/kv/cluster-ready", "1")[0] == 200 for s in self.servers), 20, "a writable cluster")
        return self

    def add(self, name):
        server = Fyr(name, server=True, join=self.servers[0].join, config={"bootstrap_expect": 0})
        self.servers.append(server)
        return server.start(wait=False)

    def close(self):
        for server in self.servers:
            server.close()

    def alive(self):
        return [s for s in self.servers if s.process and s.process.poll() is None]

    def leader(self, among=None, limit=20):
        def find():
            for server in among or self.alive():
                address = json.loads(server.get("/v1/status/leader", timeout=2)[2])
                for candidate in self.alive():
                    if address.endswith(":%d" % candidate.rpc):
                        return candidate
            return None
        return until(find, limit, "a leader")

    def wait_healthy(self):
        """All servers answer the leader and hold what it holds."""
        def healthy():
            status, _, body = self.leader().get("/v1/operator/autopilot/health", timeout=5)
            return status == 200 and json.loads(body)["FailureTolerance"] == (len(self.servers) - 1) // 2
        until(healthy, 30, "a healthy cluster")

    def voters(self, at):
        return [s["Node"] for s in at.json("/v1/operator/raft/configuration?stale")["Servers"] if s["Voter"]]


class Outage:
    """Writes every few milliseconds through every server; knows the longest time without a success."""

    def __init__(self, servers):
        self.servers, self.stopping = servers, False
        self.times, self.lock = [time.monotonic()], threading.Lock()
        self.threads = [threading.Thread(target=self._write, args=(s,), daemon=True) for s in servers]
        for thread in self.threads:
            thread.start()

    def _write(self, server):
        number = 0
        while not self.stopping:
            number += 1
            try:
                if server.put("/v1/kv/outage/%s" % server.name, str(number), timeout=15)[0] == 200:
                    with self.lock:
                        self.times.append(time.monotonic())
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.003)

    def since(self, moment):
        """Seconds from `moment` to the next success; None: none yet."""
        with self.lock:
            later = [t for t in self.times if t > moment]
        return later[0] - moment if later else None

    def longest(self):
        with self.lock:
            times = sorted(self.times)
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(20)


class Registers:
    """Clients that put, compare-and-set and get a few keys through all servers, and write down what they saw."""
    OPERATIONS_A_KEY = 300

    def __init__(self, servers, clients, path, seed=1):
        self.servers, self.path, self.stopping = servers, path, False
        self.file, self.lock = open(path, "w", encoding="utf-8"), threading.Lock()
        self.operations, self.answered = 0, 0
        self.threads = [threading.Thread(target=self._run, args=(i, random.Random(seed * 1000 + i)), daemon=True)
                        for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _note(self, **line):
        line["time"] = time.monotonic_ns()
        with self.lock:
            self.file.write(json.dumps(line) + "\n")

    def _key(self):
        with self.lock:
            self.operations += 1
            return "reg/%d" % (self.operations // self.OPERATIONS_A_KEY)

    def _run(self, client, chance):
        process, number, index = client, 0, 0
        while not self.stopping:
            key, number = self._key(), number + 1
            f = chance.choice(("put", "get", "get", "cas"))
            value = "%d-%d" % (client, number)
            line = {"process": process, "f": f, "key": key}
            if f != "get":
                line["value"] = value
            if f == "cas":
                line["index"] = index
            self._note(type="invoke", **line)
            outcome = self._ask(chance.choice(self.servers), f, key, value, index, chance)
            self._note(type=outcome.pop("type"), process=process, **outcome)
            index = outcome.get("index", index)
            if outcome.get("lost_touch"):
                process += 1000  # an open call belongs to its process for ever
        return None

    def _ask(self, server, f, key, value, index, chance):
        try:
            if f == "get":
                consistent = chance.choice(("?consistent", ""))
                status, _, body = server.get("/v1/kv/%s%s" % (key, consistent), timeout=20)
                if status == 404:
                    self.answered += 1
                    return {"type": "ok"}
                if status != 200:
                    return {"type": "fail"}
                row = json.loads(body)[0]
                self.answered += 1
                return {"type": "ok", "value": base64.b64decode(row["Value"]).decode(), "index": row["ModifyIndex"]}
            query = "?cas=%d" % index if f == "cas" else ""
            status, _, body = server.put("/v1/kv/%s%s" % (key, query), value, timeout=20)
            if status == 200:
                self.answered += 1
                return {"type": "ok", "done": body.strip() == b"true"}
            return {"type": "info", "lost_touch": True}
        except (OSError, http.client.HTTPException):
            return {"type": "fail"} if f == "get" else {"type": "info", "lost_touch": True}

    def check(self):
        """Ends the clients; the checker's words, after it found nothing wrong."""
        self.stopping = True
        for thread in self.threads:
            thread.join(30)
        self.file.close()
        done = subprocess.run([LINCHECK, self.path], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise AssertionError("%s: %s%s" % (self.path, done.stdout[-4000:], done.stderr[-1000:]))
        return done.stdout.strip()
