"""Network namespaces n1..n5 joined by a bridge, a loop-mounted ext4 image for each server, and the
faults of nets and disks. Needs root, and to be started by `run`, in network and mount namespaces
of its own: the bridge, the clients and the mounts are in those and end with the last process."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from cluster import FULL, ROOT, until

HERE = os.path.dirname(os.path.abspath(__file__))
RELAY = os.path.join(ROOT, "build/tools/relay")
NET = "10.77.0."  # n<i> is 10.77.0.<i>, the clients 10.77.0.254; over a relay 10.78.0.<i>
FAR = "10.78.0."
IMAGE_MB = 256


def command(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, **options)
    if done.returncode:
        raise OSError("%s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def missing():
    """Why there can be no bed here; empty if there can."""
    if os.geteuid() != 0:
        return "not root"
    if os.environ.get("FYR_OWN_NAMESPACES") != "1":
        return "not in a network namespace of its own (start it by tests/integration/cluster/run)"
    tools = [tool for tool in ("ip", "nft", "mkfs.ext4", "fsfreeze", "nsenter") if not shutil.which(tool)]
    if tools:
        return "not installed: " + " ".join(tools)
    return "no /dev/loop-control" if not os.path.exists("/dev/loop-control") else ""


def required(what, reason):
    """Skips loudly what this machine cannot do; with --full that is a failure."""
    if not reason:
        return
    if FULL:
        raise AssertionError("%s cannot be tested here: %s" % (what, reason))
    print("SKIPPED: %s: %s" % (what, reason), file=sys.stderr)
    raise unittest.SkipTest("%s: %s" % (what, reason))


class Disk:
    """An ext4 file system of its own in an image."""

    def __init__(self, folder, number, megabytes):
        self.image = os.path.join(folder, "disk%d" % number)
        self.path = os.path.join(folder, "mnt%d" % number)
        self.filler = os.path.join(self.path, "filler")
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        command("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", self.image)
        os.mkdir(self.path)
        command("mount", "-o", "loop", self.image, self.path)
        self.watchdog = None

    def fill(self, leave_mb=0):
        """Until there is no block left, or only so much."""
        if leave_mb:
            figures = os.statvfs(self.path)
            with open(self.filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0,
                                   figures.f_bavail * figures.f_frsize - (leave_mb << 20))
            return
        with open(self.filler, "wb", buffering=0) as file:
            size = 1 << 20
            while size >= 512:
                try:
                    while file.write(b"\0" * size) == size:
                        pass
                except OSError:
                    pass
                size //= 2

    def free(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)

    def freeze(self, at_most):
        """Writers hang until thaw(). A process of its own thaws in any case: one that waits for a
        frozen disk cannot be killed, and neither could this one be trusted to survive."""
        self.watchdog = subprocess.Popen(
            ["sh", "-c", "sleep %s; fsfreeze -u %s" % (at_most, self.path)], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command("fsfreeze", "-f", self.path)

    def thaw(self):
        subprocess.run(["fsfreeze", "-u", self.path], capture_output=True, check=False)
        if self.watchdog:
            try:
                os.killpg(self.watchdog.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.watchdog.wait()
            self.watchdog = None

    def wipe(self):
        for name in os.listdir(self.path):
            if name != "lost+found":
                whole = os.path.join(self.path, name)
                shutil.rmtree(whole) if os.path.isdir(whole) else os.unlink(whole)

    def close(self):
        self.thaw()
        subprocess.run(["umount", "-l", self.path], capture_output=True, check=False)


class Place:
    """Where one server runs: a network namespace held open by a sleeping process, and a disk."""

    def __init__(self, number, disk, far):
        self.number, self.disk = number, disk
        self.address = (FAR if far else NET) + str(number)
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"],
                                       preexec_fn=die_with_parent)
        until(lambda: os.readlink("/proc/%d/ns/net" % self.holder.pid) !=
              os.readlink("/proc/self/ns/net") and self._is_asleep(), 10, "namespace of its own")
        self.prefix = ("nsenter", "--net=/proc/%d/ns/net" % self.holder.pid)
        self.cuts = {}  # (source address, chain): how

    def _is_asleep(self):
        with open("/proc/%d/comm" % self.holder.pid, encoding="utf-8") as file:
            return file.read().strip() == "sleep"

    def inside(self, *words, **options):
        return command(*self.prefix, *words, **options)

    def connect(self):
        outer = "v%d" % self.number
        command("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns",
                str(self.holder.pid))
        command("ip", "link", "set", outer, "master", "bed0", "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "addr", "add", self.address + "/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")
        self.inside("ip", "route", "add", "default", "via", NET + "254")

    def apply_cuts(self):
        """Rules for what comes in; what another must not get from us is cut at its own door."""
        rules = []
        for source, how in sorted(self.cuts.items()):
            if how == "reset":
                rules.append("ip saddr %s meta l4proto tcp reject with tcp reset" % source)
                rules.append("ip saddr %s reject" % source)
            elif how == "drop":
                rules.append("ip saddr %s drop" % source)
            else:
                rules.append("ip saddr %s numgen random mod 1000 < %d drop" % (source, how))
        self.inside("nft", "-f", "-", input="""
table inet bed
delete table inet bed
table inet bed {
  chain in { type filter hook input priority 0; policy accept;
    %s
  }
}
""" % "\n    ".join(rules))

    def close(self):
        self.holder.kill()
        self.holder.wait()


class Bed:
    """`far`: numbers of servers that a relay separates from the rest, each `delay_ms` away."""

    def __init__(self, count=3, disks=True, far=(), delay_ms=12, jitter_ms=0, loss=0.0):
        required("faults of nets and disks", missing())
        self.folder = tempfile.mkdtemp(prefix="fyr-bed-")
        self.places, self.relays, self.disks = [], [], []
        try:
            self._make(count, disks, far, delay_ms, jitter_ms, loss)
        except BaseException:
            self.close()
            raise

    def _make(self, count, disks, far, delay_ms, jitter_ms, loss):
        if "bed0" not in [name for _, name in socket.if_nameindex()]:
            command("mount", "--make-rprivate", "/")
            command("ip", "link", "set", "lo", "up")
            command("ip", "link", "add", "bed0", "type", "bridge")
            command("ip", "addr", "add", NET + "254/24", "dev", "bed0")
            command("ip", "link", "set", "bed0", "up")
            with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="utf-8") as file:
                file.write("1")
        for number in range(1, count + 1):
            disk = Disk(self.folder, number, IMAGE_MB) if disks else None
            if disk:
                self.disks.append(disk)
            place = Place(number, disk, number in far)
            self.places.append(place)
            if number in far:
                self._relay(place, delay_ms, jitter_ms, loss)
            else:
                place.connect()

    def _relay(self, place, delay_ms, jitter_ms, loss):
        """The place's only link is a tunnel through the relay, which delays both ways."""
        near = "far%d" % place.number
        process = subprocess.Popen(
            [RELAY, "--near", near, "--far", "eth0", "--far-netns",
             "/proc/%d/ns/net" % place.holder.pid, "--delay-ms", str(delay_ms),
             "--jitter-ms", str(jitter_ms), "--loss", str(loss)],
            stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.relays.append(process)
        if process.stdout.readline().strip() != "ready":
            raise OSError("the relay does not start")
        command("ip", "link", "set", near, "up", "mtu", "1400")
        command("ip", "route", "add", place.address + "/32", "dev", near, "src", NET + "254")
        place.inside("ip", "link", "set", "lo", "up")
        place.inside("ip", "addr", "add", place.address + "/32", "dev", "eth0")
        place.inside("ip", "link", "set", "eth0", "up", "mtu", "1400")
        place.inside("ip", "route", "add", "default", "dev", "eth0")

    # ---- faults of the net: by server, between servers only; clients reach everybody ---------

    def cut_one_way(self, source, target, how="drop"):
        """What `source` sends to `target` is lost: "drop", "reset", or so many of 1000 packets."""
        target.place.cuts[source.address] = how
        target.place.apply_cuts()

    def cut(self, one, other, how="drop"):
        self.cut_one_way(one, other, how)
        self.cut_one_way(other, one, how)

    def isolate(self, server, others, how="drop"):
        for other in others:
            if other is not server:
                self.cut(server, other, how)

    def heal(self):
        for place in self.places:
            if place.cuts:
                place.cuts = {}
                place.apply_cuts()

    def close(self):
        for disk in self.disks:
            disk.thaw()
        for process in self.relays:
            process.kill()
            process.communicate()
        for place in self.places:
            place.close()
            subprocess.run(["ip", "link", "del", "v%d" % place.number], capture_output=True, check=False)
        for disk in self.disks:
            disk.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def after(seconds, action):
    """Does it then, whatever the caller waits for by that time."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    return timer
