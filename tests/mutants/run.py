#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeded faults: each patch here gives the program a wrong meaning, and names the test that notices. `./dev mutants [NAME]` copies the
tree, checks that the named tests pass, then applies one patch after the other: each must build, and its test must fail."""
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TREE = os.path.join(ROOT, "build", "mutants", "tree")
BUILD = os.path.join(ROOT, "build", "mutants", "build")
LLVM = subprocess.run(["llvm-config-22", "--bindir"], capture_output=True, text=True).stdout.strip()


def sh(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def header(path):
    with open(path) as f:
        head = f.read().split("\ndiff --git", 1)[0]
    fields = dict(re.findall(r"^(Fault|Builds|Caught by|Needs): (.*)$", head, re.M))
    return os.path.basename(path).removesuffix(".patch"), fields


def refresh():
    """The tree as it stands, uncommitted changes too; files that are the same keep their time."""
    files = sh("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard").stdout.split("\n")
    wanted = {f for f in files if f and os.path.isfile(os.path.join(ROOT, f))}
    for folder, _, names in os.walk(TREE):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, TREE) not in wanted:
                os.remove(path)
    for f in wanted:
        source, target = os.path.join(ROOT, f), os.path.join(TREE, f)
        if os.path.exists(target):
            with open(source, "rb") as a, open(target, "rb") as b:
                if a.read() == b.read():
                    continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)


def build(targets):
    return sh("ninja", "-C", BUILD, *targets)


def run(command):
    """Does the test pass?"""
    command = command.replace("%tests", os.path.join(TREE, "tests")).replace("%llvm", LLVM)
    try:
        return sh(*shlex.split(command), cwd=BUILD, timeout=600).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main():
    wanted = sys.argv[1:]
    patches = [os.path.join(HERE, p) for p in sorted(os.listdir(HERE)) if p.endswith(".patch")]
    patches = [p for p in patches if not wanted or any(w in os.path.basename(p) for w in wanted)]
    if not patches:
        sys.exit(f"no patch is named so; there are: {' '.join(p for p in sorted(os.listdir(HERE)) if p.endswith('.patch'))}")
    os.environ["CCACHE_BASEDIR"] = TREE
    os.environ["PATH"] += os.pathsep + LLVM
    refresh()
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        made = sh("cmake", "-G", "Ninja", "-S", TREE, "-B", BUILD, "-DCMAKE_CXX_COMPILER=clang++-22", "-DCMAKE_C_COMPILER=clang-22")
        if made.returncode:
            sys.exit(made.stderr)
    faults = {p: header(p) for p in patches}
    with open("/proc/cpuinfo") as f:
        flags = f.read().split()
    for patch, (name, fields) in list(faults.items()):
        if fields.get("Needs", flags[0]) not in flags:
            print(f"left out {name:28} this machine has no {fields['Needs']}")
            del faults[patch]
    targets = sorted({t for _, f in faults.values() for t in f["Builds"].split()})
    made = build(targets)
    if made.returncode:
        sys.exit("the tree does not build:\n" + made.stdout[-3000:])
    failed = [c for c in sorted({f["Caught by"] for _, f in faults.values()}) if not run(c)]
    if failed:
        sys.exit("without a fault these fail already:\n  " + "\n  ".join(failed))
    escaped = 0
    for patch, (name, fields) in faults.items():
        start = time.time()
        applied = sh("git", "apply", "--unsafe-paths", "--directory", TREE, patch, cwd="/")
        if applied.returncode:
            verdict = "DOES NOT APPLY: " + applied.stderr.strip().split("\n")[0]
        else:
            if build(fields["Builds"].split()).returncode:
                verdict = "DOES NOT BUILD"
            else:
                verdict = "ESCAPES" if run(fields["Caught by"]) else "caught"
            sh("git", "apply", "--unsafe-paths", "--directory", TREE, "-R", patch, cwd="/")
        escaped += verdict != "caught"
        print(f"{verdict:8} {name:28} {fields['Fault']} ({time.time() - start:.0f} s)", flush=True)
    print(f"{len(faults) - escaped} of {len(faults)} faults are caught")
    sys.exit(1 if escaped else 0)


main()
