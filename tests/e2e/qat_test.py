# SPDX-License-Identifier: Apache-2.0
"""Whole numbers: as a user trains them, converts them and runs them, and as the base of adapters."""
import math
import random
import struct
import unittest
from collections import Counter

from support import CHAR, CommandTest, change_checkpoint, read_checkpoint, read_npy, write_checkpoint, write_npy

MODEL = """
dims B
dims D = 32, F = 48, E = 8, L = 3
block FFN(x: [B,D]) -> [B,D] { param up: D -> F; param down: F -> D; return relu(x @ up) @ down }
model Net(x: [B,D]) -> [B,E] {
  param head: D -> E
  let h = x
  layers l in 0..L { h += FFN(h) }
  return h @ head
}
loss mse(y: [B,E], t: [B,E]) = mean((y - t)^2, over B, E)
plan dense for Net { train { data x=npy("x.npy"), t=npy("t.npy"); split 0.75; batch 16; steps 80; optim adamw(lr=1e-2) } }
plan four for Net from dense { precision { qat bits=4 acts=8 warm=25%; l[0].FFN: qat bits=2; head: f32 } }
plan eight for Net from dense { train { steps 8 }; precision { qat bits=8 acts=8 } }
plan kept for Net from dense { precision { default int8 } }
plan tuned for Net from dense { train { steps 8 }; precision { {up,down}: int4 }; lora { {up,down}: r=2 } }
plan merged for Net from tuned { lora { up: r=2 merge=always } }
plan both for Net from dense { precision { qat bits=4; up: int4 } }
plan parted for Net from eight { precision { master split; moments bf16 } }
plan again for Net from eight { partition { remat all } }
plan beside for Net from eight { lora { up: r=2 } }
plan none for Net from dense { precision { qat bits=4; **: bf16 } }
plan few for Net from dense { precision { **: int4 } }
plan exact for Net from dense { precision { **: int8 } }
plan inputs for Net from dense { precision { **: int8 acts=8 } }
"""


class Qat(CommandTest):
    def setUp(self):
        super().setUp()
        rng = random.Random(5)
        self.write("m.fil", MODEL)
        x = [rng.gauss(0, 1) for _ in range(256 * 32)]
        w = [rng.gauss(0, 0.3) for _ in range(32 * 8)]
        t = [math.tanh(sum(x[r * 32 + k] * w[k * 8 + e] for k in range(32))) for r in range(256) for e in range(8)]
        write_npy(self.path("x.npy"), "<f4", (256, 32), x)
        write_npy(self.path("t.npy"), "<f4", (256, 8), t)
        write_npy(self.path("one.npy"), "<f4", (1, 32), x[:32])

    def train(self, plan, out, *more, **expected):
        return self.fil("train", "m.fil", "--plan", plan, "--out", out, "--backend=cpu", *more, **expected)

    def tensors_of(self, file):
        return read_checkpoint(self.path(file))[1]

    def run_of(self, weights, *more, x="x"):
        self.fil("run", "m.fil", "--weights", weights, "--in", f"x={x}.npy", "--out", "y.npy", "--backend=cpu", *more)
        return read_npy(self.path("y.npy"))[1]

    def numbers(self, tensor, bits):
        """In the order of a [K, N] map of which 8 / bits lie in a byte, along K."""
        together, (rows, columns) = 8 // bits, tensor[1]
        wide = lambda n: n - (1 << bits) if n >= 1 << (bits - 1) else n
        return [wide(tensor[2][r * columns + c] >> (bits * k) & (1 << bits) - 1) for r in range(rows) for k in range(together) for c in range(columns)]

    def apart(self, source, to, name, numbers):
        """The file with a byte for each number of one map."""
        metadata, tensors = read_checkpoint(self.path(source))
        kind, shape, _ = tensors[name]
        tensors[name] = kind, [len(numbers) // shape[1], shape[1]], bytes(b & 255 for b in numbers)
        write_checkpoint(self.path(to), metadata, tensors)

    def test_trains_resumes_converts_and_runs_the_same_bits(self):
        self.train("four", "o")
        tensors = self.tensors("o")
        self.assertEqual(tensors["l[2].FFN.up.qat_scale"][1], [48])
        self.assertEqual(tensors["l[2].FFN.up.qat_in_gain"][1], [])
        self.assertNotIn("l[0].FFN.up.qat_in_scale", tensors)  # its line has no `acts`
        self.assertNotIn("head.qat_scale", tensors)
        self.train("four", "part", "--steps", "30")
        self.train("four", "part", "--resume")
        self.assertEqual(tensors, self.tensors("part"))
        _, err = self.fil("convert", "m.fil", "--weights", "o/last.safetensors", "--out", "whole.safetensors")
        self.assertIn("6 maps as whole numbers, plan four_whole", err)
        for x in ("x", "one"):
            self.assertEqual(self.run_of("o/last.safetensors", x=x), self.run_of("whole.safetensors", x=x))
        whole = self.tensors_of("whole.safetensors")
        self.assertEqual(whole["l[1].FFN.up"][0], "I8")
        # Four numbers of two bits have a byte, and two of four; a file with one in each, as others write it, is the same.
        self.assertEqual(whole["l[0].FFN.down"][1], [12, 32])
        self.assertEqual({n for n, count in Counter(self.numbers(whole["l[0].FFN.down"], 2)).items() if count}, {-2, -1, 0, 1})
        self.assertEqual(whole["l[1].FFN.down"][1], [24, 32])
        alone = self.numbers(whole["l[1].FFN.down"], 4)
        self.assertGreater(len(set(alone)), 8)
        self.apart("whole.safetensors", "apart.safetensors", "l[1].FFN.down", alone)
        self.assertEqual(self.run_of("whole.safetensors"), self.run_of("apart.safetensors"))
        self.apart("whole.safetensors", "apart.safetensors", "l[1].FFN.down", [8] + alone[1:])
        _, err = self.fil("run", "m.fil", "--weights", "apart.safetensors", "--in", "x=x.npy", exit=1, code="E0513")
        self.assertIn("`l[1].FFN.down` has numbers of more than 4 bits", err)
        change_checkpoint(self.path("whole.safetensors"), self.path("none.safetensors"), {"l[1].FFN.up.in_scale": lambda data, shape: bytes(len(data))})
        _, err = self.fil("run", "m.fil", "--weights", "none.safetensors", "--in", "x=x.npy", exit=1, code="E0513")
        self.assertIn("has not begun to round what `l[1].FFN.up` is multiplied by", err)
        # Training goes on from the scales, and a plan without `qat` does not take them for its own.
        self.train("four", "more", "--weights", "o/last.safetensors", "--steps", "2")
        self.fil("run", "m.fil", "--weights", "o/last.safetensors", "--plan", "dense", "--in", "x=x.npy", exit=1, code="E0513")
        self.fil("train", "m.fil", "--plan", "dense", "--weights", "whole.safetensors", "--out", "p", exit=1, code="E0513")

    def test_begins_with_dense_weights(self):
        self.train("dense", "o")
        self.train("eight", "q", "--weights", "o/last.safetensors")
        scales = lambda out, map: set(self.floats(self.tensors(out)[f"{map}.qat_scale"]))
        self.assertGreater(min(scales("q", "l[1].FFN.up")), 0)
        self.train("four", "none", "--weights", "o/last.safetensors", "--steps", "20")  # before `warm` is over, which the line of l[0] lacks
        self.assertEqual(scales("none", "l[1].FFN.up"), {0.0})
        self.assertNotIn(0.0, scales("none", "l[0].FFN.up"))

    def test_rounds_weights_as_they_are(self):
        self.train("dense", "o")
        want = self.run_of("o/last.safetensors")
        got = self.run_of("o/last.safetensors", "--plan", "kept")
        worst = max(abs(a - b) for a, b in zip(want, got)) / max(map(abs, want))
        self.assertTrue(0 < worst < 0.05, worst)
        self.fil("convert", "m.fil", "--plan", "kept", "--weights", "o/last.safetensors", "--out", "kept.safetensors")
        self.assertEqual(got, self.run_of("kept.safetensors"))
        self.fil("convert", "m.fil", "--weights", "o/last.safetensors", "--out", "no", exit=1, code="E0510")
        _, err = self.fil("run", "m.fil", "--plan", "inputs", "--weights", "o/last.safetensors", "--in", "x=x.npy", exit=1, code="E0513")
        self.assertIn("no scale for what `head` is multiplied by", err)

    def test_converts_only_what_was_trained_so(self):
        self.train("dense", "o")
        self.train("four", "begin", "--steps", "1", "--set", "precision.qat.warm=50%", "--set", "precision.qat.bits=8")
        self.fil("convert", "m.fil", "--weights", "begin/last.safetensors", "--out", "no", exit=1, code="E0513")
        self.train("beside", "tuned", "--weights", "o/last.safetensors")
        _, err = self.fil("convert", "m.fil", "--weights", "tuned/last.safetensors", "--out", "no", exit=1, code="E0513")
        self.assertIn("it is the frozen base of adapters", err)
        # Scales of 8 bits are none of 4; parts of params are those that training reads; layers may be computed again.
        for plan in ("parted", "again"):
            self.train(plan, plan)
            self.fil("convert", "m.fil", "--weights", f"{plan}/last.safetensors", "--out", "w")
            self.assertEqual(self.run_of(f"{plan}/last.safetensors"), self.run_of("w"))
        want = self.run_of("again/last.safetensors")
        got = self.run_of("again/last.safetensors", "--plan", "few")
        self.assertLess(max(abs(a - b) for a, b in zip(want, got)) / max(map(abs, want)), 0.5)
        _, err = self.fil("run", "m.fil", "--weights", "w", "--plan", "few", "--in", "x=x.npy", exit=1, code="E0513")
        self.assertIn("more than 4 bits", err)

    def test_are_the_base_of_adapters(self):
        self.train("dense", "o")
        self.train("tuned", "t", "--weights", "o/last.safetensors")
        begun = self.tensors_of("t/last.safetensors")
        self.assertEqual(begun["l[0].FFN.up"][0], "I8")
        self.assertIn("l[0].FFN.up.lora_A", begun)
        self.train("tuned", "p", "--weights", "o/last.safetensors", "--steps", "0")
        self.assertEqual(begun["l[0].FFN.up"], self.tensors_of("p/last.safetensors")["l[0].FFN.up"])  # frozen
        self.assertNotEqual(begun["l[0].FFN.up.lora_B"], self.tensors_of("p/last.safetensors")["l[0].FFN.up.lora_B"])
        # A run whose files have a byte for each number goes on.
        self.train("tuned", "part", "--weights", "o/last.safetensors", "--steps", "4")
        self.apart("part/last.safetensors", "part/last.safetensors", "l[0].FFN.up", self.numbers(begun["l[0].FFN.up"], 4))
        self.train("tuned", "part", "--resume")
        self.assertEqual(self.tensors_of("part/last.safetensors"), begun)

    def test_refuses_with_place_and_remedy(self):
        for plan, code, text in (("kept", "P0453", "is trained, and the plan keeps it as whole numbers"), ("both", "P0434", "leave one of them out; `fil convert` makes one of the other"),
                                 ("merged", "P0429", "two further products")):
            _, err = self.train(plan, "x", exit=1, code=code)
            self.assertIn(text, err)
            self.assertRegex(err, r"--> m\.fil:\d+:\d+")
        self.write("l.fil", "plan last for Net from four { train { steps 10 }; precision { qat bits=4 warm=90% } }")
        self.fil("train", "m.fil", "l.fil", "--plan", "last", "--out", "x")  # in its last step
        self.write("l.fil", "plan late for Net from four { precision { qat bits=4 steps=20 warm=100% } }")
        self.assertIn("behind `warm` less than a step of", self.fil("train", "m.fil", "l.fil", "--plan", "late", "--out", "x", exit=1, code="P0458")[1])
        self.assertIn("warning[W0315]: the line quantises nothing", self.fil("compile", "m.fil", "--plan", "none")[1])
        self.write("w.fil", "plan wide for Net from dense { precision { default f64; qat bits=8 } }")
        self.fil("check", "m.fil", "w.fil", exit=1, code="P0444")
        self.write("w.fil", "plan worse for Net from dense { precision { qat bits=5 } }")
        _, err = self.fil("check", "m.fil", "w.fil", exit=1, code="P0404")
        self.assertIn("takes `8`, `4`, `3` or `2`", err)

    def test_are_explained(self):
        out = self.fil("explain", "m.fil", "--plan", "four", "l[1].FFN.up")[0].decode()
        self.assertRegex(out, r"facet qat: `qat bits=4 acts=8 warm=25%` .*: whole numbers of 4 bits times scales, which are .* multiplied by whole numbers of 8 bits: sums of 32 products are exact in f32")
        out = self.fil("plan", "m.fil", "--diff", "dense", "four")[0].decode()
        self.assertRegex(out, r"rounding, relative +6e-08 -> 0\.25")
        out = self.fil("plan", "m.fil", "--plan", "four", "--expand")[0].decode()
        self.assertIn("approximate (whole numbers; measure: the loss of f32)", out)
        # A plan of `run` has no step to look at.
        self.assertRegex(self.fil("plan", "m.fil", "--diff", "dense", "exact")[0].decode(), r"of `run`(.|\n)*params, bytes +\S+ -> \S+ \(0\.\d+x\)")
        self.assertIn("whole numbers of 8 bits", self.fil("explain", "m.fil", "--plan", "exact", "head")[0].decode())

    def test_texts_are_written_by_whole_numbers(self):
        self.write("c.fil", CHAR + "plan q for Char from p { precision { default bf16; qat bits=4 acts=8; emb: qat bits=8 } }\n")
        self.write("t.txt", "the quick brown fox jumps over the lazy dog. " * 20)
        self.fil("train", "c.fil", "--plan", "q", "--out", "o", "--backend=cpu")
        self.fil("convert", "c.fil", "--weights", "o/last.safetensors", "--out", "w")
        said = [self.fil("sample", "c.fil", "--weights", f, "--prompt", "the ", "--tokens", "40", "--backend=cpu")[0] for f in ("o/last.safetensors", "w")]
        self.assertEqual(said[0], said[1])


if __name__ == "__main__":
    unittest.main()
