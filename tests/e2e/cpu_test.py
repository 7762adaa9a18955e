# SPDX-License-Identifier: Apache-2.0
"""The commands with generated code: what the reference does in the other files, where code could make a difference."""
import json
import os
import re
import unittest
import unittest.mock

from support import CommandTest, read_checkpoint, read_npy, write_npy

CPU = "--backend=cpu"


class Cpu(CommandTest):
    def test_resume_is_bit_for_bit_and_threads_do_not_matter(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "whole", CPU, "--threads", "1")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", CPU, "--threads", "3", "--steps", "5")
        _, err = self.fil("train", "c.fil", "--plan", "p", "--out", "parts", CPU, "--threads", "2", "--resume")
        self.assertNotIn("bits may differ", err)
        self.assertEqual(self.tensors("whole"), self.tensors("parts"))
        self.assertEqual([l["loss"] for l in self.lines("whole")], [l["loss"] for l in self.lines("parts")])
        self.assertIn(read_checkpoint(self.path("whole/last.safetensors"))[0]["target"], ("x86-64-v3", "x86-64-v4"))

    def test_its_losses_are_those_of_the_reference(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "cpu", CPU)
        self.fil("train", "c.fil", "--plan", "p", "--out", "reference")
        for a, b in zip(self.lines("cpu"), self.lines("reference")):
            for key in ("loss", "valid_loss"):
                self.assertAlmostEqual(a.get(key, 0), b.get(key, 0), delta=1e-3)
        _, err = self.fil("train", "c.fil", "--plan", "p", "--out", "reference", CPU, "--resume")
        self.assertIn("bits may differ", err)

    def test_with_the_cache_it_writes_what_whole_evaluations_write(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", CPU)
        text, _ = self.fil("sample", "c.fil", "--weights", "o/last.safetensors", CPU, "--prompt", "to ", "--tokens", "5", "--temperature", "0")
        for n in range(3, 8):
            write_npy(self.path("tok.npy"), "<i4", (1, n), list(text[:n]))
            self.fil("run", "c.fil", "--weights", "o/last.safetensors", CPU, "--in", "tok=tok.npy", "--out", "y.npy")
            last = read_npy(self.path("y.npy"))[1][-256:]
            self.assertGreater(last[text[n]] + 1e-4, max(last))

    def test_explain_names_kernels_and_compile_saves(self):
        block, _ = self.fil("explain", "c.fil", "--plan", "p", CPU, "l[*].Attention")
        self.assertRegex(block, rb"\n  step: wgrad contract[^\n]*\n    rows \[.*\], kernel \w+")
        self.assertRegex(block, rb"\n  step x\d+, init x\d+: kernels that update its variables alone\n$")
        param, _ = self.fil("explain", "c.fil", "--plan", "p", CPU, "l[*].Attention.q")
        self.assertRegex(param, rb"\n  wgrad    contract ")
        for what in (rb"step[^\n]*: forward contract", rb"[^\n]*eval.*: forward contract", rb"step: dgrad contract", rb"step: wgrad contract", rb"step: update map mul.*map sqrt.*; fused with ops of no site", rb"init: update random"):
            self.assertRegex(param, rb"\n  " + what + rb"[^\n]*\n    rows \[.*\], kernel \w+")
        self.assertRegex(param, rb"step: update map mul.*; fused with ops of no site \(reduce sum")  # the norm of all gradients
        self.assertIn(b"    rows [D,H,N], kernel", param)
        self.assertRegex(param, rb"run, decode: [^\n]*\n[^\n]*(\(packing once\)|right side as it is)")  # 8 columns are one register's where it has 8 lanes
        gain, _ = self.fil("explain", "c.fil", "--plan", "p", CPU, "l[*].a")
        self.assertRegex(gain, rb"\n  step: forward map mul; fused with l\[0..2\].rms \(")
        cache, _ = self.fil("explain", "c.fil", "--plan", "p", CPU, "ks")
        self.assertRegex(cache, rb"\n  decode: forward cache")
        self.fil("compile", "c.fil", "--plan", "p", CPU, "-o", "program", "--dump-dir", "dump")
        self.assertGreater(len(self.read("program")), 1000)
        stages = sorted(os.listdir(self.path("dump")))[-4:]
        self.assertEqual([s.partition("-")[2] for s in stages], ["schedule.mlir", "kernels.mlir", "llvm.ll", "asm.s"])
        for name in stages:
            self.assertGreater(len(self.read("dump/" + name)), 1000)
        self.fil("compile", "c.fil", "-o", "program", exit=1, code="E0801")  # the reference makes no code

    def explain(self, *args, **kw):
        return self.fil("explain", "c.fil", CPU, *args, **kw)[0].decode()

    def test_explain_says_why_a_contraction_has_its_tiles(self):
        out = self.explain("--plan", "p", "--dim", "D=64", "L=1", "--target-cpu=x86-64-v3", "l[*].Attention.q")
        self.assertRegex(out, r"\n    f32 m \? n 64 k 64, batch 1: f32 \d+x\d+ \(\d x 8 lanes\) unroll \d of \d+ register tiles, \d+ % of the multiplications")
        self.assertRegex(out, r"\n +tile +score +products a load +chains +rows +columns +panels\n      > \d+x\d+ ")
        self.assertRegex(out, r"\n      mc \d+ nc \d+ kc \d+: a panel \d+ bytes, \d+ % of the second-level cache; a block of A ")

    def test_tiles_that_are_measured_change_no_bit(self):
        plan = ("train", "c.fil", "--plan", "p", "--dim", "D=64", CPU)
        self.fil(*plan, "--out", "plain")
        _, err = self.fil(*plan, "--out", "tuned", "--tune")
        self.assertRegex(err, r"(?m)^tuned \d+ (of \d+ )?contractions of `step`: (none has faster tiles|together other tiles are no faster|[\d.]+ of [\d.]+ ms)$")
        self.assertEqual(self.tensors("plain"), self.tensors("tuned"))
        self.assertEqual([l["loss"] for l in self.lines("plain")], [l["loss"] for l in self.lines("tuned")])
        self.assertIn("register tiles", self.explain("--plan", "p", "--dim", "D=64", "--tune", "l[*].Attention.q"))
        self.fil("compile", "c.fil", CPU, "--tune", "-o", "program", exit=1, code="E0516")  # no plan, no sizes
        self.fil("compile", "c.fil", "--backend=reference", "--tune", "--emit", "kernels", exit=2, code="E0108")

    def test_constants_of_functions_leave_registers_alone(self):
        self.write("rows.fil", "dims R = 64, X = 1024\nmodel M(a: [R,X], b: [R,X]) -> [R,X] = silu(a) * softmax(b, over X)\n")
        assembly = self.fil("compile", CPU, "rows.fil", "--emit=asm", "--target-cpu", "x86-64-v3")[0].decode()
        self.assertGreaterEqual(len(re.findall(r"vfmadd213ps\s+\.L", assembly)), 12)  # two exp, with operands in memory
        self.assertNotRegex(assembly, r"vmovaps\s+%ymm\d+, %ymm\d+\n\s+vfmadd")

    def test_caches_can_be_stated(self):
        small, large = ("FIL_TARGET_CACHES", "16K,64K,1M"), ("FIL_TARGET_CACHES", "32K,64M,64M")
        tiles = []
        for name, value in (small, large):
            with unittest.mock.patch.dict(os.environ, {name: value}):
                tiles.append(re.search(r"mc \d+ nc \d+ kc \d+", self.explain("--plan", "p", "--dim", "D=256", "L=1", "l[*].Attention.q")).group(0))
        self.assertNotEqual(*tiles)
        for wrong in ("32K", "32K,16K,1M", "a,b,c", "1K,2K,3K,4K", "32K,512K,"):
            with unittest.mock.patch.dict(os.environ, {"FIL_TARGET_CACHES": wrong}):
                self.fil("explain", "c.fil", CPU, "--kernels", exit=2, code="E0703")

    def test_few_tiles_pack_a_right_side_that_changes(self):
        self.write("q.fil", "dims M = 300, N = 48, K = 336\nmodel P(x: [M,K], z: [N,K], w: [K,N]) -> [M,N] {\n  let a = dot(x, z, over K)\n  let b = dot(x, w, over K)\n  return softmax(a, over M) + softmax(b, over M)\n}\n")
        with unittest.mock.patch.dict(os.environ, {"FIL_TARGET_CACHES": "8K,32K,1M"}):
            out = self.fil("explain", "q.fil", CPU, "--kernels")[0].decode()
        self.assertEqual(len(re.findall(r"contract \(f32 [^)]*\([^)]*\)[^)]*, right side packed by tiles, in place\)", out)), 2, out)
        self.assertNotIn("(packing", out)

    def test_kernels_of_a_program_are_listed(self):
        out = self.explain("--plan", "p", "--kernels")
        self.assertRegex(out, r"(^|\n)[0-9a-f]{16} rows \[B,T,D\]: gather\n  \d+ bytes of code, \d+ instructions, \d+ % of them vector\n"
                              r"  step \(B=4 T=8\): 1 launch of 32 tiles, 0 FLOPs, 2176 bytes, 0 FLOPs a byte; Char\n")  # 32 indices, and 256 values read and written
        self.assertRegex(out, r"\n  decode \(B=1 S=8 T=1\): 2 launches of ")  # one for each layer
        kernels, code = re.search(r"\n(\d+) kernels, (\d+) bytes of code, \d+ instructions, \d+ % of them vector\n$", out).groups()
        self.assertEqual(int(kernels), len(re.findall(r"^[0-9a-f]{16} ", out, re.M)))
        self.assertEqual(int(code), sum(int(n) for n in re.findall(r"^  (\d+) bytes of code, ", out, re.M)))
        self.assertNotIn("warning", out)
        step = self.explain("--plan", "p", "--kernels", "--entry", "step", "--at", "B=5", "T=3")
        self.assertIn("  step (B=5 T=3): 1 launch of 15 tiles, ", step)
        self.assertNotIn("decode", step)
        self.assertRegex(self.explain("--kernels", "--entry", "step"), r"step \(B=32\): 1 launch of 32\*T tiles")  # no window: formulas

    def test_memory_of_a_program_is_told(self):
        out = self.explain("--plan", "p", "--memory")
        self.assertTrue(out.startswith("variables: params "))
        entries = re.findall(r"\n\n(\w+) \((.*)\)\n  arena ([\d,]+) bytes, at most ([\d,]+) alive at once: (\d\.\d+), within 1\.15(?:; [\d,]+ bytes with room to grow)?\n  at the peak: ", out)
        self.assertEqual({name: sizes for name, sizes, *_ in entries}["step"], "B=4 S=8 T=8")
        for _, _, arena, most, ratio in entries:
            self.assertGreaterEqual(int(arena.replace(",", "")), int(most.replace(",", "")))
            self.assertLessEqual(float(ratio), 1.15)
        self.assertRegex(out, r"\n +[\d,]+  c\.fil:18  map add at loss\.xent\.logsumexp, a group's result\n")
        self.assertRegex(out, r"\n +[\d,]+  c\.fil:\d+  \w+.*, saved by a loop\n")
        larger = self.explain("--plan", "p", "--memory", "--entry", "step", "--at", "B=40")
        self.assertIn("\nstep (B=40 S=8 T=8)\n", larger)
        for at, said in (("Q=3", "error[E0108]: `--at`: no call has a dim `Q`\n  = help: dims that a call decides: B, S, T\n"),
                         ("V=3", "error[E0108]: `--at`: the program is compiled for V=256\n  = help: `--dim V=3` compiles it for another size\n")):
            self.assertEqual(self.fil("explain", "c.fil", "--plan", "p", CPU, "--memory", "--at", at, exit=2)[1], said)
        self.assertNotIn("\neval", larger)

    def test_scores_of_attention_are_in_no_memory(self):
        forms = {"plain": ("", "score"), "bias": ("param b, g: [H] = 1", "score * g + b"), "slope": ("param g: [H] = 0.1", "score - g * (position(T) - position(S))"),
                 "capped": ("", "20 * tanh(layernorm(score, over S) / 20)"), "twice": ("param u: D -> (H, N)", "score + dot(x @ u, ks, over N)")}
        for form, (params, score) in forms.items():
            for before, after in (("layers l in 0..2 {", "}"), ("", "")):
                self.write("scores.fil", "dims B, T, S\ndims D = 32, H = 4, N = 16\nmodel M(x: [B,T,D]) -> [B,T,D] {\n" + before +
                           f" param q, k, v: D -> (H, N); param o: (H, N) -> D\n {params}\n cache ks: [B,S,H,N] <- x @ k; cache vs: [B,S,H,N] <- x @ v\n let score = dot(x @ q, ks, over N) / 4\n"
                           f" x += dot(softmax({score} where causal(T, S), over S), vs, over S) @ o\n{after}\n return x\n}}\nloss l(y: [B,T,D], t: [B,T,D]) = mean((y - t)^2, over B, T, D)\n"
                           'plan p for M { train { data x=npy("x.npy"), t=npy("t.npy"); batch 4; steps 8 } }\n')
                out = self.fil("explain", "scores.fil", "--plan", "p", CPU, "--memory", "--entry", "step", "--at", "T=1024")[0].decode()
                arena = int(re.search(r"\n  arena ([\d,]+) bytes", out).group(1).replace(",", ""))
                self.assertLess(arena, 4 * 4 * 1024 * 1024 * 4 / 2, (form, before)) # of one tensor of scores

    def test_what_the_gradient_computes_again_is_told_and_forced(self):
        def bytes_of(*plan):
            out = self.explain("--plan", "p", "--memory", "--entry", "step", *plan)
            arena, kept, again, rule = re.search(r"\n  arena ([\d,]+) bytes(?:.|\n)*\n  for the gradient ([\d,]+) bytes are kept, and what would be ([\d,]+) is computed again \(remat (.*)\)\n", out).groups()
            return *(int(n.replace(",", "")) for n in (arena, kept, again)), rule
        auto, none, every, attention = (bytes_of(*p) for p in ((), *(("--set", f"partition.remat={r}") for r in ("none", "all", "Attention"))))
        self.assertEqual([x[3] for x in (auto, none, every, attention)], ["auto", "none", "all", "l[0..2].Attention"])
        self.assertEqual(none[2], 0)
        for less, more in ((every, attention), (attention, auto), (auto, none)):
            self.assertLessEqual(less[0], more[0])
            self.assertLessEqual(less[1], more[1])
        self.assertLess(every[0], none[0])
        told = self.fil("explain", "c.fil", "--plan", "p", CPU, "l[*].Attention")[0].decode()
        self.assertRegex(told, r"\n  for the gradient contract +\[B,T,H,N\]  x2  kept, \d+\*B\*T bytes: a contraction, and not one whose result is larger")
        self.assertRegex(told, r"\n  for the gradient map exp +\[B,T,S,H\]  x2  computed again: \d+ additions an element\n")
        told = self.fil("explain", "c.fil", "--plan", "p", CPU, "--set", "partition.remat=all", "l[*].Attention")[0].decode()
        self.assertNotIn("  kept", told)
        losses = {}
        for rule in ("auto", "none", "all"):
            self.fil("train", "c.fil", "--plan", "p", "--out", rule, CPU, "--set", f"partition.remat={rule}")
            losses[rule] = [l["loss"] for l in self.lines(rule)]
        for rule in ("none", "all"):
            for a, b in zip(losses["auto"], losses[rule]):
                self.assertAlmostEqual(a, b, delta=1e-3)

    def test_explain_of_a_whole_program_refuses_what_it_cannot(self):
        for what in ("--kernels", "--memory"):
            self.fil("explain", "c.fil", CPU, what, "--entry", "nothing", exit=2, code="E0108")
            self.fil("explain", "c.fil", CPU, what, "--at", "B", exit=2, code="E0105")
            self.fil("explain", "c.fil", what, exit=1, code="E0801")  # of the reference
        self.fil("explain", "c.fil", CPU, "--memory", "--entry", "step", exit=1, code="E0516")  # T has no size
        self.fil("explain", "c.fil", CPU, "q", "--entry", "step", exit=2, code="E0108")
        self.fil("explain", "c.fil", CPU, "--memory", "--profile", "p.json", exit=2, code="E0108")
        self.fil("explain", "c.fil", CPU, "--memory", "--kernels", exit=2, code="E0108")
        self.fil("explain", "c.fil", CPU, "--profile", "absent.json", "emb", exit=1, code="E0501")
        self.fil("explain", "c.fil", CPU, "--kernels", "--profile", "absent.json", exit=1, code="E0501")
        self.write("p.json", "{}")
        self.fil("explain", "c.fil", CPU, "--kernels", "--profile", "p.json", exit=1, code="E0522")

    def test_a_profile_stands_beside_the_limits_of_the_machine(self):
        self.fil("train", "k.fil", "--plan", "p", "--out", "o", CPU)
        run = ("run", "k.fil", "--weights", "o/last.safetensors", "--in", "x=x.npy", "--out")
        self.fil(*run, "y.npy", CPU)
        _, err = self.fil(*run, "z.npy", CPU, "--profile", "--profile-out", "p.json")
        self.assertEqual(self.read("y.npy"), self.read("z.npy"))
        self.assertRegex(err, r"^  seconds  share     calls  GFLOP/s    GB/s    of limit  launch\n")
        self.assertRegex(err, r"\d+% (flops|bytes)  run .*: rows \[B,K\]: ")
        self.assertRegex(err, r"\nlimits, measured in this run: [\d.]+ GFLOP/s \(f32, x86-64-v\d\), [\d.]+ GB/s, \d+ threads?;")
        profile = json.loads(self.read("p.json"))
        self.assertEqual({l["entry"] for l in profile["launches"]}, {"run"})
        for l in profile["launches"]:
            self.assertGreaterEqual(l["calls"], 3)
        self.assertEqual(profile["launches"][0]["flops"], profile["launches"][0]["calls"] * 30 * (2 * 4 * 3 + 3))  # x @ w + b of 30 rows
        out = self.fil("explain", "k.fil", "--plan", "p", CPU, "--kernels", "--entry", "step", "--profile", "p.json")[0].decode()
        self.assertIn("  not in the profile\n", out)
        self.assertRegex(out, r"\nlimits, measured with the profile: ")
        self.fil("train", "c.fil", "--plan", "p", "--out", "t", CPU, "--profile-out", "t.json")
        of = lambda site: re.findall(r"\n    measured in step: (\d+) launches in [\d.e-]+ s, [\d.]+ GFLOP/s, [\d.]+ GB/s, \d+ % of the limit \((?:operations|bytes)\)\n", self.explain("--plan", "p", "--profile", "t.json", site))
        self.assertGreaterEqual(len(of("l[0].Attention.o")), 3)  # forward and both gradients
        self.assertEqual({int(n) % 2 for n in of("l[0].Attention.o")}, {0})  # two turns each
        self.assertNotIn("measured", self.explain("--plan", "p", "l[0].Attention.o"))
        out = self.explain("--plan", "p", "--kernels", "--entry", "step", "--profile", "t.json")
        self.assertRegex(out, r"\n  measured: \d+ launches in [\d.e-]+ s, [\d.]+ GFLOP/s, [\d.]+ GB/s, \d+ % of the limit \((operations|bytes)\)\n")
        self.fil(*run, "z.npy", "--profile", exit=1, code="E0801")  # the reference has no launches


if __name__ == "__main__":
    unittest.main()
