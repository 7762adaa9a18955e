# SPDX-License-Identifier: Apache-2.0
"""Topologies of weights: as a user trains, resumes, prunes and tunes them."""
import json
import unittest

from support import CharTest

PLANS = """
plan rigl for Char from p { train { steps 8 }; sparsity { Attention.{q,k,v,o}: rigl density=0.25 every=2 alpha=0.5 granule=2x2 } }
plan set for Char from p { train { steps 8 }; sparsity { l[1].Attention.q: set density=0.5 every=2 until=100% granule=channel } }
plan prune for Char from p { train { steps 8 }; sparsity { q: prune density=0.25 every=2 } }
plan tuned for Char from rigl { train { steps 4 }; lora { q: r=2 } }
plan masked for Char from rigl { train { steps 4 }; lora { q: r=2 merge=masked } }
"""


def bits(data, n):
    return [data[i // 8] >> (i % 8) & 1 for i in range(n)]


class Sparsity(CharTest):
    plans = PLANS

    def test_a_mask_keeps_its_number_and_everything_obeys_it(self):
        self.train("rigl", "o")
        tensors = self.tensors("o")
        begun = (self.train("rigl", "first", "--steps", "1"), self.tensors("first"))[1]
        changed = 0
        for name, (dtype, shape, data) in tensors.items():
            if not name.endswith(".mask"):
                continue
            self.assertEqual((dtype, shape), ("U8", [2]))  # 4 x 4 granules of 8 x 8 weights
            mask, weight = bits(data, 16), name[:-5]
            self.assertEqual(sum(mask), 4, name)
            changed += data != begun[name][2]
            for part in ("", "#m", "#v"):
                for i, x in enumerate(self.floats(tensors[weight + part])):
                    if not mask[i // 8 // 2 * 4 + i % 8 // 2]:
                        self.assertEqual(x, 0, f"{weight}{part}[{i}]")
        self.assertGreater(changed, 4)

    def test_a_resumed_run_is_the_run(self):
        for plan in ("rigl", "set", "prune"):
            self.train(plan, plan)
            self.train(plan, plan + "2", "--steps", "3")
            self.train(plan, plan + "2", "--resume")
            self.assertEqual(self.tensors(plan), self.tensors(plan + "2"), plan)
            out = self.fil("sample", "c.fil", "--weights", f"{plan}/last.safetensors", "--tokens", "20", "--temperature", "0")[0]
            self.assertEqual(len(out) > 0, True)

    def test_one_turn_of_a_loop_has_a_mask(self):
        self.train("set", "o")
        tensors = self.tensors("o")
        self.assertEqual([n for n in tensors if n.endswith(".mask")], ["l[1].Attention.q.mask"])
        self.assertEqual(sum(bits(tensors["l[1].Attention.q.mask"][2], 8)), 4)

    def test_pruning_begins_with_dense_weights_and_ends_at_the_density(self):
        self.train("p", "dense")
        self.train("prune", "o", "--weights", "dense/last.safetensors")
        for name, (_, _, data) in self.tensors("o").items():
            if name.endswith(".mask"):
                self.assertEqual(sum(bits(data, 64)), 16, name)
        self.assertIn("has dense weights", self.train("rigl", "x", "--weights", "dense/last.safetensors", exit=1, code="E0513"))
        self.train("p", "back", "--weights", "o/last.safetensors", "--set", "train.steps=1")  # zeros are weights too

    def test_adapters_stand_beside_a_mask_that_stands_still(self):
        self.train("rigl", "base")
        base = self.tensors("base")
        for plan in ("tuned", "masked"):
            self.train(plan, plan, "--weights", "base/last.safetensors")
            tuned = self.tensors(plan)
            for name, tensor in base.items():
                if "#" not in name:
                    self.assertEqual(tuned[name], tensor, name)
            self.assertNotEqual(tuned["l[0].Attention.q.lora_B"][2], b"\0" * len(tuned["l[0].Attention.q.lora_B"][2]))
        out = self.fil("compile", "c.fil", "--plan", "tuned", "--emit=sparsity")[0].decode()
        run = out[out.index('entry "run"'):]
        self.assertNotRegex(run, r'over \["rank2"\][^\n]*-> !fil.tensor<\[D,')  # not merged: no product of A and B is a weight
        self.fil("train", "c.fil", "--plan", "tuned", "--set", "lora.q.merge=always", "--out", "x", exit=1)

    def test_what_cannot_be_is_refused(self):
        self.write("w.fil", """
plan cut for Char from p { sparsity { q: rigl density=0.5 granule=3x1 } }
plan long for Char from p { sparsity { q: rigl density=0.5 every=1000 } }
plan ages for Char from p { sparsity { q: rigl density=0.5 every=9000000000000000 } }
plan dense for Char from p { sparsity { q: rigl density=0.5 }; lora { q: r=2 merge=always } }
plan dora for Char from p { sparsity { q: rigl density=0.5 }; lora { q: r=2 merge=masked variant=dora } }
""")
        for plan, code, text in (("cut", "P0442", "granules of 3x1 do not divide"), ("long", "P0443", "never changes its mask"), ("ages", "P0443", "never changes its mask"), ("dense", "P0412", "merged density would be 1.00 instead of 0.50"),
                                 ("dora", "P0430", "norms of the whole sum")):
            err = self.fil("train", "c.fil", "w.fil", "--plan", plan, "--out", "o", exit=1, code=code)[1]
            self.assertIn(text, err)
        self.write("v.fil", "plan vector for Char from p { sparsity { g: prune density=0.5 } }")
        self.fil("check", "c.fil", "v.fil", exit=1, code="P0409")

    def test_a_mask_of_another_form_or_number_is_refused(self):
        self.write("w.fil", """
plan square for Char from p { sparsity { q: rigl density=0.25 every=2 granule=2x2 } }
plan long for Char from p { sparsity { q: rigl density=0.25 every=2 granule=4x1 } }
plan more for Char from p { sparsity { q: rigl density=0.5 every=2 granule=2x2 } }
""")
        self.fil("train", "c.fil", "w.fil", "--plan", "square", "--out", "o")
        for plan, text in (("long", "is a mask of [4,2,2] granules, wanted are [2, 2, 4]"), ("more", "there are 4, and the plan keeps 8")):
            err = self.fil("train", "c.fil", "w.fil", "--plan", plan, "--out", "x", "--weights", "o/last.safetensors", exit=1, code="E0513")[1]
            self.assertIn(text, err)

    def test_dense_weights_are_read_by_a_plan_that_prunes(self):
        self.train("p", "dense")
        with_plan, plain = (self.fil("sample", "c.fil", *plan, "--weights", "dense/last.safetensors", "--tokens", "20", "--temperature", "0")[0] for plan in (("--plan", "prune"), ()))
        self.assertEqual(with_plan, plain)

    def test_the_later_line_holds(self):
        self.write("w.fil", "plan twice for Char from p { sparsity { q: prune density=0.5 every=2; Attention.q: rigl density=0.25 every=5 granule=2x2 } }")
        self.fil("train", "c.fil", "w.fil", "--plan", "twice", "--out", "o")
        with open(self.path("o/tape.jsonl")) as f:
            edits = [json.loads(line)["step"] for line in f if '"edit"' in line[:25]]
        self.assertEqual(edits, [6])
        self.write("w.fil", "plan still for Char from p { train { steps 5 }; sparsity { q: rigl density=0.25 granule=2x2 }; lora { q: r=2 } }")
        self.fil("train", "c.fil", "w.fil", "--plan", "still", "--out", "s")  # nothing would change the mask, and that is meant

    def test_what_is_left_out_is_told(self):
        out = self.fil("explain", "--backend=cpu", "c.fil", "--plan", "rigl", "l[0].Attention.q")[0].decode()
        self.assertRegex(out, r"facet topology: .*leaves out 75% of its weights")
        out = self.fil("plan", "c.fil", "--diff", "p", "rigl")[0].decode()
        self.assertRegex(out, r"\n  states, bytes +0 -> 128\n")


if __name__ == "__main__":
    unittest.main()
