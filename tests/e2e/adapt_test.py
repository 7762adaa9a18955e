# SPDX-License-Identifier: Apache-2.0
"""Formats that follow the data: what rises when one channel is an outlier, what is told of it, and what a run that stops and goes on does."""
import array
import json
import re
import struct
import unittest

from support import CharTest, change_checkpoint, read_checkpoint

LINES = "{q,k,v,o}: fp8 e4m3 tile(tensor, tensor)"
PLANS = f"""
plan base for Char from p {{ train {{ steps 40; optim adamw(lr=1e-2) }} }}
plan still for Char from p {{ train {{ steps 12; optim sgd(lr=1e-30) }} }}
plan adapts for Char from still {{ precision {{ {LINES}; adapt every=2 {{ budget flops <= 30% }} }} }}
plan frugal for Char from adapts {{ precision {{ adapt every=2 {{ budget flops <= 3% }} }} }}
plan returns for Char from still {{ precision {{ {LINES}; adapt every=1 {{ up out_snr < 80dB; down out_snr > 20dB for 2; budget flops <= 100%; rest 1 }} }} }}
plan returns16 for Char from returns {{ precision {{ {{q,k,v,o}}: bf16; adapt every=1 {{ up out_snr < 1dB; down out_snr > 1000dB }} }} }}
plan tight for Char from returns {{ precision {{ adapt every=1 {{ budget flops <= 3%; down out_snr > 1000dB; rest 1000000000000 }} }} }}
plan mixed for Char from still {{ precision {{ q: fp8 e4m3 wgrad=bf16; adapt every=1 {{ up out_snr < 80dB; budget flops <= 100% }} }} }}
plan half for Char from still {{ precision {{ q: f16 out=f32; adapt every=1 {{ up out_snr < 20dB; down out_snr > 28dB for 1; budget flops <= 100%; rest 1 }} }} }}
plan beside for Char from still {{ precision {{ {{k,v,o}}: fp8 e4m3 tile(tensor, tensor); q: qat bits=8; adapt every=1 {{ up out_snr < 80dB; budget flops <= 100% }} }} }}
plan plain for Char from p {{ precision {{ adapt }} }}
plan frozen for Char from p {{ precision {{ {LINES}; adapt }}; lora {{ q: r=2 }} }}
"""


def times(factor, row=None):
    """All elements, or those of a row of the first axis."""
    def edit(data, shape):
        values = array.array("f", data)
        length = len(values) // shape[0]
        for i in range(len(values)) if row is None else range(row * length, (row + 1) * length):
            values[i] *= factor
        return values.tobytes()
    return edit


def level(n):
    return lambda data, shape: struct.pack("<i", n)


def rescaled(path, to, layer, channel, by):
    """The norm's gain of a hidden channel times `by`, the maps that read it over `by`: the function is the same."""
    change_checkpoint(path, to, {f"l[{layer}].a": times(by, channel), **{f"l[{layer}].Attention.{x}": times(1 / by, channel) for x in "qkv"}})


def changes(err):
    return re.findall(r"^step (\d+): (\S+) (\w+) -> (\w+)( refused, the budget is used up)?: (.*)$", err, re.M)


class Adapt(CharTest):
    plans = PLANS

    def outlier(self):
        self.train("base", "b", "--backend=cpu")
        rescaled(self.path("b/last.safetensors"), self.path("x.safetensors"), 1, 3, 1e5)
        return "--weights", "x.safetensors"

    def levels(self, out):
        return {n: struct.unpack("<i", t[2])[0] for n, t in self.tensors(out).items() if n.endswith("#level")}

    def test_the_products_of_an_outlier_rise_and_no_others(self):
        weights = self.outlier()
        self.train("still", "s", *weights, "--backend=cpu")
        self.assertLess(abs(self.lines("s")[0]["loss"] / self.lines("b")[-1]["loss"] - 1), 0.2)
        for backend in ("cpu", "reference"):
            err = self.train("adapts", backend, *weights, "--backend", backend)
            risen = changes(err)
            self.assertEqual({c[1] for c in risen}, {"l[1].Attention." + x for x in "qkv"}, err)
            self.assertEqual({(c[0], c[2], c[3], c[4]) for c in risen}, {("1", "e4m3", "bf16", "")})
            self.assertIn("formats: 3 of 8 products above their own", err)
            self.assertEqual({n for n, x in self.levels(backend).items() if x == 16}, {f"l[1].Attention.{x}#level" for x in "qkv"})
            shares = [line.get("promoted") for line in self.lines(backend)]
            self.assertEqual([x is not None for x in shares], [i % 2 == 0 and i / 12 < 0.9 for i in range(12)])
            self.assertTrue(0.05 < shares[0] < 0.3 and shares[0] == shares[-2], shares)
            self.assertLess(abs(self.lines(backend)[-1]["loss"] / self.lines("s")[-1]["loss"] - 1), 0.02)
            tape = [json.loads(line) for line in self.read(backend + "/tape.jsonl").decode().splitlines()]
            self.assertEqual([(t["step"], sorted(t["adapt"])) for t in tape if "adapt" in t], [(1, ["l[1].Attention." + x for x in "kqv"])])

    def test_the_budget_lasts_for_the_worst(self):
        err = self.train("frugal", "o", *self.outlier(), "--backend=cpu")
        first = [c for c in changes(err) if c[0] == "1"]
        self.assertEqual([bool(c[4]) for c in first], [False, True, True], err)
        decibels = [float(re.search(r"out_snr (\S+)dB", c[5])[1]) for c in first]
        self.assertEqual(decibels, sorted(decibels))
        self.assertEqual(sum(self.levels("o").values()), 16)

    def test_a_run_that_goes_up_and_down_resumes_and_replays(self):
        err = self.train("returns", "o", "--backend=cpu")
        for product in ("l[0].Attention.q", "l[1].Attention.o"):  # a look each step; behind each change one at rest, and two that `down` needs
            self.assertEqual([(int(c[0]), c[2], c[3]) for c in changes(err) if c[1] == product],
                             [(1, "e4m3", "bf16"), (3, "bf16", "f32"), (6, "f32", "bf16"), (8, "bf16", "f32"), (11, "f32", "bf16")])
        self.train("returns", "p", "--steps", "4", "--backend=cpu")
        self.train("returns", "p", "--resume", "--backend=cpu")
        self.assertEqual(self.tensors("o"), self.tensors("p"))
        self.assertRegex(self.fil("replay", "o/tape.jsonl", "--out", "r")[1], r"the same to the bit: 3 checkpoints, 0 edits, [1-9]\d* changes of formats")
        self.assertEqual(self.read("o/tape.jsonl").splitlines()[1:2], self.read("p/tape.jsonl").splitlines()[1:2])
        tape = self.read("o/tape.jsonl").decode().replace("e4m3 -> bf16", "e4m3 -> f32", 1)
        self.write("false.jsonl", tape)
        self.assertRegex(self.fil("replay", "false.jsonl", "--out", "r", exit=3, code="E0707")[1], r"the format of `l\[\d\]\.Attention\.\w` differs")
        self.assertEqual(len(self.fil("sample", "c.fil", "--weights", "o/last.safetensors", "--tokens", "12")[0]), 12)

    def test_weights_of_other_plans_begin_at_their_own_format(self):
        self.train("returns", "o", "--steps", "2")
        self.assertTrue(any(self.levels("o").values()))
        self.train("p", "q", "--weights", "o/last.safetensors", "--steps", "1")  # the levels are the run's
        self.train("adapts", "r", "--weights", "q/last.safetensors", "--steps", "1")
        self.assertFalse(any(self.levels("r").values()))

    def test_levels_go_from_plan_to_plan(self):
        self.train("returns", "o", "--steps", "10", "--backend=cpu")
        self.assertEqual(set(self.levels("o").values()), {32})
        for plan in ("returns16", "returns"):
            self.train(plan, plan, "--weights", "o/last.safetensors", "--steps", "1", "--backend=cpu")
            self.assertEqual(set(self.levels(plan).values()), {32}, plan)
        err = self.train("tight", "t", "--weights", "o/last.safetensors", "--backend=cpu")  # down to what the budget has room for, level by level
        self.assertRegex(err, r"step 1: l\[\d\]\.Attention\.\w f32 -> bf16: over the budget")
        self.assertRegex(err, r"formats: [01] of 8 products above their own, with [0-2]\.\d+% of a step's operations")
        change_checkpoint(self.path("o/last.safetensors"), self.path("bad.safetensors"), {"l[0].Attention.q#level": level(7)})
        self.assertIn("`l[0].Attention.q#level` is 7", self.fil("train", "c.fil", "--plan", "returns", "--weights", "bad.safetensors", "--out", "x", exit=1, code="E0513")[1])

    def test_numbers_beyond_the_range_keep_a_product_up(self):
        self.train("half", "o", "--steps", "1", "--backend=cpu")
        edits = {f"l[{x}].Attention.q#level": level(32) for x in (0, 1)} | {f"l[{x}].a": times(1e6) for x in (0, 1)}
        change_checkpoint(self.path("o/last.safetensors"), self.path("wide.safetensors"), edits)
        for backend in ("cpu", "reference"):
            err = self.train("half", backend, "--weights", "wide.safetensors", "--backend", backend)
            self.assertEqual(changes(err), [], err)
            self.assertEqual(set(self.levels(backend).values()), {32})

    def test_each_role_has_its_own_format_until_the_level_is_above_it(self):
        self.train("mixed", "m", "--steps", "1", "--backend=cpu")
        text = self.fil("compile", "c.fil", "--plan", "mixed", "--emit=precision", "--backend=cpu")[0].decode()
        step = text[text.index('entry "step"'):]
        compared = [line for line in step[:step.index("fil.func")].splitlines() if "fil.map lt(" in line]
        of = {role: sum(f"role<{role}>" in line for line in compared) for role in ("dgrad", "wgrad")}
        self.assertEqual((len(compared) - sum(of.values()), of), (2, {"dgrad": 2, "wgrad": 1}))  # at 16 bits the gradient of weights is what it was

    def test_maps_of_qat_keep_their_whole_numbers(self):
        err = self.train("beside", "o", "--steps", "3", "--backend=cpu")
        self.assertEqual({n.split(".")[-1] for n in self.levels("o")}, {"k#level", "v#level", "o#level"})
        self.assertEqual({c[1].split(".")[-1] for c in changes(err)}, {"k", "v", "o"})

    def test_what_goes_on_without_a_look_tells_what_it_knows(self):
        self.train("returns", "o", "--steps", "11", "--backend=cpu")
        self.assertIn("formats: 8 of 8 products above their own\n", self.train("returns", "o", "--resume", "--backend=cpu"))

    def test_what_nothing_adapts_is_told(self):
        for plan in ("plain", "frozen"):
            err = self.train(plan, plan, "--steps", "1")
            self.assertRegex(err, r"warning\[W0316\]: nothing adapts.*\n --> c\.fil:\d+:\d+")
        for text, code, why in (("default f64; adapt", "P0444", "`adapt` beside `default f64`"), ("adapt { up out_snr < 22 }", "P0407", "dB"), ("adapt { up underflow > 3dB }", "P0407", ""),
                                ("adapt { up loss < 3dB }", "P0407", ""), ("adapt { down out_snr > 28dB for 0 }", "P0407", ""), ("adapt every=0", "P0407", ""), ("adapt { budget params <= 3% }", "P0407", "")):
            self.write("w.fil", f"plan wrong for Char from p {{ precision {{ {text} }} }}\n")
            r = self.fil("train", "c.fil", "w.fil", "--plan", "wrong", "--out", "x", exit=1)[1]
            self.assertRegex(r, r"error\[P04\d\d\]")
            self.assertIn(why, r)
            self.assertRegex(r, r"w\.fil:1:\d+")

    def test_it_is_explained_and_expanded(self):
        text = self.fil("plan", "c.fil", "--plan", "adapts", "--expand")[0].decode()
        self.assertRegex(text, r"\n    adapt every=2 \{ +// c\.fil:\d+, approximate \(formats that follow the data; measure: the loss of f32\)\n")
        for line in ("up out_snr < 22dB or underflow > 5%", "down out_snr > 28dB for 3", "budget flops <= 30%", "rest 2"):
            self.assertIn("\n      " + line, text)
        self.write("again.fil", re.sub(r" *//.*", "", text.replace("plan adapts", "plan again")))
        again = self.fil("plan", "c.fil", "again.fil", "--plan", "again", "--expand")[0].decode()
        self.assertEqual(re.search(r"// program (\w+)", text)[1], re.search(r"// program (\w+)", again)[1])
        text = self.fil("explain", "c.fil", "l[*].Attention", "--plan", "adapts", "--backend=cpu")[0].decode()
        self.assertIn("levels of products, 8: its own format at first, then the wider ones of bf16 and f32; every 2 steps `observe` runs in place of `step` and looks", text)
        self.assertIn("format with adapt: the site's format is where adapting begins", text)


if __name__ == "__main__":
    unittest.main()
