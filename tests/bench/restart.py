#!/usr/bin/env python3
"""Three servers with 10,000 services and 50,000 checks, killed with -9 all at once and started again: seconds from
the start of the processes until each answers a stale read with the data, and until a write is accepted."""
from common import *


def opts(ap):
    ap.add_argument("--services", type=int, default=10000)
    ap.add_argument("--checks", type=int, default=5)
    ap.add_argument("--trials", type=int, default=3)


def stale(server):
    """Whether the last service is there; the names repeat, ten instances each."""
    status, data, _ = http(server.http, "GET", "/v1/health/service/svc7?stale", timeout=2)
    return status == 200 and data.count(b'"svc-') >= 1


def writable(server):
    return http(server.http, "PUT", "/v1/kv/restart", "1", timeout=2)[0] == 200


def first(t0, ask, server, out):
    until(lambda: ask(server), 60, 0.005)
    out.append(time.monotonic() - t0)


def measure(target, a, run):
    out = {}
    with Cluster(target, 3) as c:
        bulk(c.leader().http, [reg_body("n%d" % (i % 100), "10.0.%d.1" % (i % 100), "svc%d" % (i % 1000), "svc-%d" % i, 80,
                                        a.checks) for i in range(a.services)], threads=16)
        for _ in range(a.trials):
            time.sleep(1)
            for s in c.servers:
                os.kill(s.pid, signal.SIGKILL)
            for s in c.servers:
                s.p.wait()
            t0 = time.monotonic()
            for s in c.servers:
                s.start()
            reads, writes = [], []
            asking = [threading.Thread(target=first, args=(t0, stale, s, reads)) for s in c.servers]
            asking += [threading.Thread(target=first, args=(t0, writable, s, writes)) for s in c.servers]
            for t in asking:
                t.start()
            for t in asking:
                t.join()
            out.setdefault("first_stale_read_s", []).append(min(reads))
            out.setdefault("last_stale_read_s", []).append(max(reads))
            out.setdefault("first_write_s", []).append(min(writes))
    return out


if __name__ == "__main__":
    sys.exit(main("restart", measure, opts, default_runs=1))
