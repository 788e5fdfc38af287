"""Clients of the cluster's HTTP API: writers that measure outages, and clients that record what
they did and saw, one JSON object a line (tests/lincheck/history.h)."""
import base64
import http.client
import json
import random
import subprocess
import threading
import time

from cluster import LINCHECK

OPERATIONS_A_KEY = 300


class Connection:
    """One keep-alive connection to one server; made anew after an error."""

    def __init__(self, server, timeout):
        self.server, self.timeout, self.http = server, timeout, None

    def call(self, method, path, body=None):
        """(status, headers, bytes). ConnectionRefusedError: it certainly did not arrive."""
        try:
            if self.http is None:
                fresh = http.client.HTTPConnection(self.server.address, self.server.http,
                                                   timeout=self.timeout)
                fresh.connect()
                self.http = fresh
            self.http.request(method, path, body)
            answer = self.http.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        if self.http:
            self.http.close()
        self.http = None


class Crowd:
    """Threads that run `body(self, number)` until stop()."""

    def __init__(self):
        self.stopping, self.threads, self.lock = False, [], threading.Lock()

    def run(self, count, body):
        for number in range(count):
            thread = threading.Thread(target=body, args=(number,), daemon=True)
            self.threads.append(thread)
            thread.start()
        return self

    def stop(self):
        """Ends them after their request in hand."""
        self.stopping = True
        for thread in self.threads:
            thread.join(30)


class Writers(Crowd):
    """Write unique values to unique keys through every server, each a few milliseconds after the
    answer to the last; remember what was acknowledged and when."""

    def __init__(self, servers, each=2, pause=0.003, timeout=10, size=0):
        super().__init__()
        self.acknowledged = {}
        self.ends = {server.name: [] for server in servers}
        self.failures = []
        self.pause, self.timeout, self.filling = pause, timeout, "." * size
        self.jobs = [(server, k) for server in servers for k in range(each)]
        self.run(len(self.jobs), self._write)

    def _write(self, number):
        server, k = self.jobs[number]
        connection, count = Connection(server, self.timeout), 0
        while not self.stopping:
            key, value = "w/%s/%d/%d" % (server.name, k, count), "%d%s" % (count, self.filling)
            count += 1
            began = time.monotonic()
            try:
                status, _, body = connection.call("PUT", "/v1/kv/" + key, value)
                ended = time.monotonic()
                with self.lock:
                    if status == 200 and body.strip() == b"true":
                        self.acknowledged[key] = value
                        self.ends[server.name].append(ended)
                    else:
                        self.failures.append((began, ended, server.name, "%d %r" % (status, body[:120])))
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.failures.append((began, time.monotonic(), server.name, repr(error)))
                time.sleep(0.01)
            time.sleep(self.pause)
        connection.close()

    def count(self, server=None):
        with self.lock:
            return len(self.ends[server.name]) if server else len(self.acknowledged)

    def gap(self, since, servers):
        """The longest time without an acknowledgement at any one of these servers since then."""
        worst = 0.0
        with self.lock:
            for server in servers:
                ends = self.ends[server.name]
                before = [at for at in ends if at <= since]
                marks = before[-1:] + [at for at in ends if at > since]
                marks.append(time.monotonic())
                worst = max([worst] + [b - a for a, b in zip(marks, marks[1:])])
        return worst

    def lost(self, found):
        """Acknowledged keys that `found` (key: value) lacks or has otherwise."""
        with self.lock:
            return [key for key, value in self.acknowledged.items() if found.get(key) != value]


class Registers(Crowd):
    """Put, cas, delete and get (consistent and default) on a few keys by many clients, recorded.
    A key is left for the next after OPERATIONS_A_KEY calls, so that the checker stays fast."""

    def __init__(self, servers, path, each=3, keys=4, seed=None, timeout=5, pause=0.004):
        super().__init__()
        self.path = path
        self.file = open(path, "w", buffering=1, encoding="utf-8")  # closed by stop()
        self.keys, self.timeout, self.pause = keys, timeout, pause
        self.calls = [0] * keys
        self.process = 0
        self.done, self.unknown, self.failed = 0, 0, 0
        self.unknown_at = []
        self.seed = seed if seed is not None else random.randrange(1 << 30)
        self.jobs = [server for server in servers for _ in range(each)]
        self.run(len(self.jobs), self._work)

    def note(self, process, kind, f, key, **more):
        line = {"process": process, "type": kind, "f": f, "key": key, "time": time.monotonic_ns()}
        line.update(more)
        text = json.dumps(line) + "\n"
        with self.lock:
            self.file.write(text)

    def _key(self, chance):
        slot = chance.randrange(self.keys)
        with self.lock:
            self.calls[slot] += 1
            return "r/%d/%d" % (slot, self.calls[slot] // OPERATIONS_A_KEY)

    def _work(self, number):
        server = self.jobs[number]
        chance = random.Random(self.seed * 1000 + number)
        connection, count, seen = Connection(server, self.timeout), 0, {}
        while not self.stopping:
            key, count = self._key(chance), count + 1
            value = "%d.%d" % (number, count)
            dice = chance.random()
            if dice < 0.45:
                call = ("get", "GET", "?consistent" if chance.random() < 0.5 else "", {})
            elif dice < 0.75:
                call = ("put", "PUT", "", {"value": value})
            elif dice < 0.95:
                index = seen.get(key, 0)
                call = ("cas", "PUT", "?cas=%d" % index, {"value": value, "index": index})
            else:
                call = ("delete", "DELETE", "", {})
            self._one(connection, number, server, key, call, seen)
            time.sleep(self.pause)
        connection.close()

    def _one(self, connection, number, server, key, call, seen):
        f, method, query, fields = call
        self.note(number, "invoke", f, key, node=server.name, **fields)
        try:
            status, _, body = connection.call(method, "/v1/kv/" + key + query, fields.get("value"))
        except ConnectionRefusedError:
            self._end(number, "fail", f, key)
            time.sleep(0.05)
            return
        except (OSError, http.client.HTTPException) as error:
            self._end(number, "info", f, key, error=repr(error))
            return
        if f == "get" and status in (200, 404):
            row = json.loads(body)[0] if status == 200 else None
            seen[key] = row["ModifyIndex"] if row else 0
            self._end(number, "ok", f, key, index=seen[key],
                      value=base64.b64decode(row["Value"] or "").decode() if row else None)
        elif f != "get" and status == 200:
            more = {"done": body.strip() == b"true"} if f == "cas" else {}
            self._end(number, "ok", f, key, **more)
        else:
            # Whatever the words say: an error of a write is no promise that it did not happen.
            self._end(number, "fail" if f == "get" else "info", f, key,
                      error="%d %s" % (status, body[:120].decode(errors="replace")))

    def _end(self, number, kind, f, key, **more):
        self.note(number, kind, f, key, **more)
        with self.lock:
            self.done += kind == "ok"
            self.failed += kind == "fail"
            if kind == "info":
                self.unknown += 1
                self.unknown_at.append(time.monotonic())

    def count(self):
        with self.lock:
            return self.done

    def stop(self):
        super().stop()
        self.file.close()


def verdict(path, limit=120):
    """What lincheck says of a recorded history; (true if it is linearizable, the words)."""
    ran = subprocess.run([LINCHECK, path], capture_output=True, text=True, timeout=limit, check=False)
    return ran.returncode == 0, ran.stdout + ran.stderr


class StaleReaders(Crowd):
    """Write ever greater numbers to one key through one server and read it ?stale everywhere: what
    is read must have been written, and per client and server index and value never fall."""

    def __init__(self, servers, timeout=5):
        super().__init__()
        self.timeout, self.written, self.wrong, self.reads = timeout, 0, [], 0
        self.servers = servers
        self.run(1, self._write)
        self.run(len(servers), self._read)

    def _write(self, _):
        turn, connections = 0, [Connection(server, self.timeout) for server in self.servers]
        while not self.stopping:
            with self.lock:
                self.written += 1
                number = self.written
            try:
                connections[turn].call("PUT", "/v1/kv/stale", str(number))
            except (OSError, http.client.HTTPException):
                turn = (turn + 1) % len(connections)
            time.sleep(0.005)
        for connection in connections:
            connection.close()

    def _read(self, number):
        server = self.servers[number]
        connection, last_index = Connection(server, self.timeout), 0
        while not self.stopping:
            time.sleep(0.005)
            try:
                status, headers, body = connection.call("GET", "/v1/kv/stale?stale")
            except (OSError, http.client.HTTPException):
                last_index = 0 if not server.running() else last_index
                continue
            if status != 200:
                continue
            row = json.loads(body)[0]
            value, index = int(base64.b64decode(row["Value"])), row["ModifyIndex"]
            with self.lock:
                self.reads += 1
                if value > self.written:
                    self.wrong.append("%s: %d was never written" % (server.name, value))
                if index < last_index:
                    self.wrong.append("%s: index fell from %d to %d" % (server.name, last_index, index))
            last_index = index
        connection.close()
