"""Starting and stopping as Consul does: launch forms, signals, exit codes, configuration errors."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import BINARY, Fyr, dns_query, free_ports, request, spawn, until


def run(*arguments, timeout=20):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout + done.stderr


class Start(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="fyr-start-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def ports(self):
        http, dns, serf, wan, rpc = free_ports(5)
        return {"http": http, "dns": dns, "serf_lan": serf, "serf_wan": wan, "server": rpc, "grpc": -1}

    def start(self, *arguments):
        process = spawn([BINARY, "agent", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))
        return process

    def test_server_with_consuls_own_words_is_writable_within_half_a_second(self):
        ports = self.ports()
        began = time.monotonic()
        self.start("-server", "-bootstrap-expect", "1", "-data-dir", self.folder + "/d", "-node=agent-one",
                   "-bind=127.0.0.1", "-http-port", str(ports["http"]), "-dns-port=%d" % ports["dns"],
                   "--serf-lan-port", str(ports["serf_lan"]), "-serf-wan-port", str(ports["serf_wan"]),
                   "-server-port", str(ports["server"]))
        until(lambda: request(ports["http"], "PUT", "/v1/kv/x", "1")[0] == 200, 5, "first write", step=0.005)
        took = time.monotonic() - began
        print("start to first write %.3f s" % took)
        self_ = json.loads(request(ports["http"], "GET", "/v1/agent/self")[2])
        self.assertEqual(self_["Config"]["NodeName"], "agent-one")
        self.assertLess(took, 2.0)  # the figure itself is tests/bench's business

    def test_dev_mode_needs_nothing_but_free_ports(self):
        ports = self.ports()
        config = self.write("ports.json", {"ports": ports})
        self.start("-dev", "-bind=127.0.0.1", "-config-file", config)
        until(lambda: request(ports["http"], "PUT", "/v1/kv/x", "1")[0] == 200, 10, "dev agent writable")

    def test_pid_file_is_there_before_the_api_and_removed_at_the_end(self):
        pid_file = os.path.join(self.folder, "pid")
        config = self.write("a.json", {"ports": self.ports(), "pid_file": pid_file, "server": True,
                                       "bootstrap": True, "bind_addr": "127.0.0.1",
                                       "data_dir": self.folder + "/d", "node_name": "p"})
        process = self.start("-config-file", config)
        until(lambda: os.path.exists(pid_file), 5, "pid file")
        with open(pid_file, encoding="utf-8") as file:
            self.assertEqual(int(file.read()), process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        self.assertFalse(os.path.exists(pid_file))

    def test_server_stops_with_1_on_sigterm_and_sigint_without_leaving(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = Fyr("stopper", server=True).start()
            self.addCleanup(server.close)
            server.signal(number)
            began = time.monotonic()
            self.assertEqual(server.process.wait(5), 1)
            self.assertLess(time.monotonic() - began, 2)

    def test_agent_leaves_with_0_on_sigterm(self):
        server = Fyr("server", server=True).start()
        self.addCleanup(server.close)
        agent = Fyr("agent", join=["127.0.0.1:%d" % server.serf]).start()
        self.addCleanup(agent.close)
        agent.wait_in_catalog(server)
        self.assertEqual(agent.terminate(), 0)

    def test_sighup_reloads_service_definitions(self):
        server = Fyr("server", server=True, config={"services": [{"name": "one", "port": 1}]}).start()
        self.addCleanup(server.close)
        self.assertIn("one", server.json("/v1/agent/services"))
        server.config["services"] = [{"name": "one", "port": 1}, {"name": "two", "port": 2}]
        with open(os.path.join(server.folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(server.settings(), file)
        server.signal(signal.SIGHUP)
        until(lambda: "two" in server.json("/v1/agent/services"), 5, "reloaded")
        self.assertIsNone(server.process.poll())

    def test_sighup_reloads_dns_settings_and_keeps_the_domain(self):
        service = {"name": "one", "port": 1, "checks": [{"name": "held", "ttl": "1h", "status": "warning"}]}
        server = Fyr("server", server=True, config={"services": [service]}).start()
        self.addCleanup(server.close)
        until(lambda: dns_query(server.dns, "one.service.consul") == ["127.0.0.1"], 5, "warning answers")
        server.config["dns_config"] = {"only_passing": True}
        server.config["domain"] = "other."
        with open(os.path.join(server.folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(server.settings(), file)
        server.signal(signal.SIGHUP)
        until(lambda: dns_query(server.dns, "one.service.consul") == [], 5, "only passing answers")
        self.assertEqual(dns_query(server.dns, "server.node.consul"), ["127.0.0.1"])

    def test_reload_request_has_taken_effect_when_it_answers(self):
        server = Fyr("server", server=True).start()
        self.addCleanup(server.close)
        server.config["service"] = {"name": "late", "port": 2}
        with open(os.path.join(server.folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(server.settings(), file)
        self.assertEqual(server.put("/v1/agent/reload")[0], 200)
        self.assertIn("late", server.json("/v1/agent/services"))

    def test_all_configuration_errors_are_named_at_once(self):
        config = self.write("bad.json", {"server": "perhaps", "ports": {"http": 99999}, "bind_adr": "127.0.0.1",
                                         "proxy": {"listeners": [{"name": "x", "balanse": "first"}]}})
        code, text = run("agent", "-config-file", config)
        self.assertEqual(code, 1)
        for part in ("server", "ports.http", "bind_adr", "bind_addr", config):
            self.assertIn(part, text)

    def test_bad_proxy_listener_names_its_path(self):
        config = self.write("bad.json", {"data_dir": self.folder, "bind_addr": "127.0.0.1", "ports": self.ports(),
                                         "proxy": {"listeners": [{"name": "x", "destination_name": "y",
                                                                  "local_bind_port": 70000}]}})
        code, text = run("agent", "-config-file", config)
        self.assertEqual(code, 1)
        self.assertIn("proxy.listeners[0]", text)
        self.assertIn("local_bind_port", text)

    def test_files_that_are_not_json_missing_or_empty(self):
        code, text = run("agent", "-config-file", self.write("x.json", "{nope"))
        self.assertEqual((code, "x.json" in text), (1, True))
        code, text = run("agent", "-config-file", self.folder + "/none.json")
        self.assertEqual((code, "none.json" in text), (1, True))
        empty = self.write("empty.json", "")
        code, text = run("validate", empty)
        self.assertNotIn("empty.json:", text)

    def test_unknown_flag_and_unknown_subcommand(self):
        code, text = run("agent", "-no-such-flag")
        self.assertEqual((code, "no-such-flag" in text), (1, True))
        code, text = run("no-such-command")
        self.assertEqual(code, 127)

    def test_taken_port_is_named_and_nothing_stays_behind(self):
        ports = self.ports()
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", ports["http"]))
            holder.listen()
            config = self.write("a.json", {"server": True, "bootstrap": True, "bind_addr": "127.0.0.1",
                                           "data_dir": self.folder + "/d", "node_name": "p", "ports": ports})
            code, text = run("agent", "-config-file", config)
        self.assertEqual(code, 1)
        self.assertIn("127.0.0.1:%d" % ports["http"], text)

    def test_unwritable_and_foreign_data_directories(self):
        plain = self.write("plain", "a file")
        code, text = run("agent", "-server", "-bootstrap", "-bind=127.0.0.1", "-data-dir", plain + "/data")
        self.assertEqual((code, plain in text), (1, True))
        foreign = os.path.join(self.folder, "foreign")
        os.makedirs(foreign + "/raft")
        with open(foreign + "/raft/raft.db", "w", encoding="utf-8") as file:
            file.write("somebody else's")
        code, text = run("agent", "-server", "-bootstrap", "-bind=127.0.0.1", "-data-dir", foreign)
        self.assertEqual((code, foreign in text), (1, True))
        self.assertTrue(os.path.exists(foreign + "/raft/raft.db"))

    def test_a_data_directory_in_use_is_refused(self):
        server = Fyr("first", server=True).start()
        self.addCleanup(server.close)
        ports = self.ports()
        config = self.write("b.json", {"server": True, "bootstrap": True, "bind_addr": "127.0.0.1",
                                       "data_dir": server.data, "node_name": "second", "ports": ports})
        code, text = run("agent", "-config-file", config)
        self.assertEqual((code, server.data in text), (1, True))

    def test_two_voters_and_bootstrap_conflict(self):
        code, text = run("agent", "-bootstrap", "-bind=127.0.0.1", "-data-dir", self.folder)
        self.assertEqual((code, "server" in text.lower()), (1, True))

    def test_version_names_program_and_version(self):
        code, text = run("version")
        self.assertEqual(code, 0)
        self.assertIn("fyr", text.lower())


if __name__ == "__main__":
    unittest.main()
