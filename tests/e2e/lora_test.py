# SPDX-License-Identifier: Apache-2.0
"""Adapters on a trained base: as a user trains, resumes and runs them."""
import json
import math
import os
import re
import struct
import unittest

from support import CHAR, CommandTest, read_checkpoint, read_npy, write_checkpoint, write_npy

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

    def test_the_base_is_looked_up_as_data_are(self):
        os.mkdir(self.path("data"))
        os.rename(self.path("t.txt"), self.path("data/t.txt"))
        self.fil("train", "c.fil", "--plan", "tuned", "--out", "o", "--data-dir", "data", "--steps", "1")  # else beside the plan
        self.fil("train", "c.fil", "--plan", "tuned", "--out", "o", "--data-dir", "data", "--resume", "--adapter", "x", exit=2, code="E0108")

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

    def test_many_adapters_in_one_batch_are_each_alone(self):
        self.write("a.fil", """
plan t1 for Char from p { lora { {q,v}: r=2 alpha=4 } }
plan t2 for Char from p { train { seed 9; optim adamw(lr=5e-2, clip=1.0) }; lora { {q,v}: r=1 alpha=3 } }
plan many for Char from p { lora { adapters 3; {q,v}: r=2 alpha=4 } }
plan one for Char from p { lora { {q,v}: r=2 alpha=4 merge=never } }
""")
        base, files = ["--weights", "base/last.safetensors"], ["t1/adapter.safetensors", "t2/adapter.safetensors"]
        for plan in ("t1", "t2"):
            self.fil("train", "c.fil", "a.fil", "--plan", plan, "--out", plan, *base)
        metadata, tensors = read_checkpoint(self.path(files[1]))
        self.assertEqual((metadata["r"], metadata["lora_alpha"]), ("1", "3"))
        self.assertEqual(tensors["base_model.model.l.1.Attention.v.lora_A.weight"][1], [1, 8])
        self.assertEqual(tensors["base_model.model.l.1.Attention.v.lora_B.weight"][1], [8, 1])
        write_npy(self.path("tok.npy"), "<i4", (5, 8), [(7 * i * i + i) % 256 for i in range(40)])
        write_npy(self.path("which.npy"), "<i4", (5,), [0, 2, 1, 0, 1])
        row = 8 * 256

        def run(backend, *args):
            self.fil("run", backend, "c.fil", "a.fil", *args, "--in", "tok=tok.npy", "--out", "y.npy")
            return read_npy(self.path("y.npy"))[1]

        for backend in ("--backend=cpu", "--backend=reference"):
            self.fil("run", backend, "c.fil", "a.fil", "--plan", "many", *base, "--adapter", f"0={files[0]}", f"1={files[1]}", "--in", "tok=tok.npy", "which=which.npy", exit=1, code="E0516")
            self.fil("run", backend, "c.fil", "a.fil", "--plan", "many", *base, "--adapter", f"0={files[0]}", f"1={files[1]}", "--in", "tok=tok.npy", "adapter=which.npy", "--out", "m.npy")
            mixed = read_npy(self.path("m.npy"))[1]
            for rows, args in (((0, 3), ("one", *base, "--adapter", files[0])), ((2, 4), ("one", *base, "--adapter", files[1])), ((1,), ("p", *base))):
                alone = run(backend, "--plan", *args)
                for r in rows:
                    self.assertEqual(mixed[r * row:(r + 1) * row], alone[r * row:(r + 1) * row], (backend, r))
            merged = run(backend, "--plan", "t2", "--weights", "t2/last.safetensors")  # from its own checkpoint, at its own rank
            self.assertLess(max(abs(a - b) for r in (2, 4) for a, b in zip(mixed[r * row:(r + 1) * row], merged[r * row:(r + 1) * row])), 1e-5)
        self.fil("train", "c.fil", "a.fil", "--plan", "many", "--out", "o", *base, exit=1, code="P0440")
        self.fil("run", "c.fil", "a.fil", "--plan", "many", *base, "--adapter", f"3={files[0]}", "--in", "tok=tok.npy", "adapter=which.npy", exit=1, code="E0523")
        self.fil("run", "c.fil", "a.fil", "--plan", "p", *base, "--adapter", files[0], "--in", "tok=tok.npy", exit=1, code="E0523")
        self.fil("run", "c.fil", "a.fil", "--plan", "t2", *base, "--adapter", files[0], "--in", "tok=tok.npy", exit=1, code="E0523")  # rank 2 of 1

    def test_files_say_their_scales(self):
        """A site's own rank and scale, and those of the field's files: the adapter adds what it was trained to add, whatever the plan's scale is."""
        self.write("a.fil", """
plan mixed for Char from p { lora { q: r=2 alpha=3; v: r=1 alpha=2 variant=rs } }
plan pair for Char from p { lora { {q,v}: r=2 alpha=8 merge=never } }
plan dora for Char from p { lora { {q,emb}: r=2 alpha=3 variant=dora } }
plan magnitudes for Char from p { lora { {q,emb}: r=2 alpha=5 variant=dora } }
plan half for Char from p { precision { default bf16 }; lora { {q,v}: r=2 alpha=3 } }
""")
        base = ["--weights", "base/last.safetensors"]
        write_npy(self.path("tok.npy"), "<i4", (3, 8), [(7 * i * i + i) % 256 for i in range(24)])
        run = lambda *args: (self.fil("run", "c.fil", "a.fil", *args, "--in", "tok=tok.npy", "--out", "y.npy")[1], read_npy(self.path("y.npy"))[1])
        apart = lambda a, b: max(abs(x - y) for x, y in zip(a, b))
        for plan in ("mixed", "dora"):
            self.fil("train", "c.fil", "a.fil", "--plan", plan, "--out", plan, *base)
        _, own = run("--plan", "mixed", "--weights", "mixed/last.safetensors")
        mixed = own
        metadata, tensors = read_checkpoint(self.path("mixed/adapter.safetensors"))
        self.assertEqual((metadata["r"], metadata["lora_alpha"]), ("2", "3"))
        sites = [(f"l.{l}.Attention.{m}", r, alpha) for l in range(2) for m, r, alpha in (("q", 2, 3), ("v", 1, 2))]
        self.assertEqual((json.loads(metadata["rank_pattern"]), json.loads(metadata["alpha_pattern"])), ({s: r for s, r, _ in sites}, {s: alpha for s, _, alpha in sites}))
        said, y = run("--plan", "pair", *base, "--adapter", "mixed/adapter.safetensors")
        self.assertNotIn("warning", said)
        self.assertLess(apart(y, own), 1e-5)

        # As PEFT writes it: bf16, no scale but in the file beside it; some of the sites.
        turn = lambda name: name.replace("lora_A.weight", "lora_A.default.weight")
        narrow = {turn(n): ("BF16", shape, struct.pack(f"<{len(data) // 4}H", *(x >> 16 for x in struct.unpack(f"<{len(data) // 4}I", data)))) for n, (_, shape, data) in tensors.items() if "l.0" in n}
        os.mkdir(self.path("peft"))
        write_checkpoint(self.path("peft/adapter_model.safetensors"), {"format": "pt"}, narrow)
        said, plain = run("--plan", "pair", *base, "--adapter", "peft/adapter_model.safetensors")
        self.assertIn("does not say its `lora_alpha`", said)
        self.write("peft/adapter_config.json", json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 3, "alpha_pattern": {"l\\.[0-9]+\\.Attention.(o|v)": 2, "v": 50}, "use_rslora": False}))
        said, y = run("--plan", "pair", *base, "--adapter", "peft/adapter_model.safetensors")
        self.assertNotIn("warning", said)
        self.assertGreater(apart(y, plain), 1e-4)
        wide = {n: ("F32", shape, data) for n, (_, shape, data) in tensors.items() if "l.0" in n}
        write_checkpoint(self.path("some.safetensors"), metadata, wide)
        self.assertLess(apart(y, run("--plan", "pair", *base, "--adapter", "some.safetensors")[1]), 1e-3)  # as far as bf16 is apart
        self.write("peft/adapter_config.json", "[")
        self.fil("run", "c.fil", "a.fil", "--plan", "pair", *base, "--adapter", "peft/adapter_model.safetensors", "--in", "tok=tok.npy", exit=1, code="E0511")
        del wide["base_model.model.l.0.Attention.v.lora_B.weight"]
        write_checkpoint(self.path("some.safetensors"), metadata, wide)
        self.fil("run", "c.fil", "a.fil", "--plan", "pair", *base, "--adapter", "some.safetensors", "--in", "tok=tok.npy", exit=1, code="E0523")

        # Our own names, as a checkpoint has them; adapters without magnitudes where the plan has them.
        own_names = {n: t for n, t in read_checkpoint(self.path("mixed/last.safetensors"))[1].items() if "lora_" in n and "#" not in n}
        write_checkpoint(self.path("own.safetensors"), read_checkpoint(self.path("mixed/adapter.safetensors"))[0], own_names)
        self.assertLess(apart(run("--plan", "pair", *base, "--adapter", "own.safetensors")[1], own), 1e-5)
        write_checkpoint(self.path("qs.safetensors"), {"lora_alpha": "3"}, {n: t for n, t in tensors.items() if ".q." in n})
        self.assertIn("has no magnitudes", run("--plan", "dora", *base, "--adapter", "qs.safetensors")[0])

        # Magnitudes as they are, where ours are relative to the base's; an embedding's names.
        _, own = run("--plan", "dora", "--weights", "dora/last.safetensors")
        metadata, tensors = read_checkpoint(self.path("dora/adapter.safetensors"))
        bases = read_checkpoint(self.path("base/last.safetensors"))[1]
        there = {}
        for name, (kind, shape, data) in tensors.items():
            x = struct.unpack(f"<{len(data) // 4}f", data)
            if name.endswith("lora_m.weight"):
                map_ = re.sub(r"\.(\d+)\.", r"[\1].", name.removeprefix("base_model.model.").removesuffix(".lora_m.weight"))
                w = struct.unpack(f"<{len(bases[map_][2]) // 4}f", bases[map_][2])
                x = [(1 + m) * math.sqrt(sum(w[i] ** 2 for i in range(c, len(w), len(x)))) for c, m in enumerate(x)]
                name = name.replace("lora_m.weight", "lora_magnitude_vector")
            if ".emb." in name:
                name = re.sub(r"lora_([AB])\.weight", r"lora_embedding_\1", name)
            there[name] = (kind, shape, struct.pack(f"<{len(x)}f", *x))
        write_checkpoint(self.path("there.safetensors"), {"lora_alpha": "3"}, there)
        self.assertLess(apart(run("--plan", "magnitudes", *base, "--adapter", "there.safetensors")[1], own), 1e-4)

        # A program that runs with narrow numbers.
        self.fil("train", "--backend=cpu", "c.fil", "a.fil", "--plan", "half", "--out", "half", *base)
        half = ("--backend=cpu", "--plan", "half")
        _, own = run(*half, "--weights", "half/last.safetensors")
        self.assertEqual(run(*half, *base, "--adapter", "half/adapter.safetensors")[1], own)
        self.assertLess(apart(run(*half, *base, "--adapter", "mixed/adapter.safetensors")[1], mixed), 0.03 * max(map(abs, mixed)))  # as far as bf16 is apart

    def test_a_budget_chooses_ranks_or_says_what_it_takes(self):
        _, err = self.fil("train", "c.fil", "--plan", "big", "--out", "o", "--steps", "1", "--weights", "base/last.safetensors")
        self.assertRegex(err, r"512 of adapters \(19.81%\)")  # four maps of two layers, 16 elements a rank each
        self.assertIn("adds 128 params of rank 4 (the largest that the budget has room for) and", self.fil("explain", "c.fil", "--plan", "big", "l[0].Attention.q")[0].decode())
        err = self.fil("train", "c.fil", "--plan", "little", "--out", "o", exit=1, code="P0437")[1]
        self.assertIn("128 (4.95%)", err)
        self.write("b.fil", """
plan given for Char from p { lora { budget params <= 1%; q: r=2 } }
plan held for Char from p { lora { budget params <= 10%; q: r=2 } }
""")
        self.assertIn("they have 64 (2.48%)", self.fil("train", "c.fil", "b.fil", "--plan", "given", "--out", "o", exit=1, code="P0437")[1])
        self.fil("train", "c.fil", "b.fil", "--plan", "held", "--out", "o", "--steps", "1")
        os.remove(self.path("b.fil"))
        for name, clause in (("none", "lora { budget params <= 10% }"), ("ungated", "sparsity { budget flops <= 50% }")):
            self.write("b.fil", f"plan {name} for Char from p {{ {clause} }}")
            self.fil("check", "c.fil", "b.fil", exit=1, code="P0459")
        self.write("b.fil", "plan high for Char from p { lora { q: r=9 } }")
        self.assertIn("warning[W0318]: rank 9 is above the smaller side of `l[0..2].Attention.q`, 8", self.fil("compile", "c.fil", "b.fil", "--plan", "high")[1])

    def test_adapters_have_the_format_of_the_program(self):
        self.write("f.fil", "plan wide for Char from p { train { steps 2 }; precision { default f64 }; lora { q: r=2 } }")
        self.fil("train", "c.fil", "f.fil", "--plan", "wide", "--out", "f")
        tensors = read_checkpoint(self.path("f/last.safetensors"))[1]
        self.assertEqual({t[0] for t in tensors.values()}, {"F64"})
        self.assertIn("base_model.model.l.0.Attention.q.lora_A.weight", read_checkpoint(self.path("f/adapter.safetensors"))[1])

    def test_check_counts_adapters(self):
        out = self.fil("check", "c.fil", "--plan", "tuned")[0].decode()
        self.assertRegex(out, r"\n  parameters +2,584 \(10,336 bytes\)\n  adapters +144 \(576 bytes\), and nothing else is trained\n")

    def test_what_cannot_be_is_refused(self):
        self.write("i.fil", "plan whole for Char from p { precision { default int8 }; lora { q: r=2 merge=always } }")
        self.fil("compile", "c.fil", "i.fil", "--plan", "whole", exit=1, code="P0429")
        self.write("o.fil", "plan open for Char from p { lora { q: alpha=4 } }")
        self.fil("compile", "c.fil", "o.fil", "--plan", "open", exit=1, code="P0436")
        self.fil("compile", "c.fil", "--plan", "masked", exit=1, code="P0435")
        self.fil("train", "c.fil", "--plan", "other", "--out", "o", "--steps", "1", "--weights", "base/last.safetensors")
        self.fil("train", "c.fil", "--plan", "p", "--out", "q", "--weights", "o/last.safetensors", exit=1, code="E0513")


if __name__ == "__main__":
    unittest.main()
