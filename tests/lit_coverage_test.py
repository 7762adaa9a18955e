#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every pass has its test and its test of errors where it emits one, every op is among the tests of the dialect."""
import os
import re
import sys

root = sys.argv[1]


def read(*path):
    with open(os.path.join(root, *path)) as f:
        return f.read()


problems = []
for group in sorted(os.listdir(os.path.join(root, "passes"))):
    if not os.path.exists(os.path.join(root, "passes", group, "passes.td")):
        continue
    for argument in re.findall(r'Pass<"(fil-[a-z0-9-]+)"', read("passes", group, "passes.td")):
        stem = argument.removeprefix(f"fil-{group}-").replace("-", "_")
        test = os.path.join("tests", "passes", group, stem + ".mlir")
        if not os.path.exists(os.path.join(root, test)) or argument not in read(test):
            problems.append(f"{argument} has no test {test}")
        source = read("passes", group, stem + ".cpp")
        error = os.path.join("tests", "passes", group, stem + "_error.mlir")
        if re.search(r"\bemit(Op)?Error\(", source) and not os.path.exists(os.path.join(root, error)):
            problems.append(f"{argument} reports errors and has no test {error}")
def inside(*folder):
    return sorted(os.listdir(os.path.join(root, *folder)))


texts = "".join(read("tests", "ir", f) for f in inside("tests", "ir") if f.endswith(".mlir") and not f.endswith("_error.mlir"))
for file in inside("ir", "ops"):
    for op in re.findall(r'Fil_(?:Body)?Op<"([a-z_]+)"', read("ir", "ops", file)) if file.endswith(".td") else []:
        if not re.search(rf"^// CHECK.*\bfil\.{op}\b", texts, re.M):
            problems.append(f"fil.{op} is checked in no test of tests/ir")
print("\n".join(problems))
sys.exit(1 if problems else 0)
