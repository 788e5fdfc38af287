"""Starts real fyr processes on loopback and talks to them. Standard library only.

Every wait is for an event with a limit; every child is stopped by its own pid.
"""
import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, os.environ.get("FYR_BINARY", "build/release/fyr"))
LOAD_TOOL = os.path.join(ROOT, "build/tools/lg")
KILLS = int(os.environ.get("FYR_KILLS", "20"))

# What a sanitizer, or our own CHECK, writes before it ends the process.
CRASH = re.compile(r"(?:ERROR|WARNING): \w+Sanitizer|: runtime error: |CHECK failed")

_children = []


def _stop_all():
    for child in _children:
        if child.poll() is None:
            try:
                os.kill(child.pid, signal.SIGCONT)
                child.kill()
                child.wait(5)
            except OSError:
                pass


atexit.register(_stop_all)


def spawn(command, **options):
    child = subprocess.Popen(command, **options)
    _children.append(child)
    return child


_next_port = 20000 + os.getpid() * 37 % 11000


def free_ports(count):
    """Ports free for TCP and UDP now, below the ephemeral range so that nobody is handed them; never
    the same one twice in a run."""
    global _next_port
    found = []
    for _ in range(12000):
        port = _next_port
        _next_port = _next_port + 1 if _next_port < 31999 else 20000
        try:
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def until(condition, limit, what="condition", step=0.01):
    """Polls another process, the only way to await its state; returns the first true value."""
    deadline = time.monotonic() + limit
    last = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
            last = error
        time.sleep(step)
    raise TimeoutError("%s not met in %.1f s (last error: %r)" % (what, limit, last))


def request(port, method, path, body=None, timeout=10, headers=None, host="127.0.0.1"):
    """(status, headers, bytes) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Fyr:
    """One fyr process with a folder and ports of its own."""

    address = "127.0.0.1"
    prefix = ()  # of the command, such as one that enters a network namespace

    def __init__(self, name, server=False, join=None, config=None, folder=None):
        self.name, self.server, self.join = name, server, join
        self.folder = folder or tempfile.mkdtemp(prefix="fyr-" + name + "-")
        self.data = os.path.join(self.folder, "data")
        self.http, self.dns, self.serf, self.wan, self.rpc = free_ports(5)
        self.config = dict(config or {})
        self.process = None

    def settings(self):
        values = {
            "node_name": self.name, "data_dir": self.data, "bind_addr": self.address,
            "client_addr": self.address, "log_level": "info",
            "ports": {"http": self.http, "dns": self.dns, "serf_lan": self.serf,
                      "serf_wan": self.wan, "server": self.rpc, "grpc": -1},
        }
        if self.server:
            values.update({"server": True, "bootstrap_expect": 1})
        if self.join:
            values["retry_join"] = self.join
        values.update(self.config)
        return values

    def start(self, wait=True):
        path = os.path.join(self.folder, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.settings(), file)
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = spawn([*self.prefix, BINARY, "agent", "-config-file", path], stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, limit=20):
        if self.server:
            until(lambda: self.put("/v1/kv/harness-ready", "1")[0] == 200, limit, self.name + " writable")
        else:
            until(lambda: self.get("/v1/agent/self")[0] == 200, limit, self.name + " answering")
        return self

    def wait_in_catalog(self, server, limit=20):
        until(lambda: any(node["Node"] == self.name for node in server.json("/v1/catalog/nodes")), limit,
              self.name + " in the catalog")
        return self

    def log(self):
        path = os.path.join(self.folder, "log")
        if not os.path.exists(path):  # never started, or removed
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, limit=20):
        self.signal(signal.SIGTERM)
        return self.process.wait(limit)

    def close(self):
        """Ends it if need be; a process that had crashed or broke a sanitizer's rule fails the test."""
        status = self.process.poll() if self.process else 0
        if self.process and status is None:
            self.signal(signal.SIGCONT)
            self.kill9()
        log = self.log()
        if CRASH.search(log) or status in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
            raise AssertionError("%s crashed (status %s), its log ends:\n%s"
                                 % (self.name, status, log[-6000:]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, path, **options):
        return request(self.http, "GET", path, host=self.address, **options)

    def put(self, path, body=None, **options):
        return request(self.http, "PUT", path, body, host=self.address, **options)

    def json(self, path, **options):
        status, _, body = self.get(path, **options)
        if status != 200:
            raise ValueError("%s: %d %r" % (path, status, body))
        return json.loads(body)


class Backend:
    """An HTTP/1.1 backend in a process of its own, so that it can be killed or frozen."""

    def __init__(self, name, delay_ms=0, size=64):
        self.name, self.port = name, free_ports(1)[0]
        self.delay_ms, self.size = delay_ms, size
        self.process = None

    def start(self):
        self.process = spawn([LOAD_TOOL, "serve", "--port", str(self.port), "--bytes", str(self.size),
                              "--delay-ms", str(self.delay_ms), "--name", self.name, "--life", "300"],
                             stdout=subprocess.DEVNULL)
        until(lambda: request(self.port, "GET", "/health")[0] == 200, 5, self.name + " serving")
        return self

    def served(self):
        return json.loads(request(self.port, "GET", "/__stats")[2])["requests"]

    def kill9(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def close(self):
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Load:
    """Open-loop GETs over keep-alive connections; a closed connection counts as a failure."""

    def __init__(self, port, seconds, rate=500, connections=64, path="/"):
        self.process = spawn([LOAD_TOOL, "open", "--target", "127.0.0.1:%d" % port, "--path", path,
                              "--rate", str(rate), "--conns", str(connections), "--duration",
                              str(seconds), "--timeout", "10", "--slow-ms", "250", "--no-resend"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.seconds = seconds

    def result(self):
        out, err = self.process.communicate(timeout=self.seconds + 30)
        if self.process.returncode:
            raise RuntimeError("load tool: " + err)
        return json.loads(out.strip().splitlines()[-1])


def dns_query(port, name, kind=1, timeout=2):
    """Addresses (A) or (port, target) pairs (SRV) in the answer section; None without an answer."""
    question = b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split(".")) + b"\0"
    message = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", kind, 1)
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout)
        udp.sendto(message, ("127.0.0.1", port))
        try:
            answer = udp.recv(65535)
        except socket.timeout:
            return None
    count = struct.unpack(">H", answer[6:8])[0]
    at, found = 12 + len(question) + 4, []
    for _ in range(count):
        while answer[at] and answer[at] & 0xC0 != 0xC0:
            at += 1 + answer[at]
        at += 2 if answer[at] else 1
        rtype, _, _, length = struct.unpack(">HHIH", answer[at:at + 10])
        data = answer[at + 10:at + 10 + length]
        at += 10 + length
        if rtype == 1:
            found.append(socket.inet_ntoa(data))
        elif rtype == 33:
            found.append(struct.unpack(">HHH", data[:6])[2])
    return found


class Writers:
    """Concurrent KV writers that remember what was acknowledged."""

    def __init__(self, server, count):
        self.server, self.stopping = server, False
        self.acknowledged, self.lock = {}, threading.Lock()
        self.threads = [threading.Thread(target=self._write, args=(k,), daemon=True) for k in range(count)]
        for thread in self.threads:
            thread.start()

    def _write(self, k):
        number = 0
        connection = None
        while not self.stopping:
            key, value = "crash/%d/%d" % (k, number), "%d-%d" % (k, number)
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.server.http, timeout=5)
                connection.request("PUT", "/v1/kv/" + key, value)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200 and body.strip() == b"true":
                    with self.lock:
                        self.acknowledged[key] = value
                    number += 1
                    continue
            except (OSError, http.client.HTTPException):
                pass
            if connection:
                connection.close()
            connection = None
            number += 1
            time.sleep(0.01)
        if connection:
            connection.close()

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def stop(self):
        """Ends the writers after their request in hand."""
        self.stopping = True
        for thread in self.threads:
            thread.join(20)
