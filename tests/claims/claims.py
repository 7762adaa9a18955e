#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What plans are claimed to do, measured anew: `./dev claims [ROW..]` builds the command and starts this.

Prints a row for each claim and writes claims.json into the build folder: an object a row. Accuracies are of held-out text, three seeds, both sides
with the same seed, data and order; times are medians of pairs that take turns. `--data FINE` takes another text to tune on, `--mnist FOLDER` other digits.
"""
import argparse
import array
import datetime
import gzip
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "bench"))
from side import Side
ROOT = os.path.dirname(os.path.dirname(HERE))
CHARLM = os.path.join(ROOT, "examples", "02_charlm", "charlm.fil")
PLANS = os.path.join(HERE, "lora.plan.fil")
D = "D=256"


def cpu():
    text = open("/proc/cpuinfo").read()
    name = " ".join(re.search(r"^model name\s*:(.*)", text, re.M).group(1).split())
    family, model = (re.search(rf"^{k}\s*: (\d+)", text, re.M).group(1) for k in ("cpu family", "model"))
    return f"{name} (family {family}, model {model}, {os.cpu_count()} cores)", " avx512f " in text


class Claims:
    def __init__(self, options):
        self.fil, self.out, self.target = options.fil, options.out, options.target_cpu
        os.makedirs(self.out, exist_ok=True)
        self.text = os.path.join(self.out, "fortunes.txt")  # of the demo
        if not os.path.exists(self.text):
            subprocess.run([sys.executable, os.path.join(ROOT, "tools", "demo", "fortunes.py"), self.text], check=True)
        self.fine, self.mnist = os.path.abspath(options.data), os.path.abspath(options.mnist)
        self.rows = []

    def path(self, *parts):
        return os.path.join(self.out, *parts)

    def run(self, *args):
        r = subprocess.run([self.fil, *args, "--target-cpu", self.target], capture_output=True, text=True)
        if r.returncode:
            sys.exit(f"fil {' '.join(args)}\n{r.stderr[-2000:]}")
        return r.stdout + r.stderr

    def train(self, plan, data, folder, *more):
        """The lines of its metrics."""
        self.said = self.run("train", CHARLM, PLANS, "--plan", plan, "--data", data, "--out", folder, *more)
        with open(os.path.join(folder, "metrics.jsonl")) as f:
            return [json.loads(line) for line in f]

    def metrics(self, *args, folder):
        self.run("train", *args, "--out", self.path(folder))
        with open(self.path(folder, "metrics.jsonl")) as f:
            return [json.loads(line) for line in f]

    def random_npy(self, name, shape):
        if not os.path.exists(self.path(name)):
            write_npy(self.path(name), shape, [random.gauss(0, 1) for _ in range(shape[0] * shape[1])], "f")

    def base(self):
        """A model of the demo's text, trained once."""
        folder = self.path("base")
        if not os.path.exists(os.path.join(folder, "last.safetensors")):
            self.train("base", self.text, folder, "--dim", D)
        return os.path.join(folder, "last.safetensors")

    def add(self, row, value, bound, met, **more):
        self.rows.append({"row": row, "value": value, "bound": bound, "met": met, **more})
        print(f"{'met   ' if met else 'missed'} {row}: {value:.3f} (bound {bound}); " + "; ".join(f"{k} {v}" for k, v in more.items()), flush=True)

    def add_times(self, row, ratios, bound, **more):
        """Met where the median reaches the bound and the 90th percentile is within 5 % of it."""
        median, p90 = statistics.median(ratios), sorted(ratios)[int(0.9 * len(ratios))]
        self.add(row, median, f"<= {bound}", median <= bound and p90 <= 1.05 * bound, p90=round(p90, 3), **more)

    # ---- rows ----

    def lora_quality(self):
        """Next-token accuracy of adapters with at most 1 % of the params, over that of training all, and the share of its gain over the base. Hours on a small machine."""
        base, pairs = self.base(), []
        untuned = self.train("untuned", self.fine, self.path("untuned"), "--weights", base)[-1]["accuracy"]
        for seed in (1, 2, 3):
            last = {}
            for plan in ("full", "low"):
                last[plan] = self.train(plan, self.fine, self.path(plan), "--weights", base, "--seed", str(seed))[-1]["accuracy"]
            pairs.append((last["low"], last["full"]))
            print(f"seed {seed}: accuracy {last['full']:.4f} of all, {last['low']:.4f} of adapters, {untuned:.4f} untuned", flush=True)
        ratios, gap = [low / full for low, full in pairs], [(low - untuned) / (full - untuned) for low, full in pairs]
        self.add("lora_quality", statistics.mean(ratios), ">= 0.99", statistics.mean(ratios) >= 0.99, seeds=[round(r, 4) for r in ratios], accuracy=[[round(x, 4) for x in p] for p in pairs], untuned=round(untuned, 4), gap_closed=[round(g, 3) for g in gap], trainable=re.search(r"of adapters \(([0-9.]+%)\)", self.said)[1], data=os.path.basename(self.fine))

    def lora_step(self):
        """A step of adapters of rank 16 on q and v, what layers save in 8 bits, beside a step that trains all: time, and memory beyond the base params."""
        sides = [self.side(CHARLM, PLANS, "--plan", plan, "--dim", D, "--entry", "step", "--size", "B=32", "T=128") for plan in ("full", "rank16")]
        ratios = [b / a for a, b in self.turns(sides, 11)]
        diff = self.run("plan", CHARLM, PLANS, "--dim", D, "--diff", "full", "rank16")
        of = lambda what: [float(x) for x in re.search(rf"\n  {what} +(\S+) -> (\S+)", diff).groups()]
        arena, optimizer, params = of("arena, bytes"), of("optimizer, bytes"), of("params, bytes")
        self.add_times("lora_step time", ratios, 0.72, operations=re.search(r"operations .*\((\S+)\)", diff)[1])
        memory = (arena[1] + optimizer[1] + params[1] - params[0]) / (arena[0] + optimizer[0])
        self.add("lora_step memory", memory, "<= 0.35", memory <= 0.35, arena=arena, optimizer=optimizer)

    def lora_adapters(self):
        """64 adapters of rank 16 in a batch of 64 windows, beside the base: the time of a call. One position each beside it."""
        for length, row in ((128, "lora_adapters"), (1, "lora_adapters, one position each")):
            sides = [self.side(CHARLM, PLANS, "--plan", plan, "--dim", D, "--size", "B=64", f"T={length}") for plan in ("full", "many")]
            self.add_times(row, [b / a for a, b in self.turns(sides)], 1.3)

    def topology_mnist(self):
        """MNIST with 62 and 89 % fewer operations by 16x16 granules (rigl), beside dense training and, at 89 %, a mask that stands still. Points of accuracy."""
        model, plans = os.path.join(ROOT, "examples", "01_mnist", "mnist.fil"), os.path.join(HERE, "sparse.plan.fil")
        names, last = ("dense", "less62", "less89", "static89"), []
        for seed in (1, 2, 3):
            last.append({n: self.metrics(model, plans, "--plan", n, "--data-dir", self.mnist, "--seed", str(seed), folder="mnist")[-1]["accuracy"] for n in names})
        points = {n: [round(100 * (one[n] - one["dense"]), 2) for one in last] for n in names[1:]}
        static = statistics.mean(points["static89"])
        for name, bound in (("less62", -0.3), ("less89", -0.5)):
            diff = self.run("plan", model, plans, "--diff", "dense", name)
            maps, step = re.findall(r"\nw\d\n  operations (\S+) -> (\S+)", diff), re.search(r"\n  operations  .*\(([0-9.]+x)\)", diff)[1]
            products = f"{sum(float(b) for _, b in maps) / sum(float(a) for a, _ in maps):.2f}x"  # with the optimizer's for these maps
            mean = statistics.mean(points[name])
            more = {"static": round(static, 2), "static_seeds": points["static89"]} if name == "less89" else {}
            self.add(f"topology_mnist {name}", mean, f">= {bound}", mean >= bound and (not more or static < mean), seeds=points[name], dense=[one["dense"] for one in last], operations_of_masked_maps=products, of_the_step=step, **more)

    def precision_charlm(self):
        """charlm with products in e4m3 over tiles, the rest in bf16, split params and bf16 moments, beside f32: bytes a param, and the loss on held-out text. An hour on a small machine."""
        plans, losses = os.path.join(HERE, "narrow.plan.fil"), []
        for seed in (1, 2, 3):
            losses.append([self.metrics(CHARLM, plans, "--plan", n, "--data", self.fine, "--seed", str(seed), folder=n)[-1] for n in ("wide", "narrow")])
            print(f"seed {seed}: loss {losses[-1][0]['valid_loss']:.4f} in f32, {losses[-1][1]['valid_loss']:.4f}", flush=True)
        diff = self.run("plan", CHARLM, plans, "--diff", "wide", "narrow")
        params, optimizer = (float(re.search(rf"\n  {what}, bytes +(\S+) -> (\S+)", diff)[2]) for what in ("params", "optimizer"))
        elements = float(re.search(r"\n  params, bytes +(\S+)", diff)[1]) / 4
        self.add("precision_charlm bytes a param", (params + optimizer) / elements, "<= 8", params + optimizer <= 8 * elements, arena=re.search(r"\n  arena, bytes +(.*)", diff)[1])
        change = [100 * (b["valid_loss"] / a["valid_loss"] - 1) for a, b in losses]
        mean = statistics.mean(change)
        self.add("precision_charlm loss, % of f32", mean, "<= 0.25", mean <= 0.25, seeds=[round(c, 3) for c in change], losses=[[round(x["valid_loss"], 4) for x in pair] for pair in losses], accuracy=[[round(x["accuracy"], 4) for x in pair] for pair in losses])

    def adapt_charlm(self):
        """charlm trained in e4m3 with one scale a tensor, then one hidden channel rescaled by 1e5, the function the same, with and without `adapt`: points of next-token accuracy below f32, what rises, and
        the share of a step's operations in it. Minutes."""
        plans, points, risen, shares = os.path.join(HERE, "adapt.plan.fil"), {"tensors": [], "adaptive": []}, [], []
        for seed in (1, 2, 3):
            self.metrics(CHARLM, plans, "--plan", "trained", "--data", self.fine, "--seed", str(seed), folder="trained")
            draw = random.Random(seed)
            layer, channel = draw.randrange(4), draw.randrange(128)
            rescale(self.path("trained", "last.safetensors"), self.path("outlier.safetensors"), {f"l[{layer}].g1": 1e5, **{f"l[{layer}].Attention.{m}": 1e-5 for m in "qkv"}}, channel)
            last = {n: self.metrics(CHARLM, plans, "--plan", n, "--data", self.fine, "--weights", self.path("outlier.safetensors"), folder=n)[-1] for n in ("still", *points)}
            for n in points:
                points[n].append(round(100 * (last["still"]["accuracy"] - last[n]["accuracy"]), 2))
            with open(self.path("adaptive", "metrics.jsonl")) as f:
                shares.append(max(json.loads(line).get("promoted", 0) for line in f))
            with open(self.path("adaptive", "tape.jsonl")) as f:
                now = {product for line in f for product in json.loads(line).get("adapt", {})}
            affected = {f"l[{layer}].Attention.{m}" for m in "qkv"}
            risen.append({"affected": len(now & affected), "others": len(now - affected)})
            print(f"seed {seed}: layer {layer}, channel {channel}: {last['still']['accuracy']:.4f}, {points['tensors'][-1]} and {points['adaptive'][-1]} points below it", flush=True)
        self.add("adapt_charlm points lost by a scale a tensor", statistics.mean(points["tensors"]), ">= 0.5", statistics.mean(points["tensors"]) >= 0.5, seeds=points["tensors"])
        self.add("adapt_charlm points lost by the same with adapt", statistics.mean(points["adaptive"]), "<= 0.1", statistics.mean(points["adaptive"]) <= 0.1 and all(r["affected"] == 3 and r["others"] <= 2 for r in risen), seeds=points["adaptive"], risen=risen)
        self.add("adapt_charlm share of a step that is promoted", max(shares), "<= 0.08", max(shares) <= 0.08, seeds=[round(s, 4) for s in shares])

    def all_at_once(self):
        """A small deepmoe with a topology, fp8 and bf16 state, then adapters on it: the contract beside f32, both runs done again, five sites explained. Minutes."""
        model = [os.path.join(ROOT, "examples", "04_deepmoe", "deepmoe.fil"), os.path.join(HERE, "moe.plan.fil")]
        small = "--dim V=256 D=64 L=4 H=4 N=16 R=8 Vh=16 Cq=32 Ckv=32 I=2 J=16 E=8 F=64 Fd=128".split()
        r = subprocess.run([self.fil, "validate", *model, "--plan", "sparse", *small, "--data", self.fine, "--target-cpu", self.target], capture_output=True, text=True)
        size, way = re.search(r"([0-9.]+)% (worse|better); required", r.stdout + r.stderr).groups()
        change = float(size) * (1 if way == "worse" else -1)
        for plan, base in (("sparse", []), ("tuned", ["--weights", self.path("sparse", "last.safetensors")])):
            self.run("train", *model, "--plan", plan, *small, *base, "--data", self.fine, "--out", self.path(plan))
            subprocess.run([self.fil, "replay", self.path(plan, "tape.jsonl")], check=True, capture_output=True)
        sites = {s: self.run("explain", *model, s, "--plan", "tuned", *small).count("\n  facet ") for s in ("l[1..].MoE.e[*].wg", "l[1..].MoE.e[*].wd", "l[0].MLA.qb", "l[1..].MLA.wo", "head")}
        self.add("all_at_once loss, % of f32", change, "<= 4", r.returncode == 0 and all(sites.values()), facets_by_site=sites, replayed="to the bit")

    def gates_mnist(self):
        """MNIST with 45 % of the neurons of both hidden layers (in granules of 16), six epochs behind the dense model, beside that with six epochs more: points of accuracy, operations, and the time of one row."""
        model, plans = os.path.join(ROOT, "examples", "01_mnist", "mnist.fil"), os.path.join(HERE, "gates.plan.fil")
        last = []
        for seed in (1, 2, 3):
            self.metrics(model, plans, "--plan", "dense", "--data-dir", self.mnist, "--seed", str(seed), folder="mnist")
            last.append({n: self.metrics(model, plans, "--plan", n, "--data-dir", self.mnist, "--seed", str(seed), "--weights", self.path("mnist", "last.safetensors"), folder=n)[-1]["accuracy"] for n in ("longer", "gated")})
        points = [round(100 * (one["gated"] - one["longer"]), 2) for one in last]
        whole, left = (float(x) for x in re.search(r"operations of `run` +([0-9.e+]+)\*B -> ([0-9.e+]+)\*B", self.run("plan", model, plans, "--diff", "longer", "gated")).groups())
        self.add("gates_mnist points", statistics.mean(points), ">= -0.3", statistics.mean(points) >= -0.3 and left <= 0.38 * whole, seeds=points, dense=[one["longer"] for one in last], operations=f"{left / whole:.3f}x, predictors among them")
        self.add_speed("gates_mnist, one row", self.turns([self.side(model, plans, "--plan", n, "--size", "B=1") for n in ("longer", "gated")]), ["gated"], [1.5])

    def qat_mnist(self):
        """MNIST with all maps as whole numbers of 4 and of 2 bits, inputs of 8, six epochs behind the dense model, converted, beside f32 with six epochs more: points of accuracy."""
        model, plans = os.path.join(ROOT, "examples", "01_mnist", "mnist.fil"), os.path.join(HERE, "whole.plan.fil")
        with gzip.open(os.path.join(self.mnist, "t10k-images-idx3-ubyte.gz")) as f:
            write_npy(self.path("images.npy"), (10000, 784), [p / 255 for p in f.read()[16:]], "f")
        with gzip.open(os.path.join(self.mnist, "t10k-labels-idx1-ubyte.gz")) as f:
            labels = f.read()[8:]
        def accuracy(weights):
            self.run("run", model, "--weights", weights, "--in", "x=" + self.path("images.npy"), "--out", self.path("y.npy"))
            with open(self.path("y.npy"), "rb") as f:
                y = struct.unpack("<100000f", f.read()[-400000:])
            return statistics.mean(max(range(10), key=lambda k: y[10 * i + k]) == label for i, label in enumerate(labels))
        points = {"int4": [], "int2": []}
        for seed in (1, 2, 3):
            self.metrics(model, plans, "--plan", "dense", "--data-dir", self.mnist, "--seed", str(seed), folder="mnist")
            for plan in ("longer", *points):
                self.metrics(model, plans, "--plan", plan, "--data-dir", self.mnist, "--seed", str(seed), "--weights", self.path("mnist", "last.safetensors"), folder=plan)
            dense = accuracy(self.path("longer", "last.safetensors"))
            for plan, each in points.items():
                self.run("convert", model, "--weights", self.path(plan, "last.safetensors"), "--out", self.path("whole.safetensors"))
                each.append(round(100 * (accuracy(self.path("whole.safetensors")) - dense), 2))
        for (plan, each), bound in zip(points.items(), (-0.1, -0.5)):
            self.add(f"qat_mnist {plan}, points", statistics.mean(each), f">= {bound}", statistics.mean(each) >= bound, seeds=each, last_dense=round(dense, 4))

    def side(self, file, *options):
        """A program that stays loaded, for short turns."""
        return Side([os.path.join(os.path.dirname(self.fil), "program_bench"), os.path.join(HERE, file), "--threads", "2", "--target-cpu", {"native": "x86-64-v4" if cpu()[1] else "x86-64-v3"}.get(self.target, self.target), *options])

    def turns(self, sides, count=41):
        """Seconds of each in turn, again and again."""
        times = [[s.turn() for s in sides] for _ in range(count)]
        for s in sides:
            s.close()
        return times

    def gates_ffn(self):
        """One row through eight feed-forward blocks 2048-8192-2048, 1.1 GB of weights, with half and 30 % of the neurons by granules of 16, gates counted, and the same of single neurons, beside the dense program: times faster.
        With 10 % through 24 blocks, so that what is read does not stay in a cache. With all neurons a gate is none: the same program."""
        for depth, keeps in ((8, (50, 30)), (24, (10,))):
            for what, share in (("keep", 0.88), ("single", 0.45)):
                sides = [self.side("gates.fil", "--plan", plan, "--entry", "run", "--size", "B=1", "--dim", f"L={depth}") for plan in ("dense", *(f"{what}{k}" for k in keeps))]
                self.add_speed("gates_ffn", self.turns(sides), [("keep" if what == "keep" else "single neurons,") + f" {k} %" for k in keeps], [share * 100 / k for k in keeps])
        same = "->" not in self.run("plan", os.path.join(HERE, "gates.fil"), "--diff", "dense", "keep100").split("\n", 1)[1]
        self.add("gates_ffn, keep 100 %, times faster", 1, ">= 0.97", same, because="the same program")

    def whole_ffn(self):
        """One row and four through the same eight blocks, weights as whole numbers of 8 and of 4 bits beside f32: times faster."""
        for rows in (1, 4):
            sides = [self.side("gates.fil", "--plan", plan, "--entry", "run", "--size", f"B={rows}") for plan in ("dense", "whole", "half")]
            self.add_speed("whole_ffn", self.turns(sides), [f"{bits} bits, {rows} row" + "s" * (rows > 1) for bits in (8, 4)], [2, 2.25] if rows == 1 else [1.5, 1.5])

    def channels_conv(self):
        """Three residual blocks of two convolutions of 3x3 with 64 channels, normalised, on 8 images of 28x28, half and a quarter of the channels between the two chosen in each image, what chooses counted, beside all: times faster."""
        sides = [self.side("channels.fil", "--plan", plan, "--model", "Net", "--entry", "run", "--size", "B=8", "--size", "Y=28", "--size", "X=28") for plan in ("dense", "keep50", "keep25")]
        self.add_speed("channels_conv", self.turns(sides), ["keep 50 %", "keep 25 %"], [1.25, 1.75])

    def experts(self):
        """64 experts 2048-1408-2048, six for each of 512 rows, beside one feed-forward network of as many operations: share of its speed, forward, and with all gradients; and the time where experts are drawn as 1 / rank, over that of equal shares."""
        for entry, bound in (("run", 0.85), ("grad", 0.75)):
            def of(model):
                return self.side("experts.fil", "--model", model, *(["--loss", "along"] if entry == "grad" else []), "--entry", entry, "--size", "B=512")
            what = "forward" if entry == "run" else "forward and backward"
            self.add_speed(f"experts, {what}", self.turns([of("Dense"), of("Balanced")], 11), ["share of dense"], [bound])
            ratios = [b / a for a, b in self.turns([of("Balanced"), of("Zipf")], 11)]
            self.add_times(f"experts by 1 / rank, {what}", ratios, 1.15)

    def attention(self):
        """Causal attention of 8192 positions, eight heads of 64, over the 512 that an indexer of two heads of 32 chooses for each, the indexer counted, beside all of it: forward, and with all gradients: times faster. Minutes."""
        for entry, what in (("run", "forward"), ("grad", "forward and backward")):
            of = lambda model, *plan: self.side("attention.fil", "--model", model, *plan, *(["--loss", "along"] if entry == "grad" else []), "--entry", entry, "--size", "B=1", "T=8192")
            self.add_speed(f"attention, {what}", self.turns([of("Whole"), of("Sparse", "--plan", "gathered")], 11), ["512 of 8192"], [2])

    def add_speed(self, row, turns, names, bounds):
        """`turns`: of the dense program, then of each name. Met where the median reaches the bound and the 10th percentile is within 5 % of it."""
        for k, (name, bound) in enumerate(zip(names, bounds)):
            ratios = sorted(t[0] / t[1 + k] for t in turns)
            median, p10 = statistics.median(ratios), ratios[int(0.1 * len(ratios))]
            self.add(f"{row}, {name}, times as fast", median, f">= {bound:.3g}", median >= bound and p10 >= 0.95 * bound, p10=round(p10, 3), dense_us=round(1e6 * statistics.median(t[0] for t in turns), 1))

    def topology_step(self):
        """A step of a feed-forward network 2048-8192-2048, 512 rows, with 20 % of its 16x16 granules, beside the dense step: the time, and edits beside steps."""
        for name in ("x.npy", "t.npy"):
            self.random_npy(name, (569, 2048))  # nine tenths are one batch
        times, edits = {"dense": [], "blocks80": []}, []
        for _ in range(7):
            for plan in times:
                lines = self.metrics(os.path.join(HERE, "ffn.fil"), "--plan", plan, "--data-dir", self.out, folder="step")
                each = [b["seconds"] - a["seconds"] for a, b in zip(lines, lines[1:])]
                times[plan].append(statistics.median(each[:4] + each[5:]))
                if plan == "blocks80":
                    edits.append(each[4] / times[plan][-1])
        ratios = [a / b for a, b in zip(times["dense"], times["blocks80"])]
        median, p10 = statistics.median(ratios), sorted(ratios)[int(0.1 * len(ratios))]
        self.add("topology_step", median, ">= 2.5", median >= 2.5 and p10 >= 0.95 * 2.5, p10=round(p10, 3), dense_ms=round(1000 * statistics.median(times["dense"])), an_edit_takes_steps=round(statistics.median(edits), 2))

    def narrow_step(self):
        """The same dense step with products of bf16 and of fp8, beside f32: bounds where the machine multiplies pairs of bf16."""
        for name in ("x.npy", "t.npy"):
            self.random_npy(name, (569, 2048))  # nine tenths are one batch
        bounds = {"bf16": 1.4, "fp8": 1.1, "tiles": 0.9}
        times = {"dense": [], **{plan: [] for plan in bounds}}
        for _ in range(7):
            for plan in times:
                lines = self.metrics(os.path.join(HERE, "ffn.fil"), "--plan", plan, "--data-dir", self.out, folder="step")
                times[plan].append(statistics.median(b["seconds"] - a["seconds"] for a, b in zip(lines, lines[1:])))
        with open("/proc/cpuinfo") as f:
            pairs = "avx512_bf16" in f.read() and self.target == "native"
        for plan, bound in bounds.items():
            ratios = sorted(a / b for a, b in zip(times["dense"], times[plan]))
            median, p10 = statistics.median(ratios), ratios[int(0.1 * len(ratios))]
            self.add(f"narrow_step, {plan}, times as fast", median, f">= {bound}" if pairs else "shown", not pairs or (median >= bound and p10 >= 0.95 * bound), p10=round(p10, 3), dense_ms=round(1000 * statistics.median(times["dense"])))


def rescale(path, to, factors, row):
    """Of a checkpoint of f32, one row of the first axis of each of these tensors times its factor."""
    with open(path, "rb") as f:
        data = f.read()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:begin]), bytearray(data[begin:])
    for name, factor in factors.items():
        size = (header[name]["data_offsets"][1] - header[name]["data_offsets"][0]) // header[name]["shape"][0]
        at = header[name]["data_offsets"][0] + row * size
        body[at:at + size] = array.array("f", [x * factor for x in array.array("f", bytes(body[at:at + size]))]).tobytes()
    with open(to, "wb") as f:
        f.write(data[:begin] + bytes(body))


def write_npy(path, shape, values, kind="i"):
    header = f"{{'descr': '<{kind}4', 'fortran_order': False, 'shape': ({''.join(f'{d},' for d in shape)}), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}{kind}", *values))


def main():
    rows = {"topology_step": Claims.topology_step, "topology_mnist": Claims.topology_mnist, "narrow_step": Claims.narrow_step, "gates_ffn": Claims.gates_ffn, "gates_mnist": Claims.gates_mnist, "whole_ffn": Claims.whole_ffn, "channels_conv": Claims.channels_conv, "qat_mnist": Claims.qat_mnist, "experts": Claims.experts, "attention": Claims.attention, "precision_charlm": Claims.precision_charlm, "adapt_charlm": Claims.adapt_charlm, "all_at_once": Claims.all_at_once, "lora_step": Claims.lora_step, "lora_adapters": Claims.lora_adapters, "lora_quality": Claims.lora_quality}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog="\n".join(f"{n}: {f.__doc__}" for n, f in rows.items()))
    p.add_argument("rows", nargs="*", metavar="ROW", help="all but those of hours, unless given")
    p.add_argument("--fil", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--data", required=True, help="the text to tune on")
    p.add_argument("--mnist", default=os.path.join(ROOT, "..", "shared", "data", "mnist"), help="the folder of its four files")
    p.add_argument("--target-cpu", default="native")
    options = p.parse_args()
    for name in options.rows:
        if name not in rows:
            p.error(f"no row `{name}`: {' '.join(rows)}")
    claims = Claims(options)
    machine, avx512 = cpu()
    isa = "AVX-512" if avx512 and options.target_cpu != "x86-64-v3" else "AVX2"
    print(f"{datetime.date.today()}, {machine}, {isa}")
    for name in options.rows or ["topology_step", "gates_ffn", "experts", "lora_step", "lora_adapters"]:
        rows[name](claims)
    with open(os.path.join(os.path.dirname(options.out), "claims.json"), "w") as f:
        json.dump([{**r, "cpu": machine, "isa": isa, "date": str(datetime.date.today())} for r in claims.rows], f, indent=1)
        f.write("\n")
    sys.exit(0 if all(r["met"] for r in claims.rows) else 3)


main()
