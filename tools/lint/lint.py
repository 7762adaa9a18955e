#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom, licence lines, names of files, documentation of passes. README.md beside it has the reasons.

A room is a folder; the longest entry of ROOMS that is a prefix of a file's path is the file's room. A room may always include
itself. Everything else that it may include stands in its row: folders and single headers of ours, and groups of THIRD_PARTY.
"""
import argparse
import os
import re
import subprocess
import sys

# Headers that are not ours, by group. What matches no group is a header of the standard library or the system.
THIRD_PARTY = [
    ("mlir", r"mlir(-c)?/|llvm(-c)?/"),
    ("antlr", r"antlr4|Filigree(Lexer|Parser)\.h"),
    ("fmt", r"fmt/"),
    ("spdlog", r"spdlog/"),
    ("json", r"nlohmann/"),
    ("eigen", r"Eigen/"),
    ("cli", r"CLI/"),
    ("gtest", r"g(test|mock)/"),
    ("zlib", r"zlib\.h"),
    ("sentencepiece", r"sentencepiece"),
    ("boost", r"boost/"),
    ("cuda", r"cuda|nvrtc|nvml|cublas"),
    ("mpi", r"mpi\.h"),
    ("nccl", r"nccl"),
]
C_HEADERS = {"stdint.h", "stddef.h", "stdbool.h", "limits.h", "float.h"}

# room: (folders and headers of ours, groups of third parties); "*" is everything.
ROOMS = {
    "runtime/abi": ([], []),
    "runtime/base": (["runtime/abi"], ["fmt", "spdlog"]),
    "runtime": (["runtime"], ["fmt", "json"]),
    "runtime/data": (["runtime"], ["fmt", "json", "zlib", "sentencepiece"]),
    "runtime/train": (["runtime"], ["fmt", "json", "eigen"]),
    "runtime/device/cuda": (["runtime"], ["fmt", "cuda"]),
    "runtime/comm/mpi": (["runtime"], ["fmt", "mpi"]),
    "runtime/comm/nccl": (["runtime"], ["fmt", "cuda", "nccl"]),
    "runtime/serve": (["runtime"], ["fmt", "json", "boost"]),
    "kernels": (["runtime/abi"], []),
    "kernels/reference": (["runtime/abi", "runtime/base/philox.h"], []),
    "kernels/cuda": (["runtime/abi"], ["cuda"]),
    "lang": (["runtime/base"], ["fmt"]),
    "lang/ast": (["lang/diag", "runtime/base"], ["fmt"]),
    "lang/diag": (["runtime/base"], ["fmt", "json"]),
    "lang/parse": (["lang/ast", "lang/diag", "runtime/base"], ["fmt", "antlr"]),
    "lang/sema": (["lang/ast", "lang/diag", "lang/parse/parse.h", "runtime/base"], ["fmt"]),
    "lang/lower": (["lang", "ir", "runtime/base"], ["fmt", "mlir"]),
    "ir": (["runtime/base"], ["mlir"]),
    "passes": (["ir", "runtime/base", "passes/analysis", "passes/explain"], ["fmt", "mlir"]),
    "passes/pipeline": (["ir", "runtime/base", "passes"], ["fmt", "mlir"]),
    "codegen": (["ir", "kernels", "runtime/abi", "runtime/base", "runtime/exec/executable.h", "runtime/exec/binding.h",
                 "runtime/exec/manifest.h", "runtime/data/array.h"], ["fmt", "mlir"]),
    "tools": (["*"], ["*"]),
    "tools/driver": (["lang", "ir", "passes", "codegen", "kernels", "runtime"], ["fmt", "mlir", "json"]),
    "tests": (["*"], ["*"]),
    "cmake": ([], ["mlir"]),
}
# Groups of passes are rooms of their own: they do not include each other.
ROOM_PER_FOLDER = ["passes"]

CPP = (".h", ".cpp", ".cu", ".cuh")
SNAKE_FILE = re.compile(r"[a-z0-9][a-z0-9_]*(\.[a-z0-9_]+)*$")
SNAKE_FOLDER = re.compile(r"[a-z0-9][a-z0-9_]*$")
# Names that others fix: CMake, ANTLR (a grammar's file has the grammar's name), GitHub; commands are spelt as they are typed.
NAMES = {"README.md", "CMakeLists.txt", "LICENSE", "NOTICE", "CONTRIBUTING.md", "CHANGELOG.md", "Filigree.g4", "Dockerfile"}
COMMAND_FOLDER = re.compile(r"tools/fil-[a-z]+$")


class Lint:
    def __init__(self, root):
        self.root = root
        self.problems = []
        self.files = sorted(self.list_files())

    def list_files(self):
        git = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
        if git.returncode == 0:
            return [f for f in set(git.stdout.split("\n")) if f and os.path.isfile(os.path.join(self.root, f))]
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [d for d in folders if d != "__pycache__" and not re.match(r"build(-|$)|\.", d)]
            found += [os.path.relpath(os.path.join(folder, f), self.root) for f in files if not f.endswith(".pyc")]
        return found

    def say(self, path, line, text):
        self.problems.append(f"{path}:{line}: {text}")

    def lines(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as f:
            return f.read().split("\n")

    def room(self, path):
        parts = path.split("/")
        if parts[0] in ROOM_PER_FOLDER and len(parts) > 2 and "/".join(parts[:2]) not in ROOMS:
            return "/".join(parts[:2]), ROOMS[parts[0]]
        for n in range(len(parts) - 1, 0, -1):
            name = "/".join(parts[:n])
            if name in ROOMS:
                return name, ROOMS[name]
        return None, None

    def includes(self, path):
        name, row = self.room(path)
        for number, text in enumerate(self.lines(path), 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', text)
            if not m:
                continue
            if row is None:
                self.say(path, number, f"`{path.split('/')[0]}` is no room: add it to ROOMS in tools/lint/lint.py with what it may include")
                return
            target = m.group(2)
            group = next((g for g, pattern in THIRD_PARTY if re.match(pattern, target)), None)
            if group:
                if group not in row[1] and "*" not in row[1]:
                    self.say(path, number, f"`{name}` may not include `{target}` ({group}); its third parties are: {', '.join(row[1]) or 'none'}")
            elif m.group(1) == "<":
                if name == "runtime/abi" and target not in C_HEADERS:
                    self.say(path, number, f"`runtime/abi` includes C headers alone, not <{target}>")
            elif "/" not in target:
                self.say(path, number, f'"{target}" does not name its room: write the path from the root of the tree')
            else:
                allowed = [name] + row[0]
                if "*" not in allowed and not any(target == a or target.startswith(a + "/") for a in allowed):
                    self.say(path, number, f"`{name}` may not include `{target}`; it may include: {', '.join(allowed)}")

    def licence(self, path):
        if not re.match(r"(// SPDX-License-Identifier: \S+|/\* SPDX-License-Identifier: \S+ \*/)$", self.lines(path)[0]):
            self.say(path, 1, "the first line must be `// SPDX-License-Identifier: Apache-2.0`")

    def name(self, path):
        parts = path.split("/")
        for n in range(1, len(parts)):
            folder = "/".join(parts[:n])
            if not SNAKE_FOLDER.match(parts[n - 1]) and not parts[n - 1].startswith(".") and not COMMAND_FOLDER.match(folder):
                self.say(path, 1, f"the folder `{folder}` is not in snake_case")
        if parts[-1] not in NAMES and not SNAKE_FILE.match(parts[-1]) and not parts[-1].startswith("."):
            self.say(path, 1, f"the file name `{parts[-1]}` is not in snake_case")

    def passes(self, path):
        text = "\n".join(self.lines(path))
        for m in re.finditer(r'^def (\w+)\s*:\s*Pass<"([^"]*)"', text, re.M):
            body = text[m.end():]
            following = re.search(r"^def ", body, re.M)
            body = body[:following.start()] if following else body
            number = text[:m.start()].count("\n") + 1
            description = re.search(r"let description = \[\{(.*?)\}\]", body, re.S)
            if not description or not description.group(1).strip():
                self.say(path, number, f"the pass `{m.group(2)}` has no `description`: what it does, why it stands where it stands, what holds afterwards")
            if "let summary" not in body:
                self.say(path, number, f"the pass `{m.group(2)}` has no `summary`")
            group = path.split("/")[1]
            if not re.match(rf"fil-{group}(-[a-z]+)+$", m.group(2)):
                self.say(path, number, f"the pass `{m.group(2)}` is not named `fil-{group}-VERB-NOUN`")

    def tests(self, path):
        """A program of tests that no test runs is never noticed."""
        text = "\n".join(self.lines(path))
        for m in re.finditer(r"^fil_executable\((\w+)[^)]*\bGTest::", text, re.M):
            if not re.search(rf"(COMMAND|TARGET_FILE:)\s*{m.group(1)}\b", text):
                self.say(path, text[:m.start()].count("\n") + 1, f"no test runs `{m.group(1)}`: add_test(NAME .. COMMAND {m.group(1)})")

    def mutants(self):
        """A seeded fault that does not apply any more shows nothing."""
        for path in self.files:
            if re.match(r"tests/mutants/.*\.patch$", path):
                r = subprocess.run(["git", "-C", self.root, "apply", "--check", path], capture_output=True, text=True)
                if r.returncode:
                    self.say(path, 1, f"the fault does not apply: {r.stderr.strip().splitlines()[0] if r.stderr else 'git apply --check'}; make it anew")

    def run(self):
        self.mutants()
        for path in self.files:
            self.name(path)
            if path.endswith(CPP):
                self.includes(path)
            if path.endswith(CPP + (".td", ".def")) or (path.startswith("lang/std/") and path.endswith(".fil")):
                self.licence(path)
            if re.match(r"passes/\w+/passes\.td$", path):
                self.passes(path)
            if re.match(r"tests/.*CMakeLists\.txt$", path):
                self.tests(path)
        return self.problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."), help="the tree to look at")
    lint = Lint(os.path.normpath(parser.parse_args().root))
    problems = lint.run()
    for p in problems:
        print(p)
    print(f"lint: {len(problems)} problem{'s' if len(problems) != 1 else ''} in {len(lint.files)} files" if problems else f"lint: {len(lint.files)} files, no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
