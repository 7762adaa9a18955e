# SPDX-License-Identifier: Apache-2.0
"""Gates of neurons and channels: as a user trains them, puts them on a trained model, and has their shares chosen."""
import math
import os
import random
import re
import unittest

from support import CommandTest, read_checkpoint, read_npy, write_npy

MODEL = """
dims B
dims D = 32, F = 64, E = 8, L = 3
block FFN(x: [B,D]) -> [B,D] { param gate, up: D -> F; param down: F -> D; return (tanh(x @ gate) * (x @ up)) @ down }
model Net(x: [B,D]) -> [B,E] {
  param head: D -> E
  let h = x
  layers l in 0..L { h += FFN(h) }
  return h @ head
}
loss mse(y: [B,E], t: [B,E]) = mean((y - t)^2, over B, E)
plan dense for Net { train { data x=npy("x.npy"), t=npy("t.npy"); split 0.75; batch 16; steps 60; optim adamw(lr=1e-2) } }
plan gated for Net from dense { sparsity { FFN: gate neurons keep=0.5 predictor=lowrank(4) granule=16 } }
plan single for Net from dense { train { steps 4 }; sparsity { l[1].FFN: gate neurons keep=0.25 predictor=lowrank(2) granule=1 } }
plan open for Net from dense { sparsity { budget flops <= 70%; FFN: gate neurons predictor=lowrank(4) } }
plan half for Net from dense { sparsity { up: gate neurons keep=0.5 } }
plan nothing for Net from dense { sparsity { head: gate neurons keep=0.5 } }
plan uneven for Net from dense { sparsity { FFN: gate neurons keep=0.5 granule=24 } }
plan mixed for Net from dense { sparsity { budget flops <= 80%; l[0].FFN: gate neurons keep=0.5 predictor=lowrank(4); l[1..].FFN: gate neurons predictor=lowrank(4) } }
plan narrow for Net from open { precision { default bf16 } }
plan tuned for Net from gated { train { steps 4 }; lora { {up,down}: r=2 } }
plan missed for Net from gated { train { steps 20 }; sparsity { FFN: gate neurons keep=0.01 predictor=lowrank(1) }; require { loss >= 1 } } // the dense model learns these few rows by heart
plan tight for Net from dense { sparsity { budget flops <= 1%; FFN: gate neurons predictor=lowrank(4) } }
"""


class Gates(CommandTest):
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
        write_npy(self.path("many.npy"), "<f4", (40, 32), x[:40 * 32])

    def fil(self, command, *args, **expected):
        return super().fil(command, *args, *(["--backend=cpu"] if command in ("train", "run", "explain") else []), **expected)

    def train(self, plan, out, *more, **expected):
        return self.fil("train", "m.fil", "--plan", plan, "--out", out, *more, **expected)

    def test_trains_resumes_and_runs_a_row_as_among_many(self):
        self.train("gated", "o")
        tensors = self.tensors("o")
        self.assertEqual(tensors["l[2].FFN.up.gate_A"][1], [32, 4])
        self.assertEqual(tensors["l[0].FFN.gate.gate_B"][1], [4, 64])
        self.assertNotIn("l[0].FFN.down.gate_A", tensors)
        self.train("gated", "part", "--steps", "20")
        self.train("gated", "part", "--resume")
        self.assertEqual(tensors, self.tensors("part"))
        for name in ("one", "many"):
            self.fil("run", "m.fil", "--weights", "o/last.safetensors", "--in", f"x={name}.npy", "--out", f"{name}.out.npy")
        self.assertEqual(read_npy(self.path("one.out.npy"))[1], read_npy(self.path("many.out.npy"))[1][:8])
        first = self.tensors("part")["l[0].FFN.up.gate_A"]
        self.train("gated", "begun", "--steps", "0")
        self.assertNotEqual(first, self.tensors("begun")["l[0].FFN.up.gate_A"])  # predictors learn

    def test_one_turn_of_a_loop_has_a_gate_of_single_neurons(self):
        self.train("single", "o")
        self.assertEqual([n for n in sorted(self.tensors("o")) if ".gate_" in n and "#" not in n],
                         ["l[1].FFN.gate.gate_A", "l[1].FFN.gate.gate_B", "l[1].FFN.up.gate_A", "l[1].FFN.up.gate_B"])

    def test_predictors_of_a_dense_checkpoint_are_of_its_singular_vectors(self):
        self.train("dense", "d")
        self.train("gated", "g", "--weights", "d/last.safetensors", "--steps", "0")
        tensors = self.tensors("g")
        w, a, b = (self.floats(tensors["l[1].FFN.up" + n]) for n in ("", ".gate_A", ".gate_B"))
        # Left and right vectors of the best approximation: W b' = a (b b'), W' a = b' (a' a), and a' a = b b' is diagonal.
        gram = [[sum(a[k * 4 + i] * a[k * 4 + j] for k in range(32)) for j in range(4)] for i in range(4)]
        other = [[sum(b[i * 64 + f] * b[j * 64 + f] for f in range(64)) for j in range(4)] for i in range(4)]
        for i in range(4):
            for j in range(4):
                self.assertAlmostEqual(gram[i][j], other[i][j], delta=1e-4 * gram[0][0])
                if i != j:
                    self.assertAlmostEqual(gram[i][j], 0, delta=1e-4 * gram[0][0])
            self.assertGreaterEqual(gram[i][i], gram[min(i + 1, 3)][min(i + 1, 3)])
            for k in range(32):
                self.assertAlmostEqual(sum(w[k * 64 + f] * b[i * 64 + f] for f in range(64)), a[k * 4 + i] * gram[i][i], delta=4e-3 * gram[0][0])
        self.fil("run", "m.fil", "--plan", "gated", "--weights", "d/last.safetensors", "--in", "x=one.npy", "--out", "y.npy")
        _, err = self.fil("run", "m.fil", "--plan", "dense", "--weights", "g/last.safetensors", "--in", "x=one.npy", exit=1, code="E0513")
        self.assertIn("the plan has no gate for it", err)

    def test_co_active_neurons_become_neighbours(self):
        self.train("dense", "d")
        group = lambda plan, *more, **expected: self.fil("calibrate", "m.fil", "--plan", plan, "--weights", "d/last.safetensors", "--group", "g.safetensors", *more, **expected)
        _, err = group("gated")
        shares = [tuple(map(float, x)) for x in re.findall(r"`l\[\d\]\.FFN\.gate`: the larger half of its granules of 16 has ([\d.]+)% of the magnitudes, ([\d.]+)% before; of single neurons ([\d.]+)%", err)]
        self.assertEqual(len(shares), 3, err)
        for after, before, single in shares:
            self.assertGreater(after, before)
            self.assertLess(after, single)
        grouped, dense = self.read("g.safetensors"), self.tensors("d")
        group("gated")  # the program is in the cache now
        self.assertEqual(self.read("g.safetensors"), grouped)
        tensors = read_checkpoint(self.path("g.safetensors"))[1]
        self.assertEqual(sorted(tensors), sorted(n for n in dense if "#" not in n))
        for turn in range(3):
            columns = lambda all, name: list(zip(*[iter(self.floats(all[f"l[{turn}].FFN.{name}"]))] * 64))
            before = {name: list(zip(*columns(dense, name))) for name in ("gate", "up")}
            after = {name: list(zip(*columns(tensors, name))) for name in ("gate", "up")}
            order = [before["up"].index(c) for c in after["up"]]
            self.assertEqual(sorted(order), list(range(64)))
            self.assertNotEqual(order, list(range(64)))
            for i in range(0, 64, 16):
                self.assertEqual(order[i:i + 16], sorted(order[i:i + 16]))
            self.assertEqual([before["gate"][i] for i in order], after["gate"])
            rows = lambda all: list(zip(*[iter(self.floats(all[f"l[{turn}].FFN.down"]))] * 32))
            self.assertEqual([rows(dense)[i] for i in order], rows(tensors))
        self.assertEqual(dense["head"], tensors["head"])
        for weights in ("d/last", "g"):  # the function is the same
            self.fil("run", "m.fil", "--plan", "dense", "--weights", weights + ".safetensors", "--in", "x=many.npy", "--out", weights.replace("/", "_") + ".npy")
        for a, b in zip(read_npy(self.path("d_last.npy"))[1], read_npy(self.path("g.npy"))[1]):
            self.assertAlmostEqual(a, b, delta=1e-4)
        self.fil("run", "m.fil", "--plan", "gated", "--weights", "g.safetensors", "--in", "x=one.npy", "--out", "y.npy")
        found, _ = self.fil("calibrate", "m.fil", "--plan", "open", "--weights", "d/last.safetensors", "--samples", "64", "--group", "h.safetensors", "--backend=reference")
        self.assertIn(b"plan open_calibrated for Net from open", found)  # the shares are those of the grouped neurons
        self.write("n.fil", MODEL + "plan masked for Net from gated { sparsity { FFN: gate neurons keep=0.5 predictor=lowrank(4) granule=16; up: prune density=0.5 every=5 granule=16 } }\n")
        _, err = self.fil("calibrate", "n.fil", "--plan", "masked", "--weights", "d/last.safetensors", "--group", "g.safetensors", exit=1, code="E0510")
        self.assertIn("cannot change places: it is stored with a mask", err)
        for plan in ("single", "tuned"):
            _, err = group(plan, exit=1, code="E0510")
            self.assertIn("the plan has no gate whose neurons may change places", err)

    def test_neurons_that_others_see_keep_their_places(self):
        model = """
dims B
dims D = 32, F = 64, E = 8, L = 2
model Net(x: [B,D]) -> [B,E] {{
  param head: D -> E
  {}
  return h @ head
}}
loss mse(y: [B,E], t: [B,E]) = mean((y - t)^2, over B, E)
plan dense for Net {{ train {{ data x=npy("x.npy"), t=npy("t.npy"); split 0.75; batch 16; steps 20; optim adamw(lr=1e-2) }} }}
plan gated for Net from dense {{ sparsity {{ {}: gate neurons keep=0.5 predictor=lowrank(4) granule=16 }} }}
plan parts for Net from gated {{ precision {{ master split }} }}
plan pruned for Net from dense {{ sparsity {{ {}: prune density=0.5 every=5 granule=16 }} }}
"""
        layers = lambda body, outside="": f"let h = x\n  {outside}\n  layers l in 0..L {{ param up: D -> F;  {'' if 'down' in outside else 'param down: F -> D;'}  {body} }}"
        refused = {  # one order for all turns of what has one for each; read in training alone; a param that is multiplied too; one that a loop carries
            "outside": layers("h += tanh(h @ up) @ down", "param down: F -> D"),
            "training": layers("param n: [F] = 1;  let u = tanh(h @ up);  h += (if training { u * n } else { u }) @ down"),
            "multiplied": "param bias: [F] = normal(1);  param up: D -> F;  param w: F -> F;  param down: F -> D\n  let h = tanh(x @ up + bias + bias @ w) @ down",
            "carried": layers("h += tanh(h @ up + bias) @ down", "param bias: [F] = 1;  param w: F -> D;  let c = bias\n  layers m in 0..L { param q: [F] = 1;  c = tanh(c * q) }\n  h += c @ w"),
        }
        for name, body in refused.items():
            self.write("m.fil", model.format(body, "{up,w}" if name == "multiplied" else "up", "up"))
            self.train("dense", name)
            _, err = self.fil("calibrate", "m.fil", "--plan", "gated", "--weights", f"{name}/last.safetensors", "--group", "g.safetensors", exit=1, code="E0510")
            self.assertIn("the plan has no gate whose neurons may change places", err)
        # Of two maps in a row the first one's; what is kept in two parts; what has a mask.
        chain = "param a: D -> F;  param b: F -> D;  param c: D -> D\n  let h = tanh(tanh(x @ a) @ b) @ c"
        self.write("m.fil", model.format(chain, "{a,b}", "a"))
        self.train("dense", "c", "--set", "precision.master=split")
        self.assertIn("a#low", self.tensors("c"))
        results = []
        for plan in ("gated", "parts"):
            self.fil("calibrate", "m.fil", "--plan", plan, "--weights", "c/last.safetensors", "--group", plan + ".safetensors")
            results.append(self.read(plan + ".safetensors"))
        self.assertEqual(*results)  # whatever the plan keeps
        self.assertNotEqual(results[0], self.read("c/last.safetensors"))
        for weights in ("c/last", "parts"):
            self.fil("run", "m.fil", "--plan", "dense", "--weights", weights + ".safetensors", "--in", "x=many.npy", "--out", weights.replace("/", "_") + ".npy")
        for a, b in zip(read_npy(self.path("c_last.npy"))[1], read_npy(self.path("parts.npy"))[1]):
            self.assertAlmostEqual(a, b, delta=1e-4)
        self.train("pruned", "p")
        _, err = self.fil("calibrate", "m.fil", "--plan", "gated", "--weights", "p/last.safetensors", "--group", "g.safetensors", exit=1, code="E0510")
        self.assertIn("has a mask of `a`, which belongs to its places", err)

    def test_calibrate_keeps_a_budget(self):
        self.train("dense", "d")
        _, err = self.fil("calibrate", "m.fil", "--plan", "open", "--weights", "d/last.safetensors", "--samples", "64", "--out", "found.fil")
        self.assertRegex(err, r"loss [0-9.]+ with all neurons, [0-9.]+ with [0-9.]+% of the operations, on 64 samples")
        found = self.read("found.fil").decode()
        self.assertEqual(len(re.findall(r"\n    l\[[012]\]\.FFN\.(gate|up): gate neurons keep=[01](\.\d+)? predictor=lowrank\(4\)", found)), 6, found)
        out = self.fil("plan", "m.fil", "found.fil", "--diff", "dense", "open_calibrated")[0].decode()
        before, after = re.search(r"operations of `run` +(\d+)\*B -> (\d+)\*B", out).groups()
        self.assertLess(int(after), 0.72 * int(before))
        self.assertGreater(int(after), 0.6 * int(before))
        self.assertAlmostEqual(float(re.search(r"with ([0-9.]+)% of the operations", err)[1]), 100 * int(after) / int(before), delta=1)  # what keeps all has no predictor
        self.write("w.fil", "plan whole for Net from dense { sparsity { budget flops <= 100%; FFN: gate neurons predictor=lowrank(4) } }")
        whole = self.fil("calibrate", "m.fil", "w.fil", "--plan", "whole", "--weights", "d/last.safetensors", "--samples", "64")
        self.assertIn("with 100% of the operations", whole[1])
        self.assertNotIn(b"keep=0", whole[0])
        self.write("w.fil", "plan dear for Net from dense { sparsity { budget flops <= 100%; FFN: gate neurons predictor=lowrank(24) } }")
        self.assertIn("with 100% of the operations", self.fil("calibrate", "m.fil", "w.fil", "--plan", "dear", "--weights", "d/last.safetensors", "--samples", "64")[1])
        self.assertEqual(self.fil("calibrate", "m.fil", "--plan", "open", "--weights", "d/last.safetensors", "--samples", "64")[0].decode(), found)
        self.fil("train", "m.fil", "found.fil", "--plan", "open_calibrated", "--weights", "d/last.safetensors", "--out", "t")
        for plan, share in (("mixed", 0.8), ("narrow", 0.7)):
            self.fil("calibrate", "m.fil", "--plan", plan, "--weights", "d/last.safetensors", "--samples", "64", "--out", "other.fil")
            out = self.fil("plan", "m.fil", "other.fil", "--diff", "dense", plan + "_calibrated")[0].decode()
            before, after = re.search(r"operations of `run` +(\d+)\*B -> (\d+)\*B", out).groups()
            self.assertLess(int(after), 1.02 * share * int(before), plan)
            self.assertGreater(int(after), 0.85 * share * int(before), plan)
        self.fil("calibrate", "m.fil", "--plan", "tight", "--weights", "d/last.safetensors", exit=1, code="P0451")
        self.fil("calibrate", "m.fil", "--plan", "gated", "--weights", "d/last.safetensors", exit=1, code="E0510")

    def test_is_refused_with_place_and_remedy(self):
        for plan, code, text in (("half", "P0447", "name both in one line"), ("nothing", "P0446", "no other map sums what `head` gives"), ("uneven", "P0448", "granules of 24 do not divide `F`, which is 64"),
                                 ("unsaid", "P0449", "budget flops <= 40%"), ("open", "P0450", "fil calibrate")):
            self.write("m.fil", MODEL + ("plan unsaid for Net from dense { sparsity { FFN: gate neurons } }\n" if plan == "unsaid" else ""))
            _, err = self.train(plan, "o", exit=1, code=code)
            self.assertIn(text, err)
            self.assertRegex(err, r"m\.fil:\d+:\d+")

    def test_a_gate_stays_beside_adapters_and_is_named_as_a_cause(self):
        self.train("gated", "g")
        self.train("tuned", "t", "--weights", "g/last.safetensors")
        self.assertEqual(self.tensors("g")["l[0].FFN.up.gate_B"], self.tensors("t")["l[0].FFN.up.gate_B"])  # frozen
        self.fil("run", "m.fil", "--weights", "t/last.safetensors", "--in", "x=many.npy", "--out", "a.npy")
        out = self.fil("compile", "m.fil", "--plan", "tuned", "--emit=sparsity")[0].decode()
        run = out[out.index('entry "run"'):]
        self.assertEqual(run.count("fil.highest"), 1)  # in the body of the loop
        _, err = self.fil("validate", "m.fil", "--plan", "missed", exit=3, code="E0708")
        self.assertIn("it is missed because of `FFN: gate neurons keep=0.01", err)
        self.write("w.fil", "plan wrong for Net from gated { lora { up: r=2 merge=always } }")
        _, err = self.fil("train", "m.fil", "w.fil", "--plan", "wrong", "--out", "o", exit=1, code="P0430")
        self.assertIn("the predictor stands in for the map, not for its sum with an adapter", err)

    def test_explain_and_diff_tell(self):
        out = self.fil("explain", "m.fil", "l[0..3].FFN.up", "--plan", "gated")[0].decode()
        self.assertRegex(out, r"facet gate: .*predictors of \d+ params choose 2 of 4 granules; \d of 3 products of `run`")
        out = self.fil("plan", "m.fil", "--plan", "gated", "--expand")[0].decode()
        self.assertIn("neurons left out; measure: the loss of the dense plan", out)


IMAGES = """
dims B, Y, X, C=16, F=64, K=3
block Conv(x: [B,Cin,Y,X], Cout) -> [B,Cout,Y,X] {
  param w: (Cin, ky:3, kx:3) -> Cout
  return BatchNorm(window(x, Y by ky, X by kx, pad=same) @ w, C=Cout)
}
model Net(img: [B, rgb:3, Y, X]) -> [B,K] {
  param head: C -> K
  return mean(relu(Conv(relu(Conv(relu(Conv(img, C)), F)), C)), over Y, X) @ head
}
loss nll(y: [B,K], t: index<K>[B]) = mean(xent(y, t, over K), over B)
plan dense for Net { train { data img=npy("img.npy"), t=npy("t.npy"); split 0.75; batch 12; steps 40; optim adamw(lr=1e-2); seed 3; validate accuracy } }
plan gated for Net from dense { sparsity { Conv[1]: gate channels keep=0.5 hysteresis=0.1 } }
plan ranked for Net from dense { sparsity { Conv[1]: gate channels keep=0.5 predictor=lowrank(4) } }
plan open for Net from dense { sparsity { budget flops <= 70%; Conv[1]: gate channels } }
"""


class Channels(CommandTest):
    def setUp(self):
        super().setUp()
        rng = random.Random(6)
        self.write("m.fil", IMAGES)
        t = [rng.randrange(3) for _ in range(96)]
        pixels = [rng.gauss(0, 1) + (2 if y % 3 == t[b] else 0) for b in range(96) for _ in range(3) for y in range(8) for _ in range(6)]
        write_npy(self.path("img.npy"), "<f4", (96, 3, 8, 6), pixels)
        write_npy(self.path("t.npy"), "<i4", (96,), t)
        write_npy(self.path("one.npy"), "<f4", (1, 3, 8, 6), pixels[:144])

    def test_trains_resumes_and_gives_a_sample_the_same_bits_as_among_many(self):
        for plan in ("gated", "ranked"):
            out, err = self.fil("train", "m.fil", "--plan", plan, "--out", plan)
            self.assertIn("accuracy 1", (out.decode() + err).replace("accuracy 1.0", "accuracy 1"))
            self.fil("train", "m.fil", "--plan", plan, "--out", "part", "--steps", "20")
            self.fil("train", "m.fil", "--plan", plan, "--out", "part", "--resume")
            self.assertEqual(self.tensors(plan), self.tensors("part"))
            for name in ("one", "img"):
                self.fil("run", "m.fil", "--plan", plan, "--weights", plan + "/last.safetensors", "--in", f"img={name}.npy", "--out", name + "_y.npy")
            one, many = (read_npy(self.path(name + "_y.npy"))[1] for name in ("one", "img"))
            self.assertEqual(list(one), list(many[:3]))
        held = self.floats(self.tensors("gated")["Conv[1].w.gate_held"])
        self.assertEqual(len(held), 4)
        self.assertAlmostEqual(sum(held), 2 * (1 - 0.9 ** 40), places=4)  # half of four, in each step

    def test_tells_of_another_predictor_and_forgets_what_is_remembered(self):
        self.write("p.fil", "plan other for Net from gated { sparsity { Conv[1]: gate channels keep=0.5 predictor=lowrank(2) } }\nplan steady for Net from dense { sparsity { Conv[1]: gate channels keep=0.5 } }\n")
        for plan in ("gated", "other"):
            self.fil("train", "m.fil", "p.fil", "--plan", plan, "--out", plan, "--steps", "2")
        for plan, weights, text in (("other", "gated", "of `squeeze`"), ("gated", "other", "of `lowrank`")):
            _, err = self.fil("run", "m.fil", "p.fil", "--plan", plan, "--weights", weights + "/last.safetensors", "--in", "img=one.npy", exit=1, code="E0513")
            self.assertIn("has another predictor of `Conv[1].w` than the plan: " + text, err)
        self.fil("run", "m.fil", "p.fil", "--plan", "steady", "--weights", "gated/last.safetensors", "--in", "img=one.npy", "--out", "y.npy")

    def test_what_is_squeezed_begins_as_the_magnitudes_of_a_dense_map(self):
        self.fil("train", "m.fil", "--plan", "dense", "--out", "d")
        self.fil("train", "m.fil", "--plan", "gated", "--weights", "d/last.safetensors", "--out", "g", "--steps", "0")
        w, s = (self.floats(self.tensors("g")["Conv[1].w" + name]) for name in ("", ".gate_S"))
        for c in range(16):
            for f in range(64):
                self.assertAlmostEqual(s[c * 64 + f], sum(abs(w[(c * 9 + k) * 64 + f]) for k in range(9)), places=4)
        # Of a map that is kept as whole numbers they are those of its values.
        for predictor in ("squeeze", "lowrank(4)"):
            self.write("w.fil", f"plan real for Net from dense {{ sparsity {{ Conv[1]: gate channels keep=0.5 predictor={predictor} }} }}\n"
                       f"plan whole for Net from dense {{ sparsity {{ Conv[1]: gate channels keep=0.5 predictor={predictor} }}; precision {{ Conv[1].w: int4 }} }}\n"
                       f"plan eight for Net from dense {{ sparsity {{ Conv[1]: gate channels keep=0.5 predictor={predictor} }}; precision {{ Conv[1].w: int8 }} }}\n")
            for plan in ("eight", "whole"):
                self.fil("convert", "m.fil", "w.fil", "--plan", plan, "--weights", "d/last.safetensors", "--out", plan)
            self.fil("train", "m.fil", "w.fil", "--plan", "real", "--weights", "d/last.safetensors", "--out", "r", "--steps", "0")
            for name in (".gate_S",) if predictor == "squeeze" else (".gate_A", ".gate_B"):
                want = self.floats(self.tensors("r")["Conv[1].w" + name])
                for plan, bound in (("eight", 0.02), ("whole", 0.35)):
                    got = self.floats(read_checkpoint(self.path(plan))[1]["Conv[1].w" + name])
                    worst = math.sqrt(sum((abs(a) - abs(b)) ** 2 for a, b in zip(want, got)) / sum(a * a for a in want))
                    self.assertLess(worst, bound, (plan, name))
        _, err = self.fil("calibrate", "m.fil", "--plan", "open", "--weights", "d/last.safetensors", "--samples", "48", "--out", "found.fil")
        self.assertRegex(self.read("found.fil").decode(), r"Conv\[1\].w: gate channels keep=0\.(5|25)\n")

    def test_is_explained_and_refused(self):
        out = self.fil("explain", "m.fil", "Conv[1].w", "--plan", "gated")[0].decode()
        self.assertRegex(out, r"facet gate: .*predictors of 1024 params choose 2 of 4 granules; 2 of 2 products of `run` compute these alone in each sample, and the others")
        out = self.fil("plan", "m.fil", "--plan", "gated", "--expand")[0].decode()
        self.assertRegex(out, r"gate channels keep=0\.5 hysteresis=0\.1 predictor=squeeze granule=16 +// .*channels left out")
        self.write("c.fil", "plan chars for CharLM { train { data text(\"t.txt\"); window T=8 }; sparsity { FeedForward: gate channels keep=0.5 } }\n")
        _, err = self.fil("compile", os.path.join(os.environ["SOURCE_FOLDER"], "examples/02_charlm/charlm.fil"), "c.fil", "--plan", "chars", exit=1, code="P0457")
        self.assertIn("gives no channels of samples: with caches", err)
        self.assertIn("`gate neurons`, which chooses at each position", err)


if __name__ == "__main__":
    unittest.main()
