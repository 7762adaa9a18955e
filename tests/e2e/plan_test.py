# SPDX-License-Identifier: Apache-2.0
"""`fil plan`: a whole plan that means the same as what it was expanded from, and what one plan changes beside another one."""
import re
import unittest

from support import CHAR, CommandTest

PLANS = """
plan f64 for Char from p { precision { default f64 } }
plan tuned for Char from p { lora { l[1].Attention.q: r=2 } }
plan later for Char from p { precision { accum bf16 }; require { batch_invariant } }
plan narrow for Char from p { precision { Attention.q: bf16; Attention.o: fp8 } }
plan never for Char from p { sparsity { q: rigl density=0.5 }; lora { q: r=2 merge=always } }
"""


class Plan(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("c.fil", CHAR + PLANS)
        self.write("m.fil", CHAR[:CHAR.index("plan p ")])

    def plan(self, *args, **kw):
        return self.fil("plan", *args, **kw)[0].decode()

    def test_an_expanded_plan_means_the_same(self):
        hashes = set()
        for name in ("p", "f64", "tuned"):
            text = self.plan("c.fil", "--plan", name, "--expand")
            self.write("e.fil", text)
            again = self.plan("m.fil", "e.fil", "--plan", name, "--expand")
            line = re.compile(r"// program ([0-9a-f]{16}), for x86-64-v\d\n$")
            self.assertEqual(line.search(text)[1], line.search(again)[1], name)
            without = lambda t: [l.split("//")[0].rstrip() for l in t.splitlines()]
            self.assertEqual(without(text), without(again))
            hashes.add(line.search(text)[1])
        self.assertEqual(len(hashes), 3)

    def test_each_line_says_where_it_comes_from_and_what_it_is(self):
        text = self.plan("c.fil", "--plan", "tuned", "--expand", "--set", "train.steps=7")
        self.assertRegex(text, r"\n    default f32 +// default, approximate \(rounding; measure: f64\)\n")
        self.assertRegex(text, r"\n    steps 7 +// --set, exact\n")
        self.assertRegex(text, r"\n    optim adamw\(lr=1e-2, clip=1.0, warmup=2, decay=cosine, b1=0.9, .*// c.fil:\d+ \(b1, b2, wd, eps by default\), exact\n")
        self.assertRegex(text, r"\n    l\[1\].Attention.q: r=2 alpha=2 init=gauss variant=plain merge=auto +// c.fil:\d+ \(alpha, init, variant, merge by default\), approximate \(updates of low rank")
        text = self.plan("c.fil", "--plan", "later", "--expand")
        self.assertRegex(text, r"\n    accum bf16 +// c.fil:\d+, checked only\n")
        self.assertTrue(text.endswith("// no program: 2 clauses are checked only (E0604, E0614)\n"))
        self.plan("c.fil", "--plan", "never", "--expand", exit=1, code="P0412")

    def test_a_difference_is_told_by_site(self):
        text = self.plan("c.fil", "--diff", "p", "tuned")
        self.assertRegex(text, r"^p -> tuned, of `step` at B=4 S=8 T=8\n")
        self.assertRegex(text, r"\n  operations +\S+ -> \S+ \(0\.[5-9]\dx\)\n")
        self.assertRegex(text, r"\n  optimizer, bytes +20672 -> 256 \(0.01x\)\n")  # two moments of 2,584 and of 32 params
        self.assertRegex(text, r"\nl\.Attention\.q\.lora_A\n  operations 0 -> \d+; bytes 0 -> \d+; params 0 -> 64; optimizer 0 -> 128; kernels 0 -> \d+")
        self.assertRegex(text, r"\nl\.Attention\.k\n  operations \d+ -> \d+ \(0\.[23]\dx\).*optimizer \d+ -> 0 \(0.00x\)")  # the product of the frozen map is left
        self.assertRegex(self.plan("c.fil", "--diff", "p", "p"), r"\n  operations +[0-9.e+]+\n(.*\n)+\d+ sites are the same\n$")
        self.assertRegex(self.plan("c.fil", "--diff", "p", "f64"), r"\n  rounding, relative +6e-08 -> 1.1e-16\n")
        text = self.plan("c.fil", "--diff", "p", "narrow")
        self.assertRegex(text, r"\n  rounding, relative +6e-08 -> 0\.062\n")
        for site, rounding in (("q", "0.0039"), ("o", "0.062")):
            self.assertRegex(text, rf"\nl\.Attention\.{site}\n  .*; rounding 6e-08 -> {rounding}\n")
        self.assertNotRegex(text, r"\nl\.Attention\.v\n  .*rounding")
        self.plan("c.fil", "--diff", "p", "later", exit=1, code="E0604")
        self.plan("c.fil", "--diff", "p", "q", exit=1, code="P0411")

    def test_contracts_on_costs_are_checked_when_a_plan_is_compiled(self):
        self.write("r.fil", """
plan ok for Char from p { lora { q: r=1 }; require { flops <= 0.9x dense; params <= 1.02x dense; params >= 2585; state <= 60%; mem <= 1MiB } }
plan flops for Char from p { lora { q: r=1 }; require { flops <= 0.4x dense } }
plan params for Char from p { require { params < 2584 } }
plan mem for Char from p { require { mem <= 50KiB } }
plan wide for Char from p { precision { default f64 }; require { state >= 1.99x; state <= 2.01x } }
plan late for Char from p { require { p99 <= 25ms } }
""")
        cpu = ("c.fil", "r.fil", "--backend=cpu", "--plan")
        self.fil("compile", *cpu, "ok", "-o", "program")
        self.fil("compile", *cpu, "wide", "-o", "program")  # of the plan without facets, which is in f32
        # Who looks for what costs so much, or runs what was trained, is not kept from it.
        self.plan("c.fil", "r.fil", "--diff", "p", "flops")
        for plan in ("ok", "flops"):
            self.assertIn(b"beside the plan without facets", self.fil("explain", *cpu, plan, "l[1].Attention.q")[0])
        self.fil("train", *cpu, "ok", "--out", "trained", "--steps", "1")
        self.fil("sample", "--backend=cpu", "c.fil", "--weights", "trained/last.safetensors", "--tokens", "3")
        for plan, said in (("flops", r"requires flops <= 0.4x dense, but it is 0\.\d\d\dx: \d+ of \d+"), ("params", "requires params < 2584, but it is 2584"), ("mem", r"requires mem <= 50KiB, but it is \d+ bytes")):
            err = self.fil("compile", *cpu, plan, "-o", "program", exit=3, code="P0441")[1]
            self.assertRegex(err, said + r"\n --> r.fil:\d+:\d+\n")
        self.fil("train", *cpu, "flops", "--out", "o", exit=3, code="P0441")
        self.fil("train", *cpu, "late", "--out", "o", exit=1, code="E0613")
        self.fil("train", "c.fil", "r.fil", "--plan", "mem", "--out", "o", exit=1, code="E0801")  # the reference has no arena

    def test_a_cost_of_open_dims_is_not_told_as_another_one(self):
        self.write("o.fil", """
dims B, T
model Open(x: [B,T]) -> [B] { param w: () -> () = 1; return sum(tanh(x @ w), over T) }
loss l(y: [B], t: [B]) = mean((y - t)^2, over B)
plan a for Open { partition { remat auto } }
""")
        err = self.fil("plan", "o.fil", "--diff", "a", "a", exit=1, code="E0516")[1]
        self.assertRegex(err, r"the cost depends on .*T")
        self.assertRegex(self.plan("o.fil", "--diff", "a", "a", "--dim", "T=8"), r"\n  operations +\d+\n")

    def test_it_wants_to_know_which(self):
        self.plan("c.fil", "--plan", "p", exit=2, code="E0108")
        self.plan("c.fil", "--expand", "--diff", "p", "f64", exit=2, code="E0108")


if __name__ == "__main__":
    unittest.main()
