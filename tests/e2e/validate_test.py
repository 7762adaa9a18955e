# SPDX-License-Identifier: Apache-2.0
"""A plan beside the plain one."""
import os
import re
import unittest

from support import CHAR, CommandTest

PLANS = """
plan kept for Char from p { sparsity { q: rigl density=0.9 every=4 }; require { loss within 50% of f32; loss <= 6; loss drop <= 100pp } }
plan lost for Char from p { train { optim adamw(lr=3e-2) }; sparsity { emb: rigl density=0.002 every=4; {q,k}: set density=0.9 every=4 }; require { loss within 0.01% of f32 } }
plan tuned for Char from p { lora on load("base/last.safetensors") { q: r=2 }; require { loss within 10% of f32 } }
plan quick for Char from p { lora { q: r=2 }; require { latency <= 1min; latency(B=2) <= 100x dense; bit_exact } }
plan slow for Char from p { require { latency(B=3) <= 1ns } }
plan nothing for Char from p { require { deterministic replay } }
plan costs for Char from p { sparsity { q: rigl density=0.5 every=4 }; require { flops <= 2x dense; state <= 1GB; bit_exact } }
plan dear for Char from p { require { flops <= 1; loss <= 100 } }
plan hopeless for Char from p { sparsity { q: rigl density=0.9 every=4 }; require { loss <= 0.1 } }
plan mixed for Char from p { sparsity { emb: rigl density=0.002 every=4 }; require { loss within 0.01% of f32; loss <= 0.1 } }
plan based for Char from p { precision { q: int4 }; lora { {q,v}: r=2 }; require { loss within 0.00001% of f32 } }
plan rounded for Char from p { precision { emb: qat bits=2 }; sparsity { q: set density=0.95 every=4 }; require { loss within 0.01% of f32 } }
plan later for Char from p { require { loss within 1% of bf16 } }
"""


class Validate(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("c.fil", CHAR + PLANS)

    def validate(self, plan, *more, **expected):
        out, err = self.fil("validate", "c.fil", "--plan", plan, *more, **expected)
        return out.decode(), err

    def test_a_plan_that_keeps_its_contracts(self):
        before = sorted(os.listdir(self.path(".")))
        out, err = self.validate("kept")
        self.assertRegex(out, r"loss +plain [\d.]+, plan [\d.]+: [\d.]+% \w+; required loss within 50% of f32: met\n")
        self.assertRegex(out, r"loss +plain [\d.]+, plan [\d.]+: -?[\d.]+ \w+; required loss drop <= 100pp: met\n")
        self.assertRegex(out, r"loss +[\d.]+; required <= 6: met\n")
        self.assertEqual(sorted(os.listdir(self.path("."))), before)
        # Both are what `fil train` makes of them.
        self.fil("train", "c.fil", "--plan", "p", "--out", "o")
        plain = re.search(r"plain ([\d.]+)", out)[1]
        self.assertIn(f"validation loss {plain}", self.fil("train", "c.fil", "--plan", "p", "--out", "o2")[1])
        self.assertIn("is checked by `fil validate`", self.fil("train", "c.fil", "--plan", "kept", "--out", "o3")[1])

    def test_the_cause_of_a_miss_is_found(self):
        _, err = self.validate("lost", exit=3, code="E0708")
        self.assertRegex(err, r"required loss within 0.01% of f32: missed\n")
        self.assertRegex(err, r"it is missed because of `emb: rigl density=0.002 every=4` at `emb`;")

    def test_what_is_not_to_blame_is_not_blamed(self):
        _, err = self.validate("rounded", exit=3, code="E0708")
        self.assertRegex(err, r"it is missed because of `emb: qat bits=2` at `emb`;")
        _, err = self.validate("hopeless", exit=3, code="E0708")
        self.assertRegex(err, r"the plain plan misses it too \(loss \d")
        self.assertNotIn("alone:", err)
        _, err = self.validate("mixed", exit=3, code="E0708")
        self.assertRegex(err, r"it is missed because of `emb: rigl density=0.002 every=4` at `emb`;")
        _, err = self.validate("based", exit=3, code="E0708")
        self.assertRegex(err, r"it is missed because of .*`\{q,v\}: r=2` at ")
        self.write("n.fil", "plan narrow for Char from p { precision { moments bf16 }; sparsity { q: rigl density=0.99 every=4 granule=1x1 }; require { loss drop <= 0.00001pp } }")
        said = self.fil("validate", "c.fil", "n.fil", "--plan", "narrow", exit=3, code="E0708")[1]
        self.assertIn("the formats of what is kept", said)

    def test_costs_are_checked(self):
        out, _ = self.validate("costs")
        self.assertEqual(out, "flops     required flops <= 2x dense: met\nstate     required state <= 1GB: met\nbit_exact met: no instruction is used that rounds otherwise than products are defined\n")
        _, err = self.validate("dear", exit=3, code="P0441")
        self.assertNotIn("the plain plan", err)

    def test_both_begin_with_the_base(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "base")
        out, _ = self.validate("tuned", "--steps", "1")
        values = [float(v) for v in re.findall(r"(?:plain|plan) ([\d.]+)", out)[:2]]
        self.assertLess(max(values), 5.5)  # first values would be above ln 256

    def test_latency_is_measured(self):
        out, _ = self.validate("quick", "--steps", "2")
        self.assertRegex(out, r"latency +[\d.e-]+ ms \([\d.]+x of the plain plan's [\d.e-]+ ms\); required latency <= 1min: met\n")
        self.assertRegex(out, r"required latency\(B=2\) <= 100x: met\n")
        _, err = self.validate("slow", "--steps", "2", exit=3, code="E0708")
        self.assertIn("required latency(B=3) <= 1ns: missed", err)
        self.assertIn("fil run --profile", err)
        self.assertIn("latency or beside the plain plan is checked by `fil validate`", self.fil("train", "c.fil", "--plan", "slow", "--steps", "1", "--out", "o")[1])
        self.write("w.fil", "plan wrong for Char from p { require { latency(T=4) <= 1s } }")
        self.fil("check", "c.fil", "w.fil", exit=1, code="P0452")

    def test_what_cannot_be_checked_is_refused(self):
        self.validate("nothing", exit=1, code="E0510")
        self.validate("later", exit=1, code="E0613")
        self.fil("train", "c.fil", "--plan", "later", "--out", "o", exit=1, code="E0613")
        self.write("t.fil", "plan timed for Char from p { require { step_time <= 1s; loss <= 100 } }")
        self.fil("validate", "c.fil", "t.fil", "--plan", "timed", exit=1, code="E0613")
        self.write("w.fil", "plan wrong for Char from p { require { accuracy drop >= 1pp } }")
        self.fil("check", "c.fil", "w.fil", exit=1, code="P0404")


if __name__ == "__main__":
    unittest.main()
