#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions of fixed runs, counted by callgrind, against instructions.txt: a change beyond 3 % fails and names the run.

Code is for one target with stated caches and one thread, so every machine counts the same; callgrind reads no AVX-512. Of kernels only calls of an
entry are counted, of the compiler the whole process without a cache. `./dev counts [NAME..]` writes the file anew: a change is shown in the
commit that makes it, which says why.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
GOLDEN = os.path.join(HERE, "instructions.txt")
FIL, COUNTED = (os.path.abspath(os.environ[v]) for v in ("COMMAND_UNDER_TEST", "COUNTED"))
ALLOWED = 0.03
TARGET = ["--target-cpu=x86-64-v3", "--threads=1"]
CHARLM = ["02_charlm/charlm.fil"]
DEEPMOE = ["04_deepmoe/deepmoe.fil", "04_deepmoe/deepmoe.plan.fil"]

# name: (options of the compilation, sizes, entry, calls)
KERNELS = {
    "contraction": ([], "B=64", "step", 4),
    "rows": ([], "B=64", "step", 4),
    "scatter": ([], "B=8 T=32", "step", 4),
    "attention": ([], "B=2 T=64 S=64", "step", 4),
    "update": (["--plan=adam"], "B=4", "step", 4),
    "charlm": (["--plan=laptop", "--dim", "D=32", "L=2"], "B=2 T=32 S=32", "step", 4),
}
# name: arguments of `fil compile`; of deepmoe what our own passes and emitters do, of charlm LLVM's part too.
COMPILER = {
    "compile charlm": [*CHARLM, "--plan=laptop"],
    "compile deepmoe": [*DEEPMOE, "--plan=small", "--stop-after=kernels"],
}


def environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FIL_")}
    return {**kept, "FIL_CACHE_BYTES": "0", "FIL_TARGET_CACHES": "32K,512K,32M", "FIL_THREADS": "1", "LC_ALL": "C"}


def run(command):
    r = subprocess.run(command, cwd=os.path.join(SOURCE, "examples"), env=environment(), capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(command)}\n{r.stdout[-1000:]}{r.stderr[-3000:]}")
    return r.stderr


def callgrind(command, only=None):
    err = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *([f"--toggle-collect={only}"] if only else []), *command])
    return int(re.search(r"Collected : (\d+)", err).group(1))


def count(name, folder):
    if name in COMPILER:
        return callgrind([FIL, "compile", *COMPILER[name], *TARGET])
    options, sizes, entry, calls = KERNELS[name]
    files = CHARLM if name == "charlm" else [os.path.join(HERE, "counted", name + ".fil")]
    saved = os.path.join(folder, name + ".filx")
    run([FIL, "compile", *files, *options, *TARGET, "-o", saved])
    return callgrind([COUNTED, saved, sizes, entry, str(calls)], "counted_calls")


def read():
    if not os.path.exists(GOLDEN):
        return {}
    with open(GOLDEN) as f:
        return {name: int(n) for name, n in (line.rstrip("\n").split(": ") for line in f)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="writes instructions.txt in place of comparing with it")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these runs alone")
    args = parser.parse_args()
    names = [*COMPILER, *KERNELS]  # the long ones first
    unknown = [n for n in args.names if n not in names]
    if unknown:
        parser.error(f"there is no run {', '.join(unknown)}; there are: {', '.join(names)}")
    golden, now = read(), {}
    with tempfile.TemporaryDirectory(prefix="fil-counts-") as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        wanted = args.names or names
        for name, n in zip(wanted, pool.map(lambda name: count(name, folder), wanted)):
            now[name] = n
    wrong = []
    for name, n in now.items():
        before = golden.get(name)
        change = n / before - 1 if before else float("inf")
        print(f"{name}: {n} instructions, {f'{before} before, {100 * change:+.2f} %' if before else 'not counted before'}")
        if abs(change) > ALLOWED:
            wrong.append(name)
    if args.write:
        kept = {**golden, **now}
        with open(GOLDEN, "w") as f:
            f.writelines(f"{name}: {kept[name]}\n" for name in names if name in kept)
        return 0
    stale = [] if args.names else [n for n in golden if n not in names]
    if wrong or stale:
        print(f"{', '.join(wrong + stale)}: beyond {100 * ALLOWED:.0f} %. Where that is meant: ./dev counts, and the commit says why")
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main())
