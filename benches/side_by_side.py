#!/usr/bin/env python3
"""The same database through pg_migrator and its peers, in turn, in one run.

    cargo build --release && benches/side_by_side.py [--workload wide|tiny|latency] [--rounds 3] [--jobs 2] ...

Starts two throwaway servers (see scripts/servers), fills one, and moves it into a fresh database of the other with each
tool, round by round, so that a machine whose speed drifts favours none. Printed per tool: medians of wall time, of the
CPU seconds of the client and of both servers, the client's peak memory, and the ratio of its wall time to pg_migrator's.

  wide     3 million pgbench accounts and 1.5 million wide events with four indexes, about 700 MB at --scale 1
  tiny     10,000 small tables with a primary key and an index (--tables)
  latency  300 small tables over a link with 10 ms of round trip (--tables, --delay-ms)

pgcopydb takes part where it is on PATH (Debian's is for servers up to 15: --source 15 --target 15 --tools
/usr/lib/postgresql/15/bin). `hand` is the best pipeline one can make by hand for `wide`: binary COPY through
a pipe per table, FREEZE in the transaction that empties the table, then all indexes at once.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOBODY = 65534
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def servers_root():
    return subprocess.check_output([f"{ROOT}/scripts/servers", "--path"], text=True).strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stat(pid):
    """Fields of /proc/PID/stat from the third on, or none where the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(entry)):
            yield fields


class Server:
    """A throwaway server; the caller's own, or nobody's where the caller is root."""

    def __init__(self, major, base):
        self.bin = f"{servers_root()}/{major}/bin"
        self.dir = tempfile.mkdtemp(prefix=f"pg{major}.", dir=base)
        self.port = free_port()
        self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        if self.user:
            os.chown(self.dir, NOBODY, NOBODY)
        self.call("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", self.dir)
        options = (f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.dir} "
                   "-c shared_buffers=512MB -c max_wal_size=4GB -c max_locks_per_transaction=256")
        self.call("pg_ctl", "-D", self.dir, "-w", "-l", f"{self.dir}/log", "-o", options, "start")
        with open(f"{self.dir}/postmaster.pid") as f:
            self.pid = int(f.readline())

    def call(self, tool, *args):
        subprocess.check_call([f"{self.bin}/{tool}", *args], cwd="/", **self.user, **QUIET)

    def stop(self):
        self.call("pg_ctl", "-D", self.dir, "-m", "immediate", "stop")

    def cpu(self):
        """CPU seconds of the server so far: the postmaster with the children it has reaped, and those alive."""
        own = stat(self.pid) or ["0"] * 20
        total = sum(int(f) for f in own[11:15])
        total += sum(int(f) for fields in processes() if int(fields[1]) == self.pid for f in fields[11:13])
        return total / os.sysconf("SC_CLK_TCK")

    def conninfo(self, database, port=None):
        return f"host=127.0.0.1 port={port or self.port} user=postgres dbname={database}"


class DelayLine:
    """A TCP proxy that hands every byte on after a fixed time, however many they are: latency, no bandwidth limit."""

    def __init__(self, target_port, one_way):
        self.target_port, self.one_way, self.port = target_port, one_way, free_port()
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        server = await asyncio.start_server(self.accept, "127.0.0.1", self.port)
        ready.set()
        async with server:
            await server.serve_forever()

    async def accept(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
        await asyncio.gather(self.pump(reader, back), self.pump(there, writer))

    async def pump(self, reader, writer):
        line = asyncio.Queue(maxsize=4096)

        async def deliver():
            while True:
                due, data = await line.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        delivery = asyncio.create_task(deliver())
        try:
            while data := await reader.read(1 << 18):
                await line.put((time.monotonic() + self.one_way, data))
        except OSError:
            pass
        await line.put((time.monotonic() + self.one_way, b""))
        await delivery


class Bench:
    def __init__(self, args, base):
        self.args, self.base = args, base
        self.tools = args.tools or f"{servers_root()}/tools/bin"
        self.servers = []
        for major in (args.source, args.target):
            self.servers.append(Server(major, base))
        self.source, self.target = self.servers
        self.ports = {}
        if args.workload == "latency":
            self.ports = {s.port: DelayLine(s.port, args.delay_ms / 2000).port for s in self.servers}

    def reach(self, server, database):
        return server.conninfo(database, self.ports.get(server.port))

    def sql(self, server, sql, database="postgres"):
        subprocess.run([f"{self.tools}/psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", server.conninfo(database)],
                       input=sql, text=True, check=True, stdout=subprocess.DEVNULL)

    def fill(self):
        self.sql(self.source, "CREATE DATABASE load")
        if self.args.workload == "wide":
            scale = str(max(1, int(30 * self.args.scale)))
            subprocess.check_call([f"{self.tools}/pgbench", "-i", "-q", "-s", scale, self.source.conninfo("load")], **QUIET)
            self.sql(self.source, WIDE.replace("%EVENTS%", str(int(1_500_000 * self.args.scale))), "load")
        for start in range(0, 0 if self.args.workload == "wide" else self.args.tables, 500):
            last = min(start + 500, self.args.tables) - 1
            self.sql(self.source, TINY.replace("%FROM%", str(start)).replace("%TO%", str(last)), "load")
        self.sql(self.source, "VACUUM ANALYZE; CHECKPOINT", "load")

    def commands(self):
        s, t, jobs = self.reach(self.source, "load"), self.reach(self.target, "moved"), str(self.args.jobs)
        out = tempfile.mkdtemp(dir=self.base)
        found = {
            "pg_migrator": f"{self.args.binary} --mode offline --source '{s}' --target '{t}' --jobs {jobs}",
            "pg_restore": f"rm -rf {out}/d && {self.tools}/pg_dump -Fd -j {jobs} -f {out}/d '{s}' && "
                          f"{self.tools}/pg_restore -j {jobs} -d '{t}' {out}/d",
            "psql": f"{self.tools}/pg_dump '{s}' | {self.tools}/psql -Xq -v ON_ERROR_STOP=1 '{t}'",
        }
        if shutil.which("pgcopydb"):
            found["pgcopydb"] = (f"rm -rf {out}/c && PATH={self.tools}:$PATH pgcopydb clone --dir {out}/c --table-jobs {jobs} "
                                 f"--index-jobs {jobs} --source '{s}' --target '{t}'")
        if self.args.workload == "wide":
            found["hand"] = self.hand(s, t)
        return {name: c for name, c in found.items() if not self.args.only or name in self.args.only}

    def hand(self, s, t):
        psql = f"{self.tools}/psql -Xq -v ON_ERROR_STOP=1"

        def copy(table):
            return (f"({psql} '{s}' -c 'COPY {table} TO STDOUT (FORMAT binary)' | {psql} '{t}' -c BEGIN "
                    f"-c 'TRUNCATE {table}' -c 'COPY {table} FROM STDIN (FORMAT binary, FREEZE)' -c COMMIT)")

        def run(sql):
            return f"{psql} '{t}' -c '{sql}'"

        accounts = " && ".join([
            copy("pgbench_accounts"), copy("pgbench_tellers"), copy("pgbench_branches"),
            run("ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)"),
            run("ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid)"),
            run("ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid)")])
        indexes = " & ".join(run(f"CREATE {i}") for i in (
            "UNIQUE INDEX ON events (id)", "INDEX ON events (at)", "INDEX ON events (customer, at)", "INDEX ON events (kind)"))
        return (f"{self.tools}/pg_dump --section=pre-data '{s}' | {psql} '{t}' && "
                f"( ({accounts}) & ({copy('events')} && ({indexes} & wait)) & wait )")

    def run_once(self, command):
        self.sql(self.target, "DROP DATABASE IF EXISTS moved")
        self.sql(self.target, "CREATE DATABASE moved")
        for server in self.servers:
            self.sql(server, "CHECKPOINT")
        servers = sum(s.cpu() for s in self.servers)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        log = tempfile.TemporaryFile()
        child = subprocess.Popen(["/bin/bash", "-o", "pipefail", "-c", command], stdout=log, stderr=log,
                                 start_new_session=True)
        peak = watch_memory(child.pid)
        status = child.wait()
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if status != 0:
            log.seek(0)
            sys.exit(f"a tool failed with status {status}: {command}\n{log.read().decode(errors='replace')[-2000:]}")
        time.sleep(0.3)
        client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": wall, "client": client, "servers": sum(s.cpu() for s in self.servers) - servers, "peak": peak()}

    def run(self):
        self.fill()
        commands = self.commands()
        results = {name: [] for name in commands}
        for round_number in range(self.args.rounds):
            for name, command in commands.items():
                results[name].append(self.run_once(command))
                print(f"round {round_number + 1}: {name}: {results[name][-1]['wall']:.2f} s", file=sys.stderr)
        return results


def watch_memory(session):
    """Peak resident memory of a session, all its processes together, in MiB; sampled."""
    peak, done = [0], threading.Event()

    def sample():
        while not done.wait(0.1):
            peak[0] = max(peak[0], sum(int(f[21]) for f in processes() if int(f[3]) == session))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()

    def finish():
        done.set()
        thread.join()
        return peak[0] * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    return finish


WIDE = """
CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz NOT NULL, customer int NOT NULL, kind text NOT NULL,
  amount numeric(12,2), payload jsonb, note text, ok boolean);
INSERT INTO events (at, customer, kind, amount, payload, note, ok)
  SELECT '2020-01-01'::timestamptz + i * interval '20 s', (i * 7919) % 100000, 'kind' || i % 37, (i % 100000) / 100.0,
    jsonb_build_object('a', i, 'b', md5(i::text)), 'note ' || md5((i * 3)::text), i % 3 = 0
  FROM generate_series(1, %EVENTS%::bigint) i;
CREATE INDEX ON events (at); CREATE INDEX ON events (customer, at); CREATE INDEX ON events (kind);
"""

TINY = """
DO $$ BEGIN FOR i IN %FROM%..%TO% LOOP
  EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now())', i);
  EXECUTE format('INSERT INTO t%s SELECT n, ''row '' || n FROM generate_series(1, 10) n', i);
  EXECUTE format('CREATE INDEX ON t%s (name)', i);
END LOOP; END $$;
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=["wide", "tiny", "latency"], default="wide")
    parser.add_argument("--scale", type=float, default=1.0, help="of the wide workload")
    parser.add_argument("--tables", type=int, help="of the others; default 10000 and 300")
    parser.add_argument("--delay-ms", type=float, default=10, help="round trip of the latency workload")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--source", type=int, default=18, help="major of the source")
    parser.add_argument("--target", type=int, default=18, help="major of the target")
    parser.add_argument("--binary", default=f"{ROOT}/target/release/pg_migrator")
    parser.add_argument("--tools", help="folder with psql, pg_dump, pg_restore and pgbench; pgcopydb wants its own major's")
    parser.add_argument("--only", nargs="*", help="tools to run: pg_migrator pg_restore psql pgcopydb hand")
    parser.add_argument("--json", action="store_true", help="print every run as JSON on stdout")
    args = parser.parse_args()
    args.tables = args.tables or (10_000 if args.workload == "tiny" else 300)
    subprocess.check_call([f"{ROOT}/scripts/servers", str(args.source), str(args.target)])
    base = tempfile.mkdtemp(prefix="side_by_side.")
    os.chmod(base, 0o755)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = None
    try:
        bench = Bench(args, base)
        results = bench.run()
    finally:
        for server in bench.servers if bench else []:
            server.stop()
        shutil.rmtree(base, ignore_errors=True)
    if args.json:
        print(json.dumps(results))
        return

    def middle(runs, key):
        return statistics.median(run[key] for run in runs)

    ours = middle(results["pg_migrator"], "wall") if "pg_migrator" in results else float("nan")
    print(f"{'tool':12} {'wall s':>8} {'min':>7} {'max':>7} {'client CPU s':>13} {'servers CPU s':>14} {'peak MiB':>9} {'wall/ours':>10}")
    for name, runs in results.items():
        walls = [run["wall"] for run in runs]
        print(f"{name:12} {middle(runs, 'wall'):8.2f} {min(walls):7.2f} {max(walls):7.2f} {middle(runs, 'client'):13.2f} "
              f"{middle(runs, 'servers'):14.2f} {middle(runs, 'peak'):9.0f} {middle(runs, 'wall') / ours:10.2f}")


if __name__ == "__main__":
    main()
