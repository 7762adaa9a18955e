# SPDX-License-Identifier: Apache-2.0
"""The commands with generated code: what the reference does in the other files, where code could make a difference."""
import unittest

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
        for what in (rb"step, eval.*: forward contract", rb"step: dgrad contract", rb"step: wgrad contract", rb"step: update map mul.*map sqrt.*; fused with ops of no site", rb"init: update random"):
            self.assertRegex(param, rb"\n  " + what + rb"[^\n]*\n    rows \[.*\], kernel \w+")
        self.assertRegex(param, rb"step: update map mul.*; fused with ops of no site \(reduce sum")  # the norm of all gradients
        self.assertIn(b"    rows [D,H,N], kernel", param)
        gain, _ = self.fil("explain", "c.fil", "--plan", "p", CPU, "l[*].a")
        self.assertRegex(gain, rb"\n  step: forward map mul; fused with l\[0..2\].rms \(")
        cache, _ = self.fil("explain", "c.fil", "--plan", "p", CPU, "ks")
        self.assertRegex(cache, rb"\n  decode: forward cache")
        self.fil("compile", "c.fil", "--plan", "p", CPU, "-o", "program", "--dump-dir", "dump")
        self.assertGreater(len(self.read("program")), 1000)
        for name in ("08-schedule.mlir", "09-kernels.mlir", "10-llvm.ll", "11-asm.s"):
            self.assertGreater(len(self.read("dump/" + name)), 1000)
        self.fil("compile", "c.fil", "-o", "program", exit=1, code="E0801")  # the reference makes no code


if __name__ == "__main__":
    unittest.main()
