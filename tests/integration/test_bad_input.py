"""Bad input over HTTP: a clear error naming the field, Consul's status, nothing changed."""
import json
import socket
import unittest

from harness import Fyr


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Fyr("server", server=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def state(self):
        """Everything a bad request might have changed."""
        return [self.server.json(path) for path in (
            "/v1/catalog/nodes", "/v1/catalog/services", "/v1/agent/services", "/v1/agent/checks",
            "/v1/health/state/any", "/v1/kv/?keys")]

    def refuse(self, path, body, status, *words):
        before = self.state()
        got, _, text = self.server.put(path, body)
        self.assertEqual(got, status, text)
        for word in words:
            self.assertIn(word.lower(), text.decode().lower())
        self.assertEqual(self.state(), before)

    def test_malformed_json(self):
        for path in ("/v1/agent/service/register", "/v1/agent/check/register", "/v1/catalog/register",
                     "/v1/catalog/deregister"):
            with self.subTest(path=path):
                self.refuse(path, "{\"Name\": ", 400, "decode")
                self.refuse(path, "[]", 400)

    def test_wrong_types_name_the_field(self):
        self.refuse("/v1/agent/service/register", {"Name": "x", "Port": "http"}, 400, "Port")
        self.refuse("/v1/agent/service/register", {"Name": "x", "Tags": "one"}, 400, "Tags")
        self.refuse("/v1/catalog/register", {"Node": 5, "Address": "10.0.0.1"}, 400, "Node")

    def test_unknown_keys_are_refused_where_consul_does(self):
        self.refuse("/v1/agent/service/register", {"Name": "x", "Prot": 80}, 400, "Prot")
        self.refuse("/v1/agent/check/register", {"Name": "x", "TTL": "1s", "Intervall": "1s"}, 400, "Intervall")

    def test_bad_values_name_the_field(self):
        self.refuse("/v1/agent/service/register", {"Port": 80}, 400, "name")
        self.refuse("/v1/agent/check/register", {"Name": "x", "TTL": "abc"}, 400, "duration")
        self.refuse("/v1/agent/check/register", {"Name": "x"}, 400, "TTL")
        self.refuse("/v1/agent/check/register", {"CheckID": "serfHealth", "Name": "x", "TTL": "5s"}, 400, "serfHealth")
        self.refuse("/v1/agent/check/register", {"Name": "x", "ScriptArgs": ["true"], "Interval": "5s"}, 500, "script")

    def test_huge_bodies_are_refused_and_the_server_lives(self):
        self.refuse("/v1/kv/big", b"x" * (512 * 1024 + 1), 413)
        try:
            got, _, _ = self.server.put("/v1/catalog/register", b" " * (40 << 20))
        except (BrokenPipeError, ConnectionResetError):
            got = 413  # answered and closed before the client had sent it all
        self.assertEqual(got, 413)
        self.assertEqual(self.server.put("/v1/kv/ok", b"x" * (512 * 1024))[0], 200)
        self.assertEqual(self.server.get("/v1/kv/ok?raw")[2], b"x" * (512 * 1024))

    def test_deeply_nested_json_is_refused(self):
        self.refuse("/v1/catalog/register", "[" * 100000, 400)
        self.refuse("/v1/catalog/register", '{"Node":' * 5000 + "1" + "}" * 5000, 400)

    def test_raw_garbage_on_the_http_port(self):
        for text in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n"):
            with self.subTest(text=text[:20]), socket.create_connection(("127.0.0.1", self.server.http), 5) as raw:
                raw.settimeout(5)
                try:
                    raw.sendall(text)
                    answer = raw.recv(4096)
                except ConnectionResetError:
                    answer = b""
                self.assertTrue(answer == b"" or b" 4" in answer[:16], answer[:80])
        self.assertEqual(self.server.get("/v1/status/leader")[0], 200)

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.server.get("/v1/no/such")[0], 404)
        got, headers, _ = self.server.put("/v1/catalog/nodes", "")
        self.assertEqual((got, "GET" in headers["Allow"]), (405, True))


if __name__ == "__main__":
    unittest.main()
