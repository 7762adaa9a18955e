# SPDX-License-Identifier: Apache-2.0
"""Maps that are stored as the weights that they have: as a user trains, resumes, tunes and runs them."""
import struct
import unittest

from support import CharTest, change_checkpoint

PLANS = """
plan half for Char from p { train { steps 8 }; sparsity { {q,k,v}: nm(2, 4) } }
plan cut for Char from p { train { steps 8 }; sparsity { {q,k,v}: blocks(2x2) density=0.5; l[1].Attention.o: blocks(4x1) density=1 } }
plan parts for Char from half { precision { master split } }
plan whole for Char from half { precision { q: int8 } }
plan few for Char from half { precision { {q,k}: int4; v: int2 } }
plan cutfew for Char from cut { precision { {q,k}: int4 } }
plan tuned for Char from half { train { steps 4 }; lora { q: r=2 } }
plan masked for Char from cut { train { steps 4 }; lora { q: r=2 merge=masked } }
"""


class Patterns(CharTest):
    plans = PLANS

    def there(self, tensors, name):
        """For each weight of 8 x 2 x 4 the number of its value, None where there is none."""
        places = [None] * 64
        if name + ".pattern" in tensors:
            dtype, shape, data = tensors[name + ".pattern"]
            self.assertEqual((dtype, shape), ("I8", [2, 2, 4]))
            for group in range(2):
                for column in range(8):
                    kept = [i for i in range(4) if data[group * 8 + column] >> i & 1]
                    self.assertEqual((len(kept), data[group * 8 + column] >> 4), (2, 0))
                    for slot, i in enumerate(kept):
                        places[(group * 4 + i) * 8 + column] = (group * 2 + slot) * 8 + column
            return places
        slots = struct.unpack("<16i", tensors[name + ".slots"][2])
        self.assertEqual((tensors[name + ".slots"][:2], tensors[name + ".places"][:2]), (("I32", [4, 2, 2]), ("I32", [2, 2, 2])))
        for row in range(8):
            for column in range(8):
                slot = slots[row // 2 * 4 + column // 2]
                places[row * 8 + column] = None if slot < 0 else (slot * 2 + row % 2) * 8 + column
        self.assertEqual(sorted(p for p in places if p is not None), list(range(32)))
        return places

    def test_what_is_there_is_random_and_stays(self):
        for plan in ("half", "cut"):
            self.train(plan, plan)
            begun = (self.train(plan, "first", "--steps", "1"), self.tensors("first"))[1]
            tensors = self.tensors(plan)
            patterns = {n: t for n, t in tensors.items() if n.split(".")[-1] in ("pattern", "slots", "places")}
            self.assertEqual(len(patterns), 6 if plan == "half" else 12)  # a density that leaves out nothing has none
            self.assertEqual(patterns, {n: begun[n] for n in patterns})
            self.assertGreater(len({t[2] for t in patterns.values()}), 4)
            for part in ("", "#m", "#v"):
                self.assertEqual(tensors["l[0].Attention.q" + part][1], [2, 2, 2, 4])
            self.there(tensors, "l[0].Attention.q")

    def test_a_resumed_run_is_the_run_and_samples_in_any_way(self):
        for plan in ("half", "cut", "parts"):
            self.train(plan, plan)
            self.train(plan, plan + "2", "--steps", "3")
            self.train(plan, plan + "2", "--resume")
            self.assertEqual(self.tensors(plan), self.tensors(plan + "2"), plan)
            said = [self.fil("sample", "c.fil", "--weights", f"{plan}/last.safetensors", "--tokens", "20", "--temperature", "0", *more)[0] for more in ((), ("--backend", "reference"))]
            self.assertEqual(said[0], said[1])

    def test_dense_weights_begin_with_their_largest(self):
        for dense, plans in (("p", ("half", "cut", "parts", "whole")), ("halves", ("half",))):
            self.write("h.fil", "plan halves for Char from p { precision { master split } }")
            self.fil("train", "c.fil", "h.fil", "--plan", dense, "--out", dense)
            weights = self.tensors(dense)
            for plan in plans:
                if plan == "whole":  # sampled alone: what is not trained
                    self.fil("sample", "c.fil", "--plan", plan, "--weights", f"{dense}/last.safetensors", "--tokens", "4", "--temperature", "0")
                    continue
                self.train(plan, plan, "--weights", f"{dense}/last.safetensors", "--set", "train.optim=sgd(lr=1e-30)", "--steps", "1")
                tensors = self.tensors(plan)
                for name in ("l[0].Attention.q", "l[1].Attention.v"):
                    whole, places, values = self.floats(weights[name]) if dense == "p" else None, self.there(tensors, name), tensors[name]
                    if plan == "parts" or dense == "halves":
                        self.assertEqual(len(places), 64)
                        continue
                    values = self.floats(values)
                    for place, w in zip(places, whole):
                        if place is not None:
                            self.assertEqual(values[place], w)
                    if plan == "half":
                        for group in range(2):
                            for column in range(8):
                                inside = [(abs(whole[(group * 4 + i) * 8 + column]), places[(group * 4 + i) * 8 + column] is not None) for i in range(4)]
                                self.assertGreaterEqual(min(w for w, t in inside if t), max(w for w, t in inside if not t))
                    else:
                        for part in range(4):
                            sums = [(sum(abs(whole[(g * 2 + i) * 8 + part * 2 + j]) for i in range(2) for j in range(2)), places[g * 16 + part * 2] is not None) for g in range(4)]
                            self.assertGreaterEqual(min(s for s, t in sums if t), max(s for s, t in sums if not t))

    def test_adapters_and_whole_numbers_stand_beside(self):
        for base, plan in (("half", "tuned"), ("cut", "masked")):
            self.train(base, base)
            begun = self.tensors(base)
            self.train(plan, plan, "--weights", f"{base}/last.safetensors")
            tuned = self.tensors(plan)
            for name, tensor in begun.items():
                if "#" not in name:
                    self.assertEqual(tuned[name], tensor, name)
        self.fil("train", "c.fil", "--plan", "tuned", "--set", "lora.q.merge=always", "--out", "x", exit=1)
        self.train("p", "dense")
        for plan, weights in (("whole", "half"), ("few", "half"), ("few", "dense"), ("cutfew", "cut"), ("cutfew", "dense")):
            said = [self.fil("sample", "c.fil", "--plan", plan, "--weights", f"{weights}/last.safetensors", "--tokens", "20", "--temperature", "0", *how)[0] for how in ((), ("--backend", "reference"))]
            self.assertEqual(said[0], said[1], (plan, weights))

    def test_what_contradicts_the_plan_is_refused(self):
        self.train("half", "half")
        self.train("cut", "cut")
        for plan, weights, text in (("p", "half", "has a part of the weights of `l[0].Attention.q` and their pattern, and the plan has all of them"), ("p", "cut", "and the plan has all of them"), ("cut", "half", "has weights of `l[0].Attention.q` by another pattern than the plan")):
            self.assertIn(text, self.train(plan, "x", "--weights", f"{weights}/last.safetensors", exit=1, code="E0513"))
        name = "l[0].Attention.q"
        for run, part, data, text in (("half", ".pattern", b"\x03" * 15 + b"\x07", "a group of 4 has 3 weights"), ("half", ".pattern", b"\x03" * 15 + b"\x21", "a group of 4 has 2 weights"), ("cut", ".places", struct.pack("<8i", *[9] * 8), "contradict each other"), ("cut", ".slots", struct.pack("<16i", *range(16)), "`l[0].Attention.q.slots`")):
            change_checkpoint(self.path(f"{run}/last.safetensors"), self.path("bad.safetensors"), {name + part: lambda old, shape: data})
            self.assertIn(text, self.train(run, "x", "--weights", "bad.safetensors", exit=1, code="E0513"))

    def test_lines_that_fit_no_map_are_refused(self):
        self.write("w.fil", """
plan odd for Char from p { sparsity { q: nm(2, 3) } }
plan across for Char from p { sparsity { q: blocks(2x3) density=0.5 } }
plan both for Char from p { sparsity { q: nm(2, 4) }; lora { q: r=2 merge=always } }
plan dora for Char from p { sparsity { q: nm(2, 4) }; lora { q: r=2 merge=masked variant=dora } }
""")
        self.write("n.fil", "plan many for Char from p { sparsity { q: nm(5, 4) } }\nplan wide for Char from p { sparsity { q: nm(2, 16) } }")
        self.assertRegex(self.fil("check", "c.fil", "n.fil", exit=1, code="P0455")[1], r"`nm\(5, 4\)` is no pattern[^~]*`nm\(2, 16\)` is no pattern")
        for shape in ("0x2", "2x0", "2x2x2", "99999999999999999999x4"):
            self.write("n.fil", f"plan shape for Char from p {{ sparsity {{ q: blocks({shape}) density=0.5 }} }}")
            self.assertIn(f"found `{shape}`", self.fil("check", "c.fil", "n.fil", exit=1, code="P0404")[1])
        self.write("v.fil", """
dims B, D = 8, C <= 4
model V(x: [B,D], i: index<C>[B]) -> [B,D] { param u: () -> D; param e: C -> D; return x * u + e[i] }
plan left for V { sparsity { u: blocks(1x1) density=0.5 } }
plan open for V { sparsity { e: nm(1, 2) } }
""")
        for plan, text in (("left", "and `u` has no left side"), ("open", "and `e` is over `C`, which has no fixed size")):
            self.assertIn(text, self.fil("compile", "v.fil", "--plan", plan, "--emit=fil", exit=1, code="P0456")[1])
        for plan, code, text in (("odd", "P0442", "granules of 3 neighbours do not divide `D`, which is 8"), ("across", "P0442", "granules of 2x3 do not divide `N`, which is 4"),
                                 ("both", "P0412", "merged density would be 1.00 instead of 0.50"), ("dora", "P0430", "norms of the whole sum")):
            self.assertIn(text, self.fil("train", "c.fil", "w.fil", "--plan", plan, "--out", "o", exit=1, code=code)[1])

    def test_what_it_saves_is_told(self):
        out = self.fil("explain", "c.fil", "--plan", "half", "l[0].Attention.q")[0].decode()
        self.assertRegex(out, r"facet blocks: `\{q,k,v\}: nm\(2, 4\)` at c.fil:\d+, part of the program since `fil-sparsity-add-patterns`: 256 bytes of weights and 32 of their pattern in place of 512 \(0.56x\), what the optimizer keeps 0.50x; products are dense ones")
        out = self.fil("explain", "c.fil", "--plan", "cut", "l[0].Attention.q")[0].decode()
        self.assertRegex(out, r"128 bytes of weights and 96 of their pattern in place of 256 \(0.88x\), what the optimizer keeps 0.50x; 0 of \d+ products are computed granule by granule")
        out = self.fil("plan", "c.fil", "--diff", "p", "half")[0].decode()
        self.assertRegex(out, r"\nl\.Attention\.q\n.*params 512 -> 256 \(0.50x\); optimizer 1024 -> 512 \(0.50x\)")
        self.assertRegex(out, r"\n  rounding, relative +6e-08\n")
        text = self.fil("plan", "c.fil", "--plan", "half", "--expand")[0].decode()
        self.assertRegex(text, r"\n    \{q,k,v\}: nm\(2, 4\) +// c.fil:\d+, approximate \(weights left out")


if __name__ == "__main__":
    unittest.main()
