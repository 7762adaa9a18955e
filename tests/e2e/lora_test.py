# SPDX-License-Identifier: Apache-2.0
"""Adapters on a trained base: as a user trains, resumes and runs them."""
import unittest

from support import CHAR, CommandTest, read_checkpoint

PLANS = """
plan tuned for Char from p { train { steps 6 }; lora on load("base/last.safetensors") { {q,v}: r=2 alpha=4; l[1].Attention.o: r=1 } }
plan other for Char from p { train { steps 6 }; lora { {q,v}: r=2 alpha=4; l[1].Attention.o: r=1 } }
plan big for Char from p { lora { budget params <= 20%; Attention: alpha=4 } }
plan little for Char from p { lora { budget params <= 1%; Attention: alpha=4 } }
plan masked for Char from p { lora { q: r=2 merge=masked } }
"""
ADAPTERS = [f"l[{l}].Attention.{p}.lora_{m}" for l in range(2) for p in "qv" for m in "AB"] + [f"l[1].Attention.o.lora_{m}" for m in "AB"]


class Lora(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("c.fil", CHAR + PLANS)
        self.fil("train", "c.fil", "--plan", "p", "--out", "base")

    def test_only_adapters_are_trained_and_a_resume_is_the_run(self):
        _, err = self.fil("train", "c.fil", "--plan", "tuned", "--out", "o")
        self.assertRegex(err, r"2584 parameters, 144 of adapters \(5.57%\) are trained")
        base, tuned = read_checkpoint(self.path("base/last.safetensors"))[1], read_checkpoint(self.path("o/last.safetensors"))[1]
        for name, tensor in base.items():
            if "#" not in name:
                self.assertEqual(tuned.pop(name), tensor, name)  # frozen
        self.assertEqual(sorted(tuned), sorted(ADAPTERS + [f"{a}#{k}" for a in ADAPTERS for k in "mv"]))
        self.assertEqual(tuned["l[0].Attention.q.lora_A"][1], [8, 2])
        self.assertEqual(tuned["l[1].Attention.o.lora_B"][1], [1, 8])
        self.fil("train", "c.fil", "--plan", "tuned", "--out", "parts", "--steps", "2")
        self.fil("train", "c.fil", "--plan", "tuned", "--out", "parts", "--resume")
        self.assertEqual(self.tensors("o"), self.tensors("parts"))

    def test_weights_name_the_base_as_the_plan_does(self):
        self.fil("train", "c.fil", "--plan", "tuned", "--out", "o")
        self.fil("train", "c.fil", "--plan", "other", "--out", "w", "--weights", "base/last.safetensors")
        self.assertEqual(self.tensors("o"), self.tensors("w"))
        _, err = self.fil("train", "c.fil", "--plan", "other", "--out", "n", "--steps", "1")
        self.assertIn("the frozen weights are first values", err)

    def test_before_the_first_step_it_is_the_base(self):
        self.fil("train", "c.fil", "--plan", "tuned", "--out", "o", "--steps", "0")
        base, _ = self.fil("sample", "c.fil", "--weights", "base/last.safetensors", "--tokens", "40", "--temperature", "0")
        self.assertEqual(self.fil("sample", "c.fil", "--weights", "o/last.safetensors", "--tokens", "40", "--temperature", "0")[0], base)

    def test_merged_weights_are_made_when_weights_change(self):
        out = self.fil("explain", "--backend=cpu", "c.fil", "--plan", "tuned", "l[*].Attention.q")[0].decode()
        self.assertRegex(out, r"\n  run, decode, prefill: forward contract, map mul, map add[^\n]*\n[^\n]* \(once\)\n")
        self.write("n.fil", "plan apart for Char from tuned { lora { {q,v}: r=2 alpha=4 merge=never; l[1].Attention.o: r=1 merge=never } }")
        out = self.fil("explain", "--backend=cpu", "c.fil", "n.fil", "--plan", "apart", "l[*].Attention.q")[0].decode()
        self.assertNotIn("(once)", out)

    def test_explain_tells_what_a_facet_became_and_what_it_costs(self):
        out = self.fil("explain", "c.fil", "--plan", "tuned", "--set", "partition.remat=all", "l[1].Attention.q")[0].decode()
        self.assertRegex(out, r"\n  facet lora: `\{q,v\}: r=2 alpha=4` at c.fil:\d+, part of the program since `fil-lora-add-adapters`: adds 32 params and, forward, 64 operations for each row")
        self.assertRegex(out, r"\n  facet remat: `remat all` at --set:\d+, read by the passes that schedule the program\n")
        self.assertIn("\n  lora with remat: the adapter's inner product is kept or computed again by the rule of remat\n", out)
        self.assertRegex(out, r"\n  beside the plan without facets, at B=4 S=8 T=8: operations \d+ -> \d+ \(\d.\d\dx\), bytes .*, params 256 -> 384 \(1.50x\), optimizer 512 -> 256 \(0.50x\)\n")
        self.assertNotIn("facet", self.fil("explain", "c.fil", "--plan", "p", "l[1].Attention.q")[0].decode())

    def test_a_budget_chooses_ranks_or_says_what_it_takes(self):
        _, err = self.fil("train", "c.fil", "--plan", "big", "--out", "o", "--steps", "1", "--weights", "base/last.safetensors")
        self.assertRegex(err, r"512 of adapters \(19.81%\)")  # four maps of two layers, 16 elements a rank each
        err = self.fil("train", "c.fil", "--plan", "little", "--out", "o", exit=1, code="P0437")[1]
        self.assertIn("128 (4.95%)", err)

    def test_what_cannot_be_is_refused(self):
        self.write("o.fil", "plan open for Char from p { lora { q: alpha=4 } }")
        self.fil("compile", "c.fil", "o.fil", "--plan", "open", exit=1, code="P0436")
        self.fil("compile", "c.fil", "--plan", "masked", exit=1, code="P0435")
        self.fil("train", "c.fil", "--plan", "other", "--out", "o", "--steps", "1", "--weights", "base/last.safetensors")
        self.fil("train", "c.fil", "--plan", "p", "--out", "q", "--weights", "o/last.safetensors", exit=1, code="E0513")


if __name__ == "__main__":
    unittest.main()
