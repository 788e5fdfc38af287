"""kill -9 of the server at random moments under concurrent writers loses no acknowledged write."""
import base64
import json
import random
import time
import unittest

from harness import KILLS, Fyr, Writers, until


class Crash(unittest.TestCase):
    def test_every_acknowledged_write_survives_kill_9(self):
        seed = int(time.time())
        print("seed %d, %d kills" % (seed, KILLS))
        chance = random.Random(seed)
        server = Fyr("crash", server=True).start()
        self.addCleanup(server.close)
        writers = Writers(server, 8)
        restarts = []
        for _ in range(KILLS):
            before = writers.count()
            until(lambda: writers.count() > before + chance.randrange(1, 40), 20, "writes going on")
            time.sleep(chance.random() * 0.05)  # the random moment itself
            server.kill9()
            began = time.monotonic()
            server.start(wait=False)
            reached = writers.count()
            until(lambda: writers.count() > reached, 20, "first write after the kill")
            restarts.append(time.monotonic() - began)
        writers.stop()
        acknowledged = dict(writers.acknowledged)
        rows = json.loads(server.get("/v1/kv/crash/?recurse", timeout=60)[2])
        found = {row["Key"]: base64.b64decode(row["Value"] or "").decode() for row in rows}
        lost = [key for key, value in acknowledged.items() if found.get(key) != value]
        restarts.sort()
        print("%d acknowledged writes, %d lost; restart to first write p50 %.2f s, max %.2f s"
              % (len(acknowledged), len(lost), restarts[len(restarts) // 2], restarts[-1]))
        self.assertEqual(lost, [])
        self.assertGreater(len(acknowledged), KILLS)

    def test_restart_keeps_registrations_and_is_fast(self):
        server = Fyr("again", server=True).start()
        self.addCleanup(server.close)
        for number in range(200):
            status, _, _ = server.put("/v1/catalog/register", {
                "Node": "n%d" % number, "Address": "10.0.0.%d" % (number % 250 + 1),
                "Service": {"Service": "web", "ID": "web-%d" % number, "Port": 80}})
            self.assertEqual(status, 200)
        server.kill9()
        began = time.monotonic()
        server.start(wait=False)
        until(lambda: len(server.json("/v1/health/service/web?stale")) == 200, 5, "stale read")
        print("restart to stale read %.2f s" % (time.monotonic() - began))
        self.assertLess(time.monotonic() - began, 2)


if __name__ == "__main__":
    unittest.main()
