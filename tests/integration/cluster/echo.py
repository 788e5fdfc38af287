"""Round trips of UDP packets to a namespace: echo.py ADDRESS HOLDER-PID COUNT prints the median in
milliseconds and how many were lost. The other end is a child of ours in that namespace."""
import os
import select
import socket
import sys
import time

address, holder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
if holder != "-":
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(tell, 1)
        os.execvp("nsenter", ["nsenter", "--net=/proc/%s/ns/net" % holder, sys.executable,
                              os.path.abspath(__file__), address, "-", str(count)])
    os.read(ready, 1)
    try:
        trips, lost = [], 0
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.connect((address, 7000))
            sent = {}
            following, end = 0, time.monotonic() + count * 0.003 + 1
            while time.monotonic() < end:
                if following < count:
                    sent[following] = time.monotonic()
                    udp.send(b"%d" % following)
                    following += 1
                if select.select([udp], [], [], 0.003)[0]:
                    number = int(udp.recv(100))
                    trips.append(time.monotonic() - sent.pop(number))
            lost = len(sent)
        print(sorted(trips)[len(trips) // 2] * 1000, lost)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
else:
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind((address, 7000))
        os.write(1, b"r")
        while True:
            data, source = udp.recvfrom(100)
            udp.sendto(data, source)
