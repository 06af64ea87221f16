# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gateway benchmark needs of a network: one client and one host, and between them a gateway in a
namespace of its own for each configuration, all at once.

    client ── 10.I.1.2 / 10.I.1.1 gateway 10.I.2.1 / 10.I.2.2 ── host        public: 203.0.113.I
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time

FIRST = 20000    # the ports behind which somebody listens: FIRST to FIRST + LISTENED - 1
LISTENED = 2048


def ports(n):
    """The first n ports that are mapped: those that are listened on first."""
    every = list(range(FIRST, 65536)) + list(range(1024, FIRST))
    return every[:n]


class Failed(Exception):
    pass


class Lab:
    def __init__(self):
        self.name = f"bench-{os.getpid()}"
        self.folder = tempfile.mkdtemp(prefix="portico-bench-")
        self.processes = []
        self.namespaces = []
        self.build = os.environ.get("BENCH_BUILD", "build-bench")

    # ---- commands ----

    def enter(self, namespace):
        return ["nsenter", f"--net=/run/netns/{self.name}-{namespace}"]

    def run(self, namespace, *command, text=None, env=None):
        """Runs a command to its end and returns what it printed."""
        prefix = self.enter(namespace) if namespace else []
        done = subprocess.run(prefix + list(command), input=text, capture_output=True, text=True, check=False,
                              env={**os.environ, **(env or {})})
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)[:200]}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def start(self, namespace, *command, log=None, env=None):
        output = open(os.path.join(self.folder, log or "log"), "ab")
        process = subprocess.Popen(self.enter(namespace) + list(command), stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, start_new_session=True,
                                   env={**os.environ, **(env or {})})
        output.close()
        self.processes.append(process)
        return process

    def stop(self, process, number=signal.SIGTERM):
        if process.poll() is None:
            os.killpg(process.pid, number)
        process.wait(timeout=30)
        if process in self.processes:
            self.processes.remove(process)

    def wait(self, what, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {seconds} s; see {self.folder}")
            time.sleep(0.002)

    def tool(self, name):
        return os.path.join(self.build, "bench", name)

    # ---- network ----

    def namespace(self, name):
        self.run(None, "ip", "netns", "add", f"{self.name}-{name}")
        self.namespaces.append(name)
        self.run(None, "ip", "-n", f"{self.name}-{name}", "link", "set", "lo", "up")

    def ends(self):
        for name in ("client", "host"):
            self.namespace(name)
            self.run(name, "sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=1024 65000",
                     "net.core.somaxconn=65535")
        # The measured packets have no options, which those of a real TCP have: they end here.
        self.run("host", "nft", "add table netdev bench")
        self.start("host", self.tool("bench-traffic"), "serve", str(FIRST),
                   str(LISTENED), log="serve")
        self.wait("server", lambda: "listening" in open(os.path.join(self.folder, "serve")).read())

    def link(self, gateway, device, end, own, address):
        peer = f"{end}{gateway.index}"
        self.run(None, "ip", "-n", f"{self.name}-{gateway.namespace}", "link", "add", device, "type", "veth", "peer",
                 "name", peer, "netns", f"{self.name}-{end}")
        self.run(None, "ip", "-n", f"{self.name}-{gateway.namespace}", "address", "add", f"{own}/24", "dev", device)
        self.run(None, "ip", "-n", f"{self.name}-{gateway.namespace}", "link", "set", device, "up")
        self.run(None, "ip", "-n", f"{self.name}-{end}", "address", "add", f"{address}/24", "dev", peer)
        self.run(None, "ip", "-n", f"{self.name}-{end}", "link", "set", peer, "up")
        return peer

    def gateway(self, gateway):
        """Makes the namespace of a configuration, with its two links."""
        i = gateway.index
        self.namespace(gateway.namespace)
        gateway.link = self.link(gateway, "in", "client", f"10.{i}.1.1", f"10.{i}.1.2")
        host_link = self.link(gateway, "out", "host", f"10.{i}.2.1", f"10.{i}.2.2")
        client, host = f"{self.name}-client", f"{self.name}-host"
        self.run(None, "ip", "-n", client, "route", "add", f"203.0.113.{i}", "via", f"10.{i}.1.1", "src",
                 f"10.{i}.1.2")
        self.run(None, "ip", "-n", client, "route", "add", f"10.{i}.2.0/24", "via", f"10.{i}.1.1", "src",
                 f"10.{i}.1.2")
        self.run(None, "ip", "-n", host, "route", "add", f"10.{i}.1.0/24", "via", f"10.{i}.2.1")
        self.run(None, "ip", "-n", f"{self.name}-{gateway.namespace}", "address", "add", f"203.0.113.{i}/32", "dev",
                 "lo")
        self.run(gateway.namespace, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1",
                 "net.ipv4.ip_local_port_range=1024 65000")
        self.run("host", "nft", f"add chain netdev bench {host_link} {{ type filter hook ingress device {host_link} "
                 f"priority 0; }}; add rule netdev bench {host_link} ip length 40 tcp flags {{ ack, syn }} drop")

    def track(self, gateway):
        """Sizes connection tracking for a flood of short connections."""
        self.run(gateway.namespace, "sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_timeout_close=1",
                 "net.netfilter.nf_conntrack_acct=1")

    def down(self):
        for process in list(self.processes):
            try:
                self.stop(process, signal.SIGKILL)
            except (OSError, subprocess.TimeoutExpired):
                pass
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "delete", f"{self.name}-{name}"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
