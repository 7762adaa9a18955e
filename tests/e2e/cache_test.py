# SPDX-License-Identifier: Apache-2.0
"""Compiled programs on disk: a warm start opens no compiler, has the same bits, and nothing that could change them is overlooked."""
import json
import os
import subprocess
import time
import unittest

from support import FIL, CommandTest


class Cache(CommandTest):
    def setUp(self):
        super().setUp()
        self.env = dict(os.environ, FIL_CACHE_DIR=self.path("cache"), FIL_CACHE_BYTES="100000000")

    def call(self, *arguments, exit=0, **more):
        done = subprocess.run([FIL, *arguments], cwd=self.folder, capture_output=True, text=True, env=dict(self.env, **more))
        self.assertEqual(done.returncode, exit, done.stderr)
        return done

    def train(self, out, *arguments, **more):
        return self.call("train", "c.fil", "--plan", "p", "--out", out, "--steps", "3", "--timing", *arguments, **more)

    def entries(self, kind):
        folder = self.path(os.path.join("cache", kind))
        return sorted(n for n in os.listdir(folder) if len(n) == 32) if os.path.exists(folder) else []

    def warm(self, done):
        return "\ncache " in "\n" + done.stderr

    def test_a_warm_start_opens_no_compiler_and_has_the_same_bits(self):
        cold = self.train("cold", LD_DEBUG="files")
        self.assertFalse(self.warm(cold))
        self.assertIn("libMLIR", cold.stderr)
        warm = self.train("warm", LD_DEBUG="files")
        self.assertTrue(self.warm(warm))
        for library in ("libMLIR", "libLLVM", "libfil_compiler"):
            self.assertNotIn(library, warm.stderr)
        self.assertEqual(self.tensors("cold"), self.tensors("warm"))
        for command in (["--version"], ["--help"], ["train", "--help"], ["help", "E0207"], ["cache", "list"]):
            self.assertNotIn("libMLIR", self.call(*command, LD_DEBUG="files").stderr)

    def test_a_cache_that_cannot_be_written_is_told(self):
        done = self.train("out", FIL_CACHE_DIR=self.path("c.fil/cache"))
        self.assertIn(f"warning: nothing is kept in the cache {self.path('c.fil/cache')}: Not a directory\n  = help: FIL_CACHE_DIR names another folder, and FIL_CACHE_BYTES=0 keeps nothing\n", done.stderr)
        self.assertNotIn("warning", self.train("other").stderr)

    def test_the_times_sum_to_the_wall_time(self):
        for row in ("asm", "cache"):  # cold, warm
            begin = time.monotonic()
            done = self.train("o", "--trace", "trace.json")
            wall = time.monotonic() - begin
            times = {line.split()[0]: float(line.split()[1]) for line in done.stderr.splitlines() if line.endswith(" s")}
            self.assertIn(row, times)
            total = times.pop("sum")
            self.assertAlmostEqual(sum(times.values()), total, delta=0.0005 * len(times))
            self.assertLess(total, wall + 0.001)
            with open(self.path("trace.json")) as f:
                events = json.load(f)["traceEvents"]
            end = 0
            for e in events:
                self.assertAlmostEqual(e["ts"], end, delta=0.3)
                end = e["ts"] + e["dur"]
            self.assertAlmostEqual(end / 1e6, total, delta=0.001)

    def test_what_changes_the_program_changes_the_key(self):
        self.train("o")
        self.assertTrue(self.warm(self.train("o")))
        programs, kernels = self.entries("program"), self.entries("kernel")
        for change in (["--dim", "L=3"], ["--set", "train.optim.lr=0.5"], ["--set", "precision.default=f64"], ["--target-cpu", "x86-64-v3"]):
            self.assertFalse(self.warm(self.train("o", *change)), change)
            self.assertTrue(self.warm(self.train("o", *change)), change)
        with open(self.path("c.fil"), "a") as f:
            f.write("// a comment\n")
        self.assertFalse(self.warm(self.train("o")))
        self.assertEqual(len(self.entries("program")), len(programs) + 5)
        self.assertGreater(len(self.entries("kernel")), len(kernels))
        self.assertFalse(self.warm(self.train("o", "--backend=reference")))
        self.assertFalse(self.warm(self.train("o", "--mlir-print-local-scope")))
        self.assertFalse(self.warm(self.train("o", FIL_CACHE_BYTES="0")))

    def test_kernels_that_a_change_leaves_as_they_are_are_not_compiled_again(self):
        self.train("o")
        kernels = self.entries("kernel")
        with open(self.path("c.fil")) as f:
            text = f.read()
        with open(self.path("c.fil"), "w") as f:
            f.write(text.replace("1e-6", "1e-5"))
        self.train("p")
        self.assertLess(len(self.entries("kernel")) - len(kernels), len(kernels) / 4)

    def test_damaged_entries_are_made_anew(self):
        self.train("first")
        for cut in (0, 1000):
            for kind in ("program", "kernel"):
                for name in self.entries(kind):
                    path = self.path(os.path.join("cache", kind, name, "content"))
                    with open(path, "rb") as f:
                        content = f.read()
                    with open(path, "wb") as f:
                        f.write(content[:cut] if cut else content[:40] + b"?" + content[41:])
            again = self.train("again")
            self.assertFalse(self.warm(again))
            self.assertEqual(self.tensors("first"), self.tensors("again"))
            self.assertTrue(self.warm(self.train("again")))

    def test_what_the_compiler_says_is_said_each_time(self):
        with open(self.path("c.fil"), "a") as f:
            f.write("model Two(x: [B,D]) -> [B,D] { param w: [D] = 1; param idle: [D] = 1; return x * w + stopgrad(idle) }\n"
                    "loss far(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n"
                    "plan q for Two { train { data x=npy(\"x.npy\"), t=npy(\"x.npy\"); loss far; batch 2; steps 2; optim sgd(lr=0.1) } }\n")
        from support import write_npy
        write_npy(self.path("x.npy"), "<f4", (4, 8), [0.5] * 32)
        for _ in range(2):
            self.assertIn("W0312", self.call("train", "c.fil", "--plan", "q", "--out", "w").stderr)

    def test_eight_processes_at_once(self):
        all = [subprocess.Popen([FIL, "train", "c.fil", "--plan", "p", "--out", f"o{i}", "--steps", "2"], cwd=self.folder, env=self.env, stderr=subprocess.PIPE) for i in range(8)]
        for p in all:
            _, err = p.communicate()
            self.assertEqual(p.returncode, 0, err)
        for i in range(1, 8):
            self.assertEqual(self.tensors("o0"), self.tensors(f"o{i}"))
        self.assertEqual(len(self.entries("program")), 1)
        self.assertEqual([f for f in os.listdir(self.path("cache")) if f.startswith(".")], [])

    def test_the_command_lists_verifies_and_clears(self):
        self.assertIn("0 entries", self.call("cache", "list").stdout)
        self.train("o")
        listed = self.call("cache", "list").stdout
        self.assertRegex(listed, r"program +\d+ bytes  [0-9a-f]{32}  model Char, plan p, for native\n")
        self.assertIn("0 entries were damaged", self.call("cache", "verify").stdout)
        with open(self.path(os.path.join("cache", "program", self.entries("program")[0], "content")), "ab") as f:
            f.write(b"x")
        self.assertRegex(self.call("cache", "verify").stdout, r"program .*\n1 entries were damaged")
        self.assertIn("no entry is left", self.call("cache", "clear").stdout)
        self.assertIn("0 entries", self.call("cache", "list").stdout)
        self.call("cache", "list", exit=1, FIL_CACHE_BYTES="0")
        self.call("cache", "burn", exit=2)
        self.assertIn("FIL_CACHE_BYTES", self.call("train", "c.fil", "--plan", "p", "--out", "o", exit=2, FIL_CACHE_BYTES="much").stderr)


if __name__ == "__main__":
    unittest.main()
