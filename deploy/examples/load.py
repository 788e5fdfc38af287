"""Keep-alive GETs from many clients; a closed connection or any status but 200 is a failure.

Usage: load.py PORT SECONDS [CLIENTS]      prints one line of JSON
"""
import asyncio
import json
import sys
import time


async def client(port, deadline, answers, failures, slowest):
    reader = writer = None
    while time.monotonic() < deadline:
        began = time.monotonic()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                          if line.lower().startswith(b"content-length:"))
            body = await asyncio.wait_for(reader.readexactly(length), 10)
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(head.split(b"\r\n")[0].decode())
            name = body.decode().split()[-1]
            answers[name] = answers.get(name, 0) + 1
            slowest[0] = max(slowest[0], time.monotonic() - began)
            await asyncio.sleep(0.02)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError) as error:
            failures.append(repr(error))
            if writer is not None:
                writer.close()
            reader = writer = None
            await asyncio.sleep(0.05)
    if writer is not None:
        writer.close()


async def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 64
    answers, failures, slowest = {}, [], [0.0]
    deadline = time.monotonic() + seconds
    await asyncio.gather(*(client(port, deadline, answers, failures, slowest) for _ in range(count)))
    print(json.dumps({"requests": sum(answers.values()) + len(failures), "failed": len(failures),
                      "slowest_ms": round(slowest[0] * 1000, 1), "by_backend": answers,
                      "first_failures": failures[:3]}))


asyncio.run(main())
