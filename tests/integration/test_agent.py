"""Two real processes: an agent joins its server by gossip and gRPC, syncs, and lives without it."""
import json
import time
import unittest

from harness import Fyr, dns_query, request, until


class AgentAndServer(unittest.TestCase):
    def setUp(self):
        self.server = Fyr("server", server=True).start()
        self.addCleanup(self.server.close)
        self.agent = Fyr("agent", join=["127.0.0.1:%d" % self.server.serf]).start()
        self.addCleanup(self.agent.close)
        self.agent.wait_in_catalog(self.server)

    def register(self, name="web", **fields):
        status, _, body = self.agent.put("/v1/agent/service/register", dict({"Name": name, "Port": 80}, **fields))
        self.assertEqual(status, 200, body)

    def test_members_see_each_other(self):
        for process in (self.server, self.agent):
            until(lambda p=process: sorted(m["Name"] for m in p.json("/v1/agent/members")) == ["agent", "server"],
                  5, process.name + " sees both")

    def test_a_registration_shows_everywhere_at_once(self):
        self.register(Check={"TTL": "60s", "Status": "passing"})
        began = time.monotonic()
        until(lambda: self.server.json("/v1/health/service/web?passing"), 2, "in health", step=0.002)
        self.assertLess(time.monotonic() - began, 0.5)
        self.assertEqual(self.agent.json("/v1/health/service/web?passing")[0]["Node"]["Node"], "agent")
        self.assertEqual(dns_query(self.server.dns, "web.service.consul"), ["127.0.0.1"])
        until(lambda: dns_query(self.agent.dns, "web.service.consul") == ["127.0.0.1"], 2, "DNS at the agent")
        self.assertEqual(dns_query(self.agent.dns, "web.service.consul", kind=33), [80])

    def test_catalog_requests_through_the_agent_are_the_servers(self):
        self.assertEqual(self.agent.put("/v1/kv/a/b", "hello")[2].strip(), b"true")
        status, headers, body = self.server.get("/v1/kv/a/b?raw")
        self.assertEqual((status, body), (200, b"hello"))
        status, headers, body = self.agent.get("/v1/kv/a/b?raw")
        self.assertEqual((status, body), (200, b"hello"))
        self.assertGreaterEqual(int(headers["X-Consul-Index"]), 1)
        self.assertEqual(self.agent.get("/v1/kv/none")[0], 404)

    def test_agent_answers_and_stores_while_servers_are_away(self):
        self.server.kill9()
        began = time.monotonic()
        self.register("orphan")
        self.assertLess(time.monotonic() - began, 0.05 * 10)
        self.assertIn("orphan", self.agent.json("/v1/agent/services"))
        self.server.start()
        until(lambda: self.server.json("/v1/health/service/orphan"), 20, "synced after the return")

    def test_registrations_survive_an_agent_restart(self):
        self.register("kept", Check={"TTL": "60s", "Status": "passing"})
        until(lambda: self.server.json("/v1/health/service/kept?passing"), 2, "in health")
        self.agent.kill9()
        self.agent.start()
        self.assertIn("kept", self.agent.json("/v1/agent/services"))
        self.assertTrue(self.server.json("/v1/health/service/kept"))

    def test_a_killed_agent_turns_critical_and_returns(self):
        self.register()
        self.agent.kill9()
        began = time.monotonic()
        until(lambda: self.server.json("/v1/health/node/agent") and all(
            c["Status"] == "critical" for c in self.server.json("/v1/health/node/agent")
            if c["CheckID"] == "serfHealth"), 15, "serfHealth critical")
        print("node failure seen after %.1f s" % (time.monotonic() - began))
        self.assertEqual(self.server.json("/v1/health/service/web?passing"), [])
        self.agent.start()
        until(lambda: self.server.json("/v1/health/service/web?passing"), 15, "back")

    def test_an_event_fired_anywhere_reaches_everybody_it_is_for(self):
        self.register("web")

        def seen(where, name):
            return [e["ID"] for e in where.json("/v1/event/list?name=" + name)]
        for source, other in ((self.agent, self.server), (self.server, self.agent)):
            name = "from-" + source.name
            fired = json.loads(source.put("/v1/event/fire/" + name, "payload")[2])
            for where in (source, other):
                until(lambda: seen(where, name) == [fired["ID"]], 5, name + " at " + where.name)
        self.server.put("/v1/event/fire/some?service=web", "x")
        self.server.put("/v1/event/fire/all", "x")
        for where in (self.agent, self.server):
            until(lambda: seen(where, "all"), 5, "at " + where.name)
        until(lambda: seen(self.agent, "some"), 5, "at the agent, which has the service")
        self.assertEqual(seen(self.server, "some"), [])

    def test_prepared_queries_are_run_by_a_server_for_the_agent(self):
        self.register("web")
        until(lambda: self.server.json("/v1/health/service/web?passing"), 2, "in health")
        query = {"Name": "q", "Service": {"Service": "web", "Near": "_agent"}, "DNS": {"TTL": "17s"}}
        self.assertEqual(request(self.agent.http, "POST", "/v1/query", query, host=self.agent.address)[0], 200)
        found = self.agent.json("/v1/query/q/execute")
        self.assertEqual([row["Node"]["Node"] for row in found["Nodes"]], ["agent"])
        for where in (self.server, self.agent):
            until(lambda: dns_query(where.dns, "q.query.consul") == ["127.0.0.1"], 2, "DNS at " + where.name)
            self.assertEqual(dns_query(where.dns, "q.query.consul", kind=33), [80])
            self.assertEqual(dns_query(where.dns, "none.query.consul"), [])

    def test_an_agent_that_leaves_is_removed_from_the_catalog(self):
        self.assertEqual(self.agent.terminate(), 0)  # an agent leaves on SIGTERM, as Consul's does
        until(lambda: [n["Node"] for n in self.server.json("/v1/catalog/nodes")] == ["server"], 10, "gone")

    def test_what_the_agent_does_not_know_is_removed_from_its_node(self):
        self.server.put("/v1/catalog/register", {"Node": "agent", "Address": "127.0.0.1",
                                                 "Service": {"Service": "ghost", "Port": 1}})
        self.assertTrue(self.server.json("/v1/catalog/service/ghost"))
        self.agent.kill9()
        self.agent.start()  # a full comparison follows a start
        until(lambda: not self.server.json("/v1/catalog/service/ghost"), 20, "ghost removed")


if __name__ == "__main__":
    unittest.main()
