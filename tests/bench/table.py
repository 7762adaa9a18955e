#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Filigree's speed beside its peers, measured in one run: `./dev bench` builds what this needs and starts it.

Prints one table and writes bench.json into the build folder: an object a row. A ratio is ours over the peer's speed, above 1 is faster,
or what the row's name says; of an upper bound p10 is the 90th percentile. Both sides take turns, so that a load on the machine meets
both. docs/performance.md says what each row is.
"""
import argparse
import datetime
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from side import Side

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHARLM = os.path.join(ROOT, "examples", "02_charlm", "charlm.fil")
MOE = os.path.join(ROOT, "examples", "03_moe", "moe.fil")
AVX2_PEERS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
# An allocator that keeps its memory, on huge pages. PyTorch's own advice for CPUs (a background thread, oversize_threshold:1, decay after years)
# makes the training step of charlm half as long again as this, and 1.4 times as long as with the C library's.
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
ALLOCATOR = {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0"}


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


def differs(results, reference):
    """The largest distance of results, relative to the largest value; NaN that nobody wrote is infinite."""
    most = 0.0
    for name, ours in results.items():
        theirs = reference[name]
        if None in ours or len(ours) != len(theirs):
            return float("inf")
        most = max(most, max(abs(a - b) for a, b in zip(ours, theirs)) / max(max(map(abs, theirs)), 1e-30))
    return most


def wrong(reference, *sides):
    """What stands in the table where a side does not agree with float64."""
    distances = [differs(s.results(), reference) for s in sides]
    return "".join(f" WRONG ({d:.1e})" for d in distances if not d < 1e-4)


class Bench:
    """What rows are made of: our side, the peers, and the table that they end in."""

    def __init__(self, a):
        self.a, self.build, self.pairs = a, os.path.abspath(a.build), a.pairs
        self.name, avx512 = cpu()
        self.isa = "x86-64-v4" if avx512 and a.target_cpu == "native" else "x86-64-v3"
        self.avx2 = self.isa == "x86-64-v3"
        self.env = AVX2_PEERS if self.avx2 else {}
        self.python = environment(os.path.join(self.build, "peers"))
        self.rows, self.processes, self._torch = [], [], None
        print(f"{datetime.date.today()}  {self.name}, {self.isa}, load {os.getloadavg()[0]:.1f}, {self.pairs} pairs")
        print(f"{'what':64} {'peer':18} {'ratio':>8} {'p10':>8} {'bound':>7}  {'met':3}  {'share':>5} {'others':>6}  ours, peer", flush=True)

    def binary(self, name):
        return os.path.join(self.build, "bin", name)

    def side(self, command, env={}):
        side = Side(command, env)
        self.processes.append(side.process)
        return side

    def close(self, *sides):
        for s in sides:
            s.close()
            self.processes.remove(s.process)

    def ours(self, files, threads, *options, dims={}, sizes={}, cpu_time=None):
        """One thread by CPU time unless said otherwise."""
        command = [self.binary("program_bench"), *[os.path.join(HERE, f) for f in files.split()], "--target-cpu", self.isa, "--threads", threads, *options]
        for flag, all in (("--dim", dims), ("--size", sizes)):
            for d, n in all.items():
                command += [flag, f"{d}={n}"]
        return self.side(command + (["--cpu-time"] if (threads == 1 if cpu_time is None else cpu_time) else []))

    def onednn(self, m, n, k, threads, *options):
        command = [self.binary("onednn_bench"), m, n, k, "--threads", threads, *options] + (["--avx2"] if self.avx2 else [])
        return self.side(command + (["--cpu-time"] if threads == 1 else []), {**self.env, "OMP_NUM_THREADS": str(threads)})

    def python_side(self, file, *options):
        cache = {"TORCHINDUCTOR_CACHE_DIR": os.path.join(self.build, "peers", "inductor-" + self.isa)}
        allocator = ALLOCATOR if os.path.exists(JEMALLOC) else {}
        return self.side([self.python, os.path.join(HERE, file), *options] + (["--avx2"] if self.avx2 else []), {**self.env, **cache, **allocator})

    def torch(self, name, mode, dims):
        """The process of torch_bench.py, one for all rows, with this one loaded."""
        if not self._torch:
            self._torch = self.python_side("torch_bench.py")
        self._torch.ask(f"load {name} {mode} {json.dumps(dims)}")
        self._torch.calls = None
        return self._torch

    def reference(self, name, dims):
        return self.torch(name, "eager", dims).results("reference")

    def row(self, name, peer, bound, mine, theirs=lambda: 1.0, *, ratio=lambda ours, theirs: theirs / ours, share=None, upper=False, unit="ms", note=""):
        """`mine` and `theirs` give the seconds of a turn; `share` the share of a ceiling from the median of ours."""
        for again in (False, True):
            machine, pairs = Machine(self.processes), []
            for i in range(self.pairs):
                first, second = (mine, theirs) if i % 2 else (theirs, mine)
                a, b = first(), second()
                pairs.append((a, b) if i % 2 else (b, a))
            others = machine.others()
            if others <= 5:
                break
        ratios = [ratio(a, b) for a, b in pairs]
        ours, peers = (percentile([p[k] for p in pairs], 0.5) for k in (0, 1))
        scale = {"ms": 1e3, "s": 1, "": 1}[unit]
        detail = (f"{ours * scale:.3f}" + (f", {peers * scale:.3f}" if peer != "-" else "") + f" {unit}").strip() + note
        self.add(name, peer, bound, percentile(ratios, 0.5), percentile(ratios, 0.9 if upper else 0.1), others, share and share(ours), upper, detail)

    def add(self, name, peer, bound, middle, edge, others, share, upper, detail):
        met = middle <= bound and edge <= 1.05 * bound if upper else middle >= bound and edge >= 0.95 * bound
        met = met and "WRONG" not in detail
        row = {"name": name, "peer": peer, "ratio": round(middle, 4), "p10": round(edge, 4), "bound": bound, "met": met,
               "isa": self.isa, "others": round(others / 100, 3)}
        if share is not None:
            row["share"] = round(share, 3)
        if others > 5:
            row["disturbed"] = True
            detail += "; disturbed"
        self.rows.append(row)
        limit = ("<=" if upper else "") + f"{bound:g}"
        part = f"{share:.2f}" if share is not None else ""
        print(f"{name:64} {peer:18} {middle:8.3f} {edge:8.3f} {limit:>7}  {'yes' if met else 'NO':3}  {part:>5} {others:4.0f} %  {detail}", flush=True)


ORIENTATIONS = {"NN": "Plain", "NT": "TransposedB", "TN": "TransposedA", "TT": "BothTransposed"}


def plural(threads):
    return f"{threads} thread" + "s" * (threads > 1)


def peak_share(ours, flops):
    return lambda seconds: flops / seconds / ours.number("fma")


def contraction(b):
    sizes = [(1024, 1024, 1024), (1000, 1000, 1000)] if b.a.floors else [(512,) * 3, (1024,) * 3, (2048,) * 3, (1000,) * 3, (256, 3072, 768)]
    for m, n, k in sizes:
        dims = dict(M=m, N=n, K=k)
        for letters, model in ORIENTATIONS.items():
            ours = b.ours("contractions.fil", 1, "--model", model, dims=dims)
            peer = b.onednn(m, n, k, 1, *[f"--transposed-{x}" for x, t in zip("ab", letters) if t == "T"])
            note = wrong(b.reference(model, dims), ours, peer)
            b.row(f"f32 contraction {m}x{n}x{k} {letters}, 1 thread", "oneDNN packed", 0.80 if b.a.floors else 0.95, ours.turn, peer.turn,
                  share=peak_share(ours, 2 * m * n * k), note=note)
            b.close(ours, peer)


def batched(b):
    for g, m, n, k, model in ((128, 128, 32, 128, "Batched"), (64, 48, 1408, 2048, "Experts")):
        dims = dict(G=g, M=m, N=n, K=k)
        ours = b.ours("contractions.fil", 1, "--model", model, dims=dims)
        peer = b.onednn(m, n, k, 1, "--batch", g, *(["--plain"] if model == "Batched" else []))
        note = wrong(b.reference(model, dims), ours, peer)
        b.row(f"batched {g} x ({m}x{n}x{k}), 1 thread", "oneDNN batched", 0.95, ours.turn, peer.turn, share=peak_share(ours, 2 * g * m * n * k), note=note)
        b.close(ours, peer)


def epilogue(b):
    for m, n, k in ((1024,) * 3, (256, 3072, 768)):
        dims = dict(M=m, N=n, K=k)
        ours, bare = (b.ours("contractions.fil", 1, "--model", model, dims=dims) for model in ("Epilogue", "Plain"))
        note = wrong(b.reference("Epilogue", dims), ours)
        b.row(f"{m}x{n}x{k} with bias, SiLU and residual, 1 thread", "ours, bare", 0.97, ours.turn, bare.turn, share=peak_share(ours, 2 * m * n * k), note=note)
        b.close(ours, bare)


def threads(b):
    two, one = (b.ours("contractions.fil", t, "--model", "Plain", cpu_time=False) for t in (2, 1))
    b.row("1024x1024x1024, 2 threads", "ours, 1 thread", 1.85, two.turn, one.turn, share=lambda s: 2 * 1024 ** 3 / s / (2 * one.number("fma")))
    b.close(two, one)


def matvec(b):
    size = 8 * 4096 * 4096 * 4
    for count in (1, 2):
        ours = b.ours("skinny.fil", count, "--model", "Chain")
        note = wrong(b.reference("Chain", dict(M=1, D=4096)), ours)
        b.row(f"matrix x vector 4096x4096, 8 matrices in turn, {plural(count)}", "reading memory", 0.85, ours.turn, lambda: ours.number(f"read {size}"), note=note)
        b.close(ours)


def skinny(b):
    size = 8 * 4096 * 4096 * 4
    for m in (8, 16):
        ours, peer = b.ours("skinny.fil", 1, "--model", "Chain", dims=dict(M=m)), b.onednn(m, 4096, 4096, 1, "--chain", 8)
        note = wrong(b.reference("Chain", dict(M=m, D=4096)), ours, peer)
        b.row(f"M={m} x 4096x4096, 8 matrices in turn, 1 thread", "oneDNN prepacked", 1.0, ours.turn, peer.turn,
              share=lambda s: ours.number(f"read {size}") / s, note=note)
        b.close(ours, peer)


# Arrays of R x X that a function reads and writes at least: forward, and with its gradient (the result is an output there too).
ROW_FUNCTIONS = {"Softmax": (2, 4), "RMSNorm": (2, 4), "SwiGLU": (3, 6), "CrossEntropy": (1, 2)}


def rows(b):
    for r in (4096, 1024):
        dims = dict(R=r, X=1024)
        for function, arrays in ROW_FUNCTIONS.items():
            for backward, moved in zip((False, True), arrays):
                model, what = (function + "Backward", "forward and backward") if backward else (function, "forward")
                loss = ("--loss", "itself" if function == "CrossEntropy" else "along", "--entry", "grad") if backward else ()
                ours = b.ours("rows_backward.fil" if backward else "rows.fil", 2, "--model", model, *loss, dims=dims)
                reference = b.reference(model, dims)
                name, copied = f"{function} {r}x1024 {what}, 2 threads", moved * r * 1024 * 4
                for mode, bound in (("eager", 2.5), ("compile", 1.0)):
                    peer = b.torch(model, mode, dims)
                    b.row(name, "torch " + mode, bound, ours.turn, peer.turn, note=wrong(reference, ours, peer))
                b.row(name, "copying memory", 0.60, ours.turn, lambda: ours.number(f"copy {copied}"), note=wrong(reference, ours))
                b.close(ours)


def attention(b):
    dims = dict(B=4, H=12, T=1024, S=1024, N=64)
    for model, what, products in (("Attention", "forward", 2), ("AttentionBackward", "forward and backward", 7)):
        ours = b.ours("attention.fil", 2, "--model", model, *(("--loss", "along", "--entry", "grad") if products > 2 else ()), dims=dims)
        reference, peer = b.reference(model, dims), b.torch(model, "eager", dims)
        flops = products * 2 * 4 * 12 * 1024 * 1024 * 64 / 2 # the half that causality leaves
        b.row(f"causal attention B4 H12 T1024 N64, {what}, 2 threads", "torch fused", 0.90, ours.turn, peer.turn,
              share=lambda s: flops / s / (2 * ours.number("fma")), note=wrong(reference, ours, peer))
        b.close(ours)


def learns(sides, before):
    """Losses of both start and fall together, on one batch of random tokens each."""
    after = [s.results()["loss"][0] for s in sides]
    wrong = "" if abs(before[0] - before[1]) < 0.3 and all(x < y for x, y in zip(after, before)) else " WRONG"
    return "; losses " + ", ".join(f"{x:.2f} to {y:.2f}" for x, y in zip(before, after)) + wrong


CHARLM_SIZES = {"L=4 D=128": dict(L=4, D=128, H=4), "L=6 D=384": dict(L=6, D=384, H=6)}


def charlm_ours(b, dims):
    return b.ours(CHARLM, b.a.threads, "--plan", "laptop", "--entry", "step", dims=dims, sizes=dict(B=32, T=128))


def charlm_torch(b, dims, mode):
    options = [word for d, n in dims.items() for word in (f"--{d}", n)] + ["--threads", b.a.threads, "--mode", mode]
    return b.python_side("charlm_torch.py", *options, *(["--cpu-time"] if b.a.threads == 1 else []))


def charlm(b):
    count = ", " + plural(b.a.threads)
    for name, dims in list(CHARLM_SIZES.items())[:1 if b.a.floors else None]:
        for mode, bound in (("eager", 1.0 if b.a.floors else 1.5), ("compile", 1.0), ("max-autotune", 1.0))[:1 if b.a.floors else None]:
            ours, peer = charlm_ours(b, dims), charlm_torch(b, dims, mode)
            before = [s.results()["loss"][0] for s in (ours, peer)]
            for _ in range(3):
                ours.turn(), peer.turn()
            note = learns((ours, peer), before)
            b.row(f"training step charlm {name}, 32 x 128{count}", "torch " + mode, bound, ours.turn, peer.turn, note=note)
            if b.a.profile and mode == "eager":
                ours.ask(f"profile run 5 {os.path.abspath(b.a.profile)}_step_{name.replace(' ', '_')}.txt")
            b.close(ours, peer)


def decode(b):
    count = ", " + plural(b.a.threads)
    ours, peer = charlm_ours(b, CHARLM_SIZES["L=4 D=128"]), charlm_torch(b, CHARLM_SIZES["L=4 D=128"], "eager")
    turn = lambda s: lambda: s.number("decode 128") / 128
    turn(ours)(), turn(peer)()
    b.row(f"decoding charlm L=4 D=128, a token of 128{count}", "torch eager", 3.0 if b.a.floors else 20, turn(ours), turn(peer))
    b.close(peer)
    if b.a.profile:
        ours.ask(f"profile decode 128 {os.path.abspath(b.a.profile)}_decode.txt")
    b.close(ours)
    if b.a.floors:
        return
    d, layers = 384, 6
    size = 4 * (layers * (4 * d * d + 3 * d * 4 * d + 2 * d) + 256 * d + d) # every param is read once
    ours = charlm_ours(b, CHARLM_SIZES["L=6 D=384"])
    turn(ours)()
    b.row(f"decoding charlm L=6 D=384, a token of 128{count}", "reading memory", 0.75, turn(ours), lambda: ours.number(f"read {size}"))
    b.close(ours)


def moe(b):
    options = ("--loss", "along", "--entry", "grad")
    mixture, dense = (b.ours(f"{MOE} feed_forward.fil", 2, "--model", m, *options, sizes=dict(B=32, T=128)) for m in ("Mixture", "Dense"))
    flops = 3 * 2 * 32 * 128 * 3 * 128 * 512
    b.row("03_moe feed-forward, forward and backward, 2 threads", "ours, dense", 0.75, mixture.turn, dense.turn, share=lambda s: flops / s / (2 * mixture.number("fma")))
    b.close(mixture, dense)


class Command:
    """`fil` with a cache of its own, in new processes."""

    def __init__(self, b):
        self.fil, self.isa = b.binary("fil"), b.isa
        self.folder = os.path.join(b.build, "bench_compile")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.text, self.out = os.path.join(self.folder, "text"), os.path.join(self.folder, "out")
        with open(self.text, "wb") as f:
            f.write(random.Random(7).randbytes(1 << 20))

    def run(self, *arguments, cache=True):
        env = {**os.environ, "FIL_CACHE_DIR": os.path.join(self.folder, "cache"), **({} if cache else {"FIL_CACHE_BYTES": "0"})}
        done = subprocess.run([self.fil, *arguments], capture_output=True, text=True, errors="replace", env=env)
        if done.returncode:
            raise SystemExit(done.stderr)
        return done

    def train(self, *options, cache=True):
        """Seconds from exec to the first launch."""
        done = self.run("train", CHARLM, "--plan", "laptop", "--data", self.text, "--steps", "1", "--out", self.out, "--target-cpu", self.isa, "--timing",
                        *options, cache=cache)
        return float(re.search(r"^sum +(\S+) s", done.stderr, re.M).group(1))

    def compile(self, layers):
        done = self.run("compile", CHARLM, "--plan", "laptop", "--dim", f"L={layers}", "--target-cpu", self.isa, "--timing", cache=False)
        return float(re.search(r"^sum +(\S+) s", done.stderr, re.M).group(1))

    def kernels(self):
        return len(re.findall(r"^kernel ", self.run("cache", "list").stdout, re.M))


def compilation(b):
    command, itself = Command(b), lambda ours, theirs: ours
    L6 = ("--dim", "L=6")
    b.row("compiling charlm training L=6, exec to first launch, cold, s", "-", 5.0 if b.a.floors else 1.0, lambda: command.train(*L6, cache=False),
          ratio=itself, upper=True, unit="s")
    b.row("cold, L=48 over L=6", "ours, L=6", 1.2 if b.a.floors else 1.1, lambda: command.compile(48), lambda: command.compile(6),
          ratio=lambda ours, theirs: ours / theirs, upper=True, unit="s")
    if b.a.floors:
        return
    command.train(*L6)
    b.row("the same from the cache, a new process, s", "-", 0.1, lambda: command.train(*L6), ratio=itself, upper=True, unit="s")
    # What is not compiled anew is in the cache: kernels are counted there.
    command.train()
    weights = ("--weights", os.path.join(command.out, "last.safetensors"), "--target-cpu", b.isa)
    sample = lambda tokens: command.run("sample", CHARLM, *weights, "--tokens", str(tokens))
    for name, before, after in (("second batch size, kernels compiled", command.train, lambda: command.train("--set", "train.batch=48")),
                                ("1,000 decoded positions, kernels compiled", lambda: sample(1), lambda: sample(1000))):
        before()
        had = command.kernels()
        after()
        new = command.kernels() - had
        b.add(name, "-", 0, new, new, 0.0, None, True, f"of {had}")


def launch(b):
    ours = b.ours("launches.fil", 2, cpu_time=False)
    b.row("a launch of a small kernel, us", "-", 0.3, lambda: ours.number("run 1 20") / 1000, ratio=lambda t, theirs: t * 1e6, upper=True)
    b.row("fork and join, 2 threads, us", "-", 1, lambda: ours.number("fork 1001"), ratio=lambda t, theirs: t * 1e6, upper=True)
    b.close(ours)


def version(b):
    def seconds():
        start = time.perf_counter()
        subprocess.run([b.binary("fil"), "--version"], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start
    b.row("fil --version, ms", "-", 20, seconds, ratio=lambda ours, theirs: ours * 1e3, upper=True)


def loaded(b):
    """One core busy with another process: the slow-down of either side, and the two beside each other."""
    ours, peer = b.ours("contractions.fil", 2, "--model", "Plain"), b.onednn(1024, 1024, 1024, 2)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    b.processes.append(busy)
    try:
        def slowdown(side):
            def turn():
                busy.send_signal(signal.SIGSTOP)
                time.sleep(0.05)
                idle = side.turn()
                busy.send_signal(signal.SIGCONT)
                time.sleep(0.05)
                return side.turn() / idle
            return turn
        b.row("1024x1024x1024, 2 threads: slow-down with one core busy", "oneDNN's", 1.5, slowdown(ours), slowdown(peer),
              ratio=lambda ours, theirs: ours, upper=True, unit="")
        busy.send_signal(signal.SIGCONT)
        b.row("1024x1024x1024, 2 threads, one core busy", "oneDNN packed", 1.0, ours.turn, peer.turn)
    finally:
        busy.kill()
        busy.wait()
        b.processes.remove(busy)
    b.close(ours, peer)


PARTS = {f.__name__: f for f in (contraction, batched, epilogue, threads, matvec, skinny, rows, attention, charlm, decode, moe)}
PARTS |= {"compile": compilation, "launch": launch, "version": version}
FLOORS = ["contraction", "charlm", "decode", "compile"]


def main():
    ap = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    ap.add_argument("--build", default=os.path.join(ROOT, "build"))
    ap.add_argument("--pairs", type=int, default=21, help="of turns; fewer only to try this script")
    ap.add_argument("--target-cpu", default="native", choices=["native", "x86-64-v3"], help="x86-64-v3: every row with AVX2 on both sides")
    ap.add_argument("--threads", type=int, default=2, choices=[1, 2], help="of charlm; 1: by CPU time, for a machine that is not quiet")
    ap.add_argument("--only", metavar="PART,..", help="parts of the table: " + " ".join(PARTS))
    ap.add_argument("--floors", action="store_true", help="the rows that have a floor, held against it")
    ap.add_argument("--loaded", action="store_true", help="one core busy with another process")
    ap.add_argument("--profile", metavar="PREFIX", help="launches of charlm by time, to PREFIX_step_SIZES.txt and PREFIX_decode.txt")
    a = ap.parse_args()
    parts = a.only.split(",") if a.only else FLOORS if a.floors else list(PARTS)
    for p in parts:
        if p not in PARTS:
            ap.error(f"no part `{p}`; there are: {' '.join(PARTS)}")
    b = Bench(a)
    if a.loaded:
        loaded(b)
    else:
        for p in parts:
            PARTS[p](b)
    path = os.path.join(b.build, "bench.json")
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join("  " + json.dumps(row) for row in b.rows) + "\n]\n")
    disturbed = sum("disturbed" in row for row in b.rows)
    if disturbed:
        print(f"{disturbed} rows while others took more than 5 % of the machine, twice: run again on a quiet one")
    print(f"{sum(row['met'] for row in b.rows)} of {len(b.rows)} met; {os.path.relpath(path, ROOT)} written")
    return 0


sys.exit(main())
