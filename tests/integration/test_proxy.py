"""The story: callers of localhost:PORT do not notice that an instance, or every server, died."""
import http.client
import json
import time
import unittest

from harness import Backend, Fyr, Load, free_ports, request, until


class ProxyStory(unittest.TestCase):
    def setUp(self):
        self.port = free_ports(1)[0]
        self.server = Fyr("server", server=True).start()
        self.addCleanup(self.server.close)
        self.agent = Fyr("agent", join=["127.0.0.1:%d" % self.server.serf], config={
            "proxy": {"listeners": [{"name": "inventory", "destination_name": "inventory",
                                     "local_bind_port": self.port}]}})
        self.agent.start().wait_in_catalog(self.server)
        self.addCleanup(self.agent.close)
        self.backends = [Backend("b%d" % k, delay_ms=5).start() for k in range(2)]
        for k, backend in enumerate(self.backends):
            self.addCleanup(backend.close)
            self.register(k, backend)
        until(lambda: len(self.server.json("/v1/health/service/inventory?passing")) == 2, 10, "both passing")
        until(lambda: all(self.reaches(k) for k in range(2)), 10, "both reached through the proxy")

    def register(self, k, backend):
        status, _, body = self.agent.put("/v1/agent/service/register", {
            "ID": "inventory-%d" % k, "Name": "inventory", "Port": backend.port, "Address": "127.0.0.1",
            "Check": {"HTTP": "http://127.0.0.1:%d/health" % backend.port, "Interval": "1s", "Timeout": "1s"}})
        self.assertEqual(status, 200, body)

    def reaches(self, k):
        before = self.backends[k].served()
        for _ in range(4):
            request(self.port, "GET", "/")
        return self.backends[k].served() > before + 1  # one is the question itself

    def assert_no_failure(self, load):
        result = load.result()
        print("%d answered, failed: %s, slow: %s, max %.0f ms" % (
            result["ok"], result["errors"], result["slow"], result["lat"]["max_us"] / 1000))
        self.assertEqual(result["errors"]["all"], 0, result)
        self.assertGreater(result["ok"], 1000)
        return result

    def under_load(self):
        load = Load(self.port, seconds=8)
        served = self.backends[1].served()
        until(lambda: self.backends[1].served() > served + 200, 5, "load running")
        return load

    def test_one_backend_killed_under_load_fails_no_get(self):
        load = self.under_load()
        self.backends[1].kill9()
        began = time.monotonic()
        until(lambda: len(self.server.json("/v1/health/service/inventory?passing")) == 1, 8, "detected")
        print("gone from ?passing after %.2f s" % (time.monotonic() - began))
        self.assert_no_failure(load)

    def test_one_backend_frozen_under_load_fails_no_get(self):
        load = self.under_load()
        self.backends[1].freeze()
        result = self.assert_no_failure(load)
        self.assertLess(result["lat"]["max_us"], 2.5e6)

    def test_all_servers_killed_under_load_traffic_goes_on(self):
        load = self.under_load()
        self.server.kill9()
        self.assert_no_failure(load)
        until(lambda: self.agent.get("/v1/agent/services")[0] == 200, 2, "local answers")

    def test_backend_killed_while_servers_are_away_fails_no_get(self):
        self.server.kill9()
        load = self.under_load()
        self.backends[1].kill9()
        self.assert_no_failure(load)

    def test_agent_restarted_without_servers_opens_its_listeners_with_the_last_endpoints(self):
        # The list is written at most once a second; wait for it as an operator would: by the file.
        time.sleep(1.2)
        self.server.kill9()
        self.agent.kill9()
        began = time.monotonic()
        self.agent.start(wait=False)
        until(lambda: request(self.port, "GET", "/")[0] == 200, 5, "first answer")
        opened = time.monotonic() - began
        print("listeners open and serving %.2f s after the start" % opened)
        self.assertLess(opened, 1.0)

    def test_deregistered_instance_gets_no_more_requests(self):
        load = self.under_load()
        self.agent.put("/v1/agent/service/deregister/inventory-1")
        until(lambda: len(self.server.json("/v1/health/service/inventory")) == 1, 5, "gone from the catalog")
        time.sleep(0.2)  # the bound of trap X5 is 100 ms
        before = self.backends[1].served()
        for _ in range(20):
            request(self.port, "GET", "/")
        self.assertLessEqual(self.backends[1].served() - before, 1)
        self.assert_no_failure(load)

    def test_post_in_flight_is_never_repeated(self):
        slow = Backend("slow", delay_ms=1500).start()
        self.addCleanup(slow.close)
        for k in range(2):
            self.agent.put("/v1/agent/service/deregister/inventory-%d" % k)
        self.backends.append(slow)
        self.register(2, slow)
        until(lambda: [x["Service"]["ID"] for x in self.server.json("/v1/health/service/inventory?passing")]
              == ["inventory-2"], 10, "only the slow one")
        until(lambda: request(self.port, "GET", "/")[0] == 200, 10, "reached")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/order", b"x" * 10)
        time.sleep(0.3)  # it is in the backend's hands now
        slow.kill9()
        answer = connection.getresponse()
        self.assertEqual(answer.status, 502)
        self.assertEqual(answer.headers["X-Proxy-Reason"], "reset")

    def test_status_shows_listener_and_endpoints(self):
        status = self.agent.json("/v1/agent/proxy/status")
        listener = status["listeners"][0]
        self.assertEqual(listener["name"], "inventory")
        self.assertEqual(len(json.dumps(status)) > 0 and len(listener["endpoints"]), 2)


if __name__ == "__main__":
    unittest.main()
