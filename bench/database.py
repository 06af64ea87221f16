# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sched benchmark needs of a machine: a private PostgreSQL on a Unix socket, with fsync as it comes, and
the processes that it starts."""
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time


class Failed(Exception):
    pass


def cpu_seconds(pid):
    """What a process has used so far; 0 for one that has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Database:
    def __init__(self):
        # On a disk: a commit in memory would cost nothing.
        self.folder = tempfile.mkdtemp(prefix="portico-bench-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.sockets = os.path.join(self.folder, "sockets")
        self.conninfo = f"host={self.sockets} user=portico dbname=portico"
        self.processes = []
        self.postgres = None

    # ---- processes ----

    def start(self, *command, log="log", **more):
        with open(os.path.join(self.folder, log), "ab") as output:
            process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stderr=output, start_new_session=True,
                                       **{"stdout": output, **more})
        self.processes.append(process)
        return process

    def stop(self, process, number=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(number)
        process.wait(timeout=60)
        if process in self.processes:
            self.processes.remove(process)

    def log(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()[-1500:]

    @staticmethod
    def run(*command, text=None):
        done = subprocess.run(list(command), input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)[:200]}: {done.stderr.strip()[-800:]}")
        return done.stdout

    # ---- PostgreSQL ----

    def as_postgres(self, *command):
        return ["env", "--chdir=/", "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command]

    def up(self):
        data = os.path.join(self.folder, "postgres")
        for folder in (data, self.sockets):
            os.mkdir(folder, 0o700)
            shutil.chown(folder, "postgres", "postgres")
        self.run(*self.as_postgres(f"{self.programs}/initdb", "-D", data, "-U", "portico", "-A", "trust", "--no-locale",
                                   "-E", "UTF8"))
        self.postgres = self.start(*self.as_postgres(f"{self.programs}/postgres", "-D", data, "-k", self.sockets, "-c",
                                                     "listen_addresses=", "-c", "max_connections=300"), log="postgres.log")
        end = time.monotonic() + 30
        while subprocess.run([f"{self.programs}/pg_isready", "-q", "-h", self.sockets, "-U", "portico", "-d",
                              "postgres"], check=False).returncode != 0:
            if time.monotonic() > end:
                raise Failed(f"PostgreSQL does not start: {self.log('postgres.log')}")
            time.sleep(0.05)
        self.sql("CREATE DATABASE portico", "postgres")

    def sql(self, text, name="portico"):
        """Rows as lists of words."""
        out = self.run(f"{self.programs}/psql", "-XAtq", "-F", " ", "-v", "ON_ERROR_STOP=1", "-h", self.sockets, "-U",
                       "portico", "-d", name, text=text)
        return [line.split(" ") for line in out.splitlines()]

    def number(self, text):
        return int(self.sql(text)[0][0])

    def cpu_seconds(self):
        """What all of its processes have used."""
        children = self.run("ps", "-o", "pid=", "--ppid", str(self.postgres.pid)).split()
        return sum(cpu_seconds(pid) for pid in [self.postgres.pid, *children])

    def down(self):
        for process in list(self.processes):
            if process is self.postgres:
                continue
            try:
                self.stop(process, signal.SIGKILL)
            except (OSError, subprocess.TimeoutExpired):
                pass
        if self.postgres:
            self.stop(self.postgres, signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)
