#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The floors under Filigree's speed, measured against the peers in one run: `./dev bench --floors` builds what this needs and starts it.

Prints one table and writes bench.json into the build folder: an object a row with name, peer, ratio, p10, bound, met, isa. Ratios are
ours over the peer's speed, above 1 is faster; in the rows of compilation they are what the name says, p10 is then the 90th percentile
and the bound an upper one. Both sides take turns, so that a load on the machine meets both. docs/performance.md says more.
"""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import time

os.environ["FIL_CACHE_BYTES"] = "0"  # compilations are cold
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHARLM = os.path.join(ROOT, "examples", "02_charlm", "charlm.fil")
AVX2_PEERS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def cpu():
    text = open("/proc/cpuinfo").read()
    flags = set(re.search(r"^flags\s*:(.*)", text, re.M).group(1).split())
    name = " ".join(re.search(r"^model name\s*:(.*)", text, re.M).group(1).split())
    family, model = (re.search(rf"^{k}\s*: (\d+)", text, re.M).group(1) for k in ("cpu family", "model"))
    avx512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags
    return f"{name} (family {family}, model {model}, {os.cpu_count()} cores)", avx512


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


def environment(folder):
    """A Python with PyTorch and NumPy in `folder`; kept from run to run."""
    python = os.path.join(folder, "bin", "python")
    try:
        if subprocess.run([python, "-c", "import torch, numpy"], capture_output=True).returncode == 0:
            return python
    except FileNotFoundError:
        pass
    print(f"installing PyTorch and NumPy into {os.path.relpath(folder, ROOT)}: minutes and 5 GB, once", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "torch", "numpy"], check=True, stdout=sys.stderr)
    return python


class Machine:
    """How much of the machine other processes took since the last question, in percent of all cores."""
    TICK = os.sysconf("SC_CLK_TCK")

    def __init__(self, processes):
        self.processes = processes
        self.last = self.now()

    def now(self):
        fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / self.TICK
        times = os.times()
        ours = times.user + times.system + times.children_user + times.children_system
        for p in self.processes:
            rest = open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()
            ours += (int(rest[11]) + int(rest[12])) / self.TICK
        return time.monotonic(), busy, ours

    def others(self):
        (t, busy, ours), self.last = self.last, self.now()
        seconds = max(self.last[0] - t, 1e-3) * os.cpu_count()
        return max(0.0, 100 * (self.last[1] - busy - self.last[2] + ours) / seconds)


class Driver:
    """A process that stays warm and does what a line says; idle meanwhile."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
        self.ready = self.read()

    def read(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended")
        return line

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [float(x) for x in self.read().split()]

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()


class Table:
    def __init__(self):
        self.rows, self.disturbed = [], 0
        print(f"{'what':48} {'peer':18} {'isa':10} {'ratio':>7} {'p10':>7} {'bound':>6}  {'met':3}  {'others':>6}  ours, peer", flush=True)

    def add(self, name, peer, isa, values, bound, others, detail, upper=False, wall=True):
        self.write(name, peer, isa, percentile(values, 0.5), percentile(values, 0.9 if upper else 0.1), bound, others, detail, upper, wall)

    def write(self, name, peer, isa, ratio, edge, bound, others, detail, upper=False, wall=False):
        met = ratio <= bound and edge <= 1.05 * bound if upper else ratio >= bound and edge >= 0.95 * bound
        met = met and "WRONG" not in detail
        self.rows.append({"name": name, "peer": peer, "ratio": round(ratio, 3), "p10": round(edge, 3), "bound": bound, "met": met, "isa": isa})
        if wall and others > 5:
            self.disturbed += 1
            self.rows[-1]["disturbed"] = True
            detail += "; disturbed"
        limit = ("<=" if upper else "") + f"{bound:.2f}"
        print(f"{name:48} {peer:18} {isa:10} {ratio:7.3f} {edge:7.3f} {limit:>6}  {'yes' if met else 'NO':3}  {others:4.0f} %  {detail}", flush=True)


def contractions(table, bench, isa, pairs):
    command = [bench, "--target", isa, "--sizes", "1024x1024x1024,1000x1000x1000", "--pairs", str(pairs)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **(AVX2_PEERS if isa == "x86-64-v3" else {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    machine = Machine([process])
    for line in process.stdout:
        m = re.match(r"(\S+) (\S+) +packed +ratio (\S+) p10 (\S+) +(\S+) to +(\S+) GF/s", line)
        if m:
            size, orientation, ratio, p10, ours, theirs = m.groups()
            table.write(f"f32 contraction {size} {orientation}, 1 thread", "oneDNN packed", isa, float(ratio), float(p10), 0.80, machine.others(),
                        f"{ours}, {theirs} GFLOP/s" + (" WRONG" if "WRONG" in line else ""))
    if process.wait():
        raise SystemExit("gemm_bench failed")


def charlm(table, bench, python, isa, pairs, threads, profile):
    both = ["--threads", str(threads)] + (["--cpu-time"] if threads == 1 else [])
    ours = Driver([bench, CHARLM, "--plan", "laptop", "--target-cpu", isa, *both], {})
    peer = Driver([python, os.path.join(HERE, "charlm_torch.py"), *both], AVX2_PEERS if isa == "x86-64-v3" else {})
    name = "torch " + peer.ready.split()[2].split("+")[0] + " eager"
    one = ", 1 thread" if threads == 1 else ""
    machine = Machine([ours.process, peer.process])

    def turns(line, seconds):
        times = {ours: [], peer: []}
        for i in range(-1, pairs):  # the first pair warms up
            for side in (ours, peer) if i % 2 else (peer, ours):
                time.sleep(0.05)  # the other side's threads go to sleep
                t = seconds(side.ask(line))
                if i >= 0:
                    times[side].append(t)
        return times[ours], times[peer]

    first = [side.ask("step 1")[-1] for side in (ours, peer)]
    machine.others()
    mine, theirs = turns("step 2", lambda a: sum(a[:2]) / 2)
    last = [side.ask("step 1")[-1] for side in (ours, peer)]
    wrong = "" if all(4 < f < 8 for f in first) and abs(last[0] - last[1]) < 1 and last[0] < first[0] - 0.2 else " WRONG"
    table.add("training step charlm L=4 D=128, 32 x 128" + one, name, isa, [t / m for m, t in zip(mine, theirs)], 1.0, machine.others(),
              f"{percentile(mine, 0.5):.3f}, {percentile(theirs, 0.5):.3f} s; losses {first[0]:.2f} to {last[0]:.2f}, {first[1]:.2f} to {last[1]:.2f}{wrong}", wall=threads > 1)
    mine, theirs = turns("decode 128", lambda a: a[0])
    table.add("decoding charlm, 128 tokens, B=1" + one, name, isa, [t / m for m, t in zip(mine, theirs)], 3.0, machine.others(),
              f"{128 / percentile(mine, 0.5):.0f}, {128 / percentile(theirs, 0.5):.0f} tokens/s", wall=threads > 1)
    for what, n in (("step", 5), ("decode", 128)) if profile else ():
        ours.process.stdin.write(f"profile {what} {n} {os.path.abspath(profile)}_{what}.txt\n")
        ours.process.stdin.flush()
        ours.read()
    ours.close()
    peer.close()


def compilation(table, fil, isa, pairs):
    def seconds(layers):
        command = [fil, "compile", CHARLM, "--plan", "laptop", "--dim", f"L={layers}", "--target-cpu", isa, "--timing"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return float(re.search(r"^sum +(\S+) s", done.stderr, re.M).group(1))
    six, many = [], []
    machine = Machine([])
    for i in range(pairs):
        for layers, times in ((6, six), (48, many)) if i % 2 else ((48, many), (6, six)):
            times.append(seconds(layers))
    others = machine.others()
    table.add("compiling charlm training, L=6, cold, s", "-", isa, six, 5.0, others, f"{min(six):.2f} s at best", upper=True)
    table.add("the same, L=48 over L=6", "-", isa, [m / s for m, s in zip(many, six)], 1.2, others, f"{percentile(many, 0.5):.2f}, {percentile(six, 0.5):.2f} s", upper=True)


def main():
    ap = argparse.ArgumentParser(prog="./dev bench --floors", description=__doc__.split("\n")[0])
    ap.add_argument("--build", default=os.path.join(ROOT, "build"))
    ap.add_argument("--pairs", type=int, default=21, help="of turns; fewer only to try this script")
    ap.add_argument("--target-cpu", default="native", choices=["native", "x86-64-v3"], help="x86-64-v3: every row with AVX2 on both sides")
    ap.add_argument("--threads", type=int, default=2, choices=[1, 2], help="of step and decoding; 1: by CPU time, for a machine that is not quiet")
    ap.add_argument("--only", default="gemm,charlm,compile", help="parts, with commas: gemm, charlm, compile")
    ap.add_argument("--profile", metavar="PREFIX", help="launches by time, to PREFIX_step.txt and PREFIX_decode.txt")
    a = ap.parse_args()
    parts, build = a.only.split(","), os.path.abspath(a.build)
    binary = lambda name: os.path.join(build, "bin", name)
    python = environment(os.path.join(build, "peers")) if "charlm" in parts else None
    name, avx512 = cpu()
    isa = "x86-64-v4" if avx512 and a.target_cpu == "native" else "x86-64-v3"
    print(f"{datetime.date.today()}  {name}, {isa}, load {os.getloadavg()[0]:.1f}, {a.pairs} pairs")
    table = Table()
    if "gemm" in parts:
        for each in dict.fromkeys([isa, "x86-64-v3"]):
            contractions(table, binary("gemm_bench"), each, a.pairs)
    if "charlm" in parts:
        charlm(table, binary("charlm_bench"), python, isa, a.pairs, a.threads, a.profile)
    if "compile" in parts:
        compilation(table, binary("fil"), isa, a.pairs)
    path = os.path.join(build, "bench.json")
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join("  " + json.dumps(row) for row in table.rows) + "\n]\n")
    if table.disturbed:
        print(f"{table.disturbed} rows in wall time while others took more than 5 % of the machine: they say how each side bears a load; run again on a quiet one")
    missed = sum(not row["met"] for row in table.rows)
    print(f"{len(table.rows) - missed} of {len(table.rows)} met; {os.path.relpath(path, ROOT)} written")
    return 0


sys.exit(main())
