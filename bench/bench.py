# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Workloads on directories, and a table of their rates. bench/run and bench/compare are the commands.

Every row is a rate (more is better), so that a ratio above 1 always means faster. Machines differ and are noisy: quote ratios of one
run on one machine, not the rates."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("WEFT_BUILD", os.path.join(ROOT, "build"))
WEFT = os.environ.get("WEFT", os.path.join(BUILD, "src/cli/weft"))
MDBENCH = os.path.join(BUILD, "bench/mdbench")
PEERS_DIR = "/var/tmp/weft-peers"


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*cmd, timeout=600, **kw):
    r = subprocess.run(cmd, capture_output=True, text=True, timeout=timeout, **kw)
    if r.returncode:
        raise RuntimeError(f"{' '.join(cmd)}: status {r.returncode}: {(r.stderr or r.stdout).strip()[-400:]}")
    return r.stdout


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3\n")


class Place:
    """A directory to measure; sync makes what was written there durable."""

    def __init__(self, name, path, sync=None):
        self.name, self.path = name, path
        self.sync = sync or (lambda: run("sync", "-f", path))


# ---- workloads: generators of (row, rate, unit) ---------------------------------------------------------------------------------


def mdbench(row, processes, size, where):
    def work(place, folder, scale):
        files = max(200, int(3000 * scale))
        out = run(MDBENCH, folder, str(processes), str(files), str(size), where)
        for line in out.splitlines():
            phase, rate = line.split("\t")
            yield f"{row} {phase}", float(rate), "/s"

    return work


def make_tree(path, scale):
    """Folders of small files with sizes as in a source tree, the same ones each time."""
    n = 0
    for d in range(max(5, int(80 * scale))):
        folder = os.path.join(path, f"dir{d % 9}", f"sub{d}")
        os.makedirs(folder)
        for i in range(50):
            n += 1
            with open(os.path.join(folder, f"file{i}.c"), "w") as f:
                f.write(f"/* {d} {i} */\n" + "int value;\n" * (n * 7919 % 900))
    return n


def trees(place, folder, scale):
    source = tempfile.mkdtemp(prefix="weft-tree-", dir="/var/tmp")
    try:
        files = make_tree(os.path.join(source, "tree"), scale)
        tar = os.path.join(source, "tree.tar")
        run("tar", "-C", source, "-cf", tar, "tree")
        tree, copy = os.path.join(folder, "tree"), os.path.join(folder, "copy")
        steps = [
            ("untar", False, ["tar", "-C", folder, "-xf", tar], True),
            ("find, cold", True, ["find", tree, "-type", "f", "-size", "+1k"], False),
            ("find, warm", False, ["find", tree, "-type", "f", "-size", "+1k"], False),
            ("grep -r", False, ["sh", "-c", f"grep -r not_in_there {tree} || true"], False),
            ("cp -r", False, ["cp", "-r", tree, copy], True),
            ("rm -rf", False, ["rm", "-rf", tree, copy], False),
        ]
        for row, cold, cmd, sync in steps:
            if cold:
                drop_caches()
            t0 = time.monotonic()
            run(*cmd)
            if sync:
                place.sync()
            yield row, (2 * files if row == "rm -rf" else files) / (time.monotonic() - t0), "files/s"
    finally:
        shutil.rmtree(source, ignore_errors=True)


def fio(row, direction, bandwidth, *options, cold=False, seconds=0):
    def work(place, folder, scale):
        if cold:
            drop_caches()
        args = ["fio", "--name=j", "--output-format=json", "--group_reporting", f"--directory={folder}", *options]
        if seconds:
            args += ["--time_based", f"--runtime={max(2, int(seconds * scale))}"]
        args = [re.sub(r"=(\d+)s([mk])$", lambda m: f"={max(1, int(int(m.group(1)) * scale))}{m.group(2)}", a) for a in args]
        out = json.loads(run(*args, cwd=folder))
        job = out["jobs"][0][direction]
        yield (row, job["bw_bytes"] / 1e6, "MB/s") if bandwidth else (row, job["iops"], "/s")

    return work


SEQ = ["--ioengine=psync", "--bs=1m", "--size=400sm", "--numjobs=2"]
RAND = ["--ioengine=psync", "--bs=4k", "--size=256sm", "--filename=rand"]


def groups():
    """Each group has a fresh folder on each place; its workloads see what the earlier ones left there."""
    return [
        [mdbench("empty files, own folders:", 2, 0, "own")],
        [mdbench("empty files, one folder:", 2, 0, "shared")],
        [mdbench("3,901 B files, own folders:", 2, 3901, "own")],
        [mdbench("3,901 B files, one folder:", 2, 3901, "shared")],
        [trees],
        [
            fio("1 MiB write + fsync, 2 files", "write", True, *SEQ, "--rw=write", "--end_fsync=1"),
            fio("1 MiB read, cold, 2 files", "read", True, *SEQ, "--rw=read", cold=True),
        ],
        [
            fio("47,008 B interleaved, one file", "write", True, "--ioengine=psync", "--rw=write:47008", "--bs=47008", "--size=100sm",
                "--numjobs=2", "--offset_increment=47008", "--filename=shared", "--end_fsync=1"),
        ],
        [
            fio(None, "write", True, "--ioengine=psync", "--rw=write", "--bs=1m", "--size=256sm", "--filename=rand", "--end_fsync=1"),
            fio("4 KiB random read, direct, 8 jobs", "read", False, *RAND, "--rw=randread", "--direct=1", "--numjobs=8", seconds=5),
            fio("4 KiB random write, direct, 8 jobs", "write", False, *RAND, "--rw=randwrite", "--direct=1", "--numjobs=8", seconds=5),
            fio("4 KiB random write + fsync", "write", False, *RAND, "--rw=randwrite", "--fsync=1", seconds=5),
        ],
    ]


def measure(places, scale, only):
    rows = {}
    for number, group in enumerate(groups()):
        for place in places:
            folder = os.path.join(place.path, f"bench.{os.getpid()}.{number}")
            os.mkdir(folder)
            try:
                for work in group:
                    for row, rate, unit in work(place, folder, scale):
                        if row and (not only or re.search(only, row)):
                            rows.setdefault(row, {"unit": unit})[place.name] = rate
                            say(f"{place.name:10} {row:40} {rate:12.0f} {unit}")
            except (RuntimeError, subprocess.TimeoutExpired, json.JSONDecodeError) as e:
                say(f"{place.name}: {e}")
            shutil.rmtree(folder, ignore_errors=True)
    return rows


# ---- the table ---------------------------------------------------------------------------------------------------------------------


def number(v):
    if v is None:
        return "-"
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def table(rows, names, ratios):
    """ratios: {heading: function of a row's rates that gives the divisor of Weft's, or None}"""
    lines = [["", "unit", *names, *ratios]]
    for row, r in rows.items():
        line = [row, r["unit"], *[number(r.get(n)) for n in names]]
        for f in ratios.values():
            base = f(r)
            line.append(f"{r['weft'] / base:.2f}" if base and r.get("weft") else "-")
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())


# ---- places ------------------------------------------------------------------------------------------------------------------------


class Cluster:
    def __init__(self, options):
        self.dir = tempfile.mkdtemp(prefix="weft-bench-", dir=options.dir)
        self.mount = os.path.join(self.dir, "mnt")
        self.local = os.path.join(self.dir, "local")
        os.mkdir(self.local)
        self.options = options

    def __enter__(self):
        try:
            run(WEFT, "up", "--dir", self.dir + "/c", "--mount", self.mount, "--meta", str(self.options.meta), "--storage",
                str(self.options.storage), "--backend", self.options.backend)
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run([WEFT, "destroy", "--dir", self.dir + "/c", "--yes"], capture_output=True)
        if os.path.ismount(self.mount):
            say(f"{self.mount} is still mounted; {self.dir} stays")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def places(self):
        return [Place("weft", self.mount, lambda: run(WEFT, "sync", self.mount)), Place("local", self.local)]


class Peer:
    """A file system that the script `peer` of the folder in $WEFT_PEERS brings up and down."""

    def __init__(self, script, name):
        self.script, self.name = script, name

    def up(self):
        say(f"bringing {self.name} up")
        run(self.script, self.name, "up", timeout=900)
        return Place(self.name, os.path.join(PEERS_DIR, self.name, "mnt"))

    def down(self):
        subprocess.run([self.script, self.name, "down"], capture_output=True, timeout=300)


def options_of(argv, about, compare):
    p = argparse.ArgumentParser(prog="compare" if compare else "run", description=about)
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    p.add_argument("--scale", type=float, default=1.0, help="size of the workloads, 1 is about a minute per file system")
    p.add_argument("--only", metavar="REGEX", help="show only rows that fit")
    p.add_argument("--dir", default="/var/tmp", help="local disk to use (default: /var/tmp)")
    p.add_argument("--meta", type=int, default=2, help="metadata targets (default: 2)")
    p.add_argument("--storage", type=int, default=4, help="storage targets (default: 4)")
    p.add_argument("--backend", default="disk", help="disk or mem (default: disk)")
    if compare:
        p.add_argument("peers", nargs="*", default=["gluster", "moosefs", "cephfs"], help="which peers (default: all)")
    return p.parse_args(argv)


def check_machine():
    if os.geteuid():
        sys.exit("bench: run as root: it mounts, and drops the page cache between phases")
    for path in (WEFT, MDBENCH):
        if not os.access(path, os.X_OK):
            sys.exit(f"bench: {path} is not built: run make first")
    for tool in ("fio", "tar", "find", "grep"):
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is not installed")


def main(argv, about, compare=False):
    options = options_of(argv, about, compare)
    check_machine()
    folder = os.environ.get("WEFT_PEERS") if compare else None
    if compare and not folder:
        say("WEFT_PEERS is not set (a folder with a script `peer NAME up|down`): Weft and the local disk only")
    peers = [Peer(os.path.join(folder, "peer"), n) for n in options.peers] if folder else []
    with Cluster(options) as cluster:
        places = cluster.places()
        rows = measure(places, options.scale, options.only)
        names = [p.name for p in places]
        for peer in peers:  # one at a time: they would share the processors
            try:
                place = peer.up()
                for row, r in measure([place], options.scale, options.only).items():
                    rows.setdefault(row, {"unit": r["unit"]}).update(r)
                names.append(peer.name)
            except (RuntimeError, subprocess.TimeoutExpired, OSError) as e:
                say(f"{peer.name}: {e}")
            finally:
                peer.down()
    ratios = {"weft/local": lambda r: r.get("local")}
    others = names[2:]
    if others:
        ratios["weft/best peer"] = lambda r: max((r[n] for n in others if n in r), default=None)
    if options.json:
        for r in rows.values():
            for heading, f in ratios.items():
                base = f(r)
                r[heading] = r["weft"] / base if base and r.get("weft") else None
        print(json.dumps([{"row": k, **v} for k, v in rows.items()], indent=2))
    else:
        table(rows, names, ratios)
    return 0 if all("weft" in r for r in rows.values()) and rows else 1
