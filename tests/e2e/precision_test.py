# SPDX-License-Identifier: Apache-2.0
"""Number formats: as a user trains, resumes, moves weights, and is told what a plan does."""
import json
import re
import struct
import unittest

from support import CharTest, read_checkpoint, read_npy

PLANS = """
plan half for Char from p { precision { default bf16; master split; moments bf16 } }
plan eight for Char from p { precision { default bf16; master split; moments bf16 m=e4m3; {q,k,v,o}: fp8 e4m3 tile(1x4, 4x4) dgrad=e5m2 promote_every=128; emb: f32 } }
plan tuned for Char from eight { train { steps 4 }; lora { q: r=2 } }
plan frozen for Char from p { train { steps 4 }; precision { default bf16 }; lora { q: r=2 } }
plan small for Char from half { require { state <= 0.67x dense } }
plan smaller for Char from half { require { state <= 0.6x dense } }
plan merged for Char from eight { lora { q: r=2 merge=always } }
plan whole for Char from p { precision { q: int8 } }
plan near for Char from half { require { loss within 2% of f32 } }
plan kept for Char from p { precision { cache bf16 ks=e4m3 } }
plan exact for Char from half { require { bit_exact } }
plan saved for Char from p { precision { saved e4m3 } }
plan savedHalf for Char from half { precision { saved e4m3 } }
plan rigl for Char from eight { train { steps 8 }; sparsity { q: rigl density=0.25 every=2 alpha=0.5 granule=2x2 } }
"""


def bf16(data):
    return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]


def joined(high, low):
    return [struct.unpack("<f", struct.pack("<I", ((h << 16) + l) & 0xFFFFFFFF))[0] for (h,), (l,) in zip(struct.iter_unpack("<H", high), struct.iter_unpack("<h", low))]


class Precision(CharTest):
    plans = PLANS

    def test_pairs_of_bf16_are_multiplied_where_the_machine_can_and_never_where_bits_are_asked_for(self):
        with open("/proc/cpuinfo") as f:
            pairs = "avx512_bf16" in f.read()
        for plan, dots in (("half", pairs), ("eight", pairs), ("exact", False), ("p", False)):
            assembly = self.fil("compile", "--backend=cpu", "c.fil", "--dim", "D=64", "--plan", plan, "--emit=asm")[0].decode()
            self.assertEqual("vdpbf16ps" in assembly, dots, plan)
            self.assertNotIn("vdpbf16ps", self.fil("compile", "--backend=cpu", "c.fil", "--dim", "D=64", "--plan", plan, "--target-cpu", "x86-64-v3", "--emit=asm")[0].decode())
        self.train("half", "o", "--backend=cpu", "--dim", "D=64")
        target = read_checkpoint(self.path("o/last.safetensors"))[0]["target"]
        self.assertEqual(target.endswith("+bf16"), pairs)
        self.assertRegex(self.fil("replay", "o/tape.jsonl", "--out", "r")[1], "the same to the bit")
        self.train("half", "two", "--backend=cpu", "--dim", "D=64", "--threads", "2")
        self.assertEqual(self.tensors("o"), self.tensors("two"))
        if pairs:
            self.assertIn(f"written by code for `{target}`", self.train("half", "o", "--backend=cpu", "--resume", "--steps", "14", "--set", "train.steps=14", "--target-cpu", "x86-64-v3"))
        else:
            self.fil("compile", "--backend=cpu", "c.fil", "--target-cpu", "x86-64-v4+bf16", "-o", "x", exit=2, code="E0703")

    def test_a_checkpoint_has_the_formats_of_the_plan(self):
        self.train("eight", "o")
        tensors = self.tensors("o")
        q = tensors["l[1].Attention.q"]
        self.assertEqual([tensors["l[1].Attention.q" + x][0] for x in ("", "#low", "#m", "#m.scale", "#v")], ["BF16", "I16", "F8_E4M3", "F32", "BF16"])
        for high, whole in zip(bf16(q[2]), joined(q[2], tensors["l[1].Attention.q#low"][2])):
            self.assertLessEqual(abs(high - whole), abs(whole) / 256)

    def test_a_resumed_run_is_the_run_and_a_tape_is_replayed(self):
        for backend in ("cpu", "reference"):
            for plan in ("half", "eight", "rigl"):
                use = ("--backend", backend)
                self.train(plan, plan, *use)
                self.train(plan, plan + "2", "--steps", "3", *use)
                self.train(plan, plan + "2", "--resume", *use)
                self.assertEqual(self.tensors(plan), self.tensors(plan + "2"), plan)
                self.assertIn("the same to the bit", self.fil("replay", plan + "/tape.jsonl", "--out", plan + "3")[1])
                self.assertEqual(len(self.fil("sample", "c.fil", "--weights", f"{plan}/last.safetensors", "--tokens", "12", *use)[0]), 12)

    def test_it_learns_as_f32_does(self):
        plain = self.train("p", "p", "--backend", "cpu"), self.lines("p")[-1]["loss"]
        for plan in ("half", "eight"):
            self.train(plan, plan, "--backend", "cpu")
            self.assertLess(abs(self.lines(plan)[-1]["loss"] / plain[1] - 1), 0.03, plan)
        self.fil("validate", "c.fil", "--plan", "near", "--backend=cpu")

    def test_weights_go_from_format_to_format(self):
        self.train("p", "p")
        self.train("half", "h", "--weights", "p/last.safetensors", "--set", "train.optim=sgd(lr=1e-30)", "--set", "precision.moments=f32", "--steps", "1")
        plain, half = self.tensors("p"), self.tensors("h")
        name = "l[0].Attention.v"
        self.assertEqual(joined(half[name][2], half[name + "#low"][2]), list(struct.unpack("<64f", plain[name][2])))
        self.train("p", "back", "--weights", "h/last.safetensors", "--set", "train.optim=sgd(lr=1e-30)", "--steps", "1")
        self.assertEqual(self.tensors("back")[name], plain[name])
        self.train("p", "p", "--resume", "--set", "precision.master=split", exit=1)  # a run goes on in its own formats

    def test_adapters_stay_f32_and_a_frozen_base_is_kept_in_its_format(self):
        self.train("eight", "e")
        self.train("tuned", "t", "--weights", "e/last.safetensors", "--backend", "cpu")
        tensors = self.tensors("t")
        self.assertEqual([tensors["l[0].Attention.q" + x][0] for x in ("", ".lora_A", ".lora_A#m", ".lora_B#v")], ["F32", "F32", "F8_E4M3", "BF16"])
        self.assertEqual({x[0] for x in read_checkpoint(self.path("t/adapter.safetensors"))[1].values()}, {"F32"})
        self.assertIn("the same to the bit", self.fil("replay", "t/tape.jsonl", "--out", "t2")[1])
        self.train("frozen", "f", "--weights", "e/last.safetensors", "--backend", "cpu")
        self.assertEqual([self.tensors("f")["l[0].Attention." + x][0] for x in ("k", "q.lora_A")], ["BF16", "F32"])
        self.assertEqual(self.tensors("f")["l[0].Attention.k"][2], self.tensors("e")["l[0].Attention.k"][2])
        self.fil("run", "c.fil", "--weights", "f/last.safetensors", "--in", "tok=" + self.tokens(), "--out", "y.npy", "--backend=cpu")

    def test_what_is_looked_back_at_is_rounded_in_training_and_decoding(self):
        self.train("kept", "o", "--backend=cpu")
        self.train("kept", "o2", "--steps", "5", "--backend=cpu")
        self.train("kept", "o2", "--resume", "--backend=cpu")
        self.assertEqual(self.tensors("o"), self.tensors("o2"))
        self.assertFalse([n for n in self.tensors("o") if "ks" in n or "vs" in n])  # what a call keeps is no part of a checkpoint
        weights = ("c.fil", "--weights", "o/last.safetensors")
        texts = {self.fil("sample", *weights, "--prompt", "to be", "--tokens", "40", "--temperature", "0", *use)[0] for use in (("--backend=cpu",), ("--backend=reference",), ("--backend=cpu", "--threads", "1"))}
        self.assertEqual(len(texts), 1)
        for use in ("cpu", "reference"):  # the last row of `run` is what decoding says next
            self.fil("run", *weights, "--in", "tok=" + self.tokens(), "--out", use + ".npy", "--backend", use)
        a, b = (read_npy(self.path(use + ".npy"))[1] for use in ("cpu", "reference"))
        self.fil("run", "c.fil", "--plan", "p", "--weights", "o/last.safetensors", "--in", "tok=" + self.tokens(), "--out", "plain.npy")
        plain = read_npy(self.path("plain.npy"))[1]
        self.assertLess(max(abs(x - y) for x, y in zip(a, b)), 1e-4)
        self.assertGreater(max(abs(x - y) for x, y in zip(a, plain)), 1e-4)
        self.assertLess(max(abs(x - y) for x, y in zip(a, plain)), 0.3)
        for lines, code, text in (("cache bf16 kx=e4m3", "P0454", "`Char` has no cache `kx`; it has `ks`, `vs`"), ("default f64; cache bf16", "P0444", "`cache bf16` beside `default f64`"), ("cache fp8", "P0404", "e4m3")):
            self.write("w.fil", f"plan wrong for Char from p {{ precision {{ {lines} }} }}\n")
            self.assertIn(text, self.fil("train", "c.fil", "w.fil", "--plan", "wrong", "--out", "x", exit=1, code=code)[1])

    def test_what_layers_save_is_narrow(self):
        self.train("p", "plain", "--backend=cpu")
        self.train("saved", "o", "--backend=cpu")
        first = [json.loads(self.read(f"{folder}/metrics.jsonl").splitlines()[0])["loss"] for folder in ("plain", "o")]
        self.assertEqual(*first)
        self.assertNotEqual(self.tensors("plain"), self.tensors("o"))
        self.train("saved", "o2", "--steps", "5", "--backend=cpu")
        self.train("saved", "o2", "--resume", "--backend=cpu", "--threads", "1")
        self.assertEqual(self.tensors("o"), self.tensors("o2"))
        diff = self.fil("plan", "c.fil", "--diff", "p", "saved")[0].decode()
        before, after = (float(x) for x in re.search(r"arena, bytes +(\S+) -> (\S+)", diff).groups())
        self.assertLess(after, 0.95 * before)
        said = self.fil("sample", "c.fil", "--weights", "o/last.safetensors", "--tokens", "2", "--backend=cpu")[1]
        self.assertNotIn("W0317", said)  # nothing is saved where nothing trains
        self.assertIn("quantize at l[0..2].Attention", self.fil("explain", "--backend=cpu", "c.fil", "--plan", "saved", "--memory")[0].decode())
        kept = self.fil("explain", "--backend=cpu", "c.fil", "l[*].Attention.q", "--plan", "saved")[0].decode()
        self.assertRegex(kept, r"for the gradient .*kept, .* in e4m3")
        of = lambda plan: int(re.search(r"for the gradient ([0-9,]+) bytes are kept", self.fil("explain", "--backend=cpu", "c.fil", "--plan", plan, "--memory")[0].decode())[1].replace(",", ""))
        self.assertLess(of("saved"), 0.7 * of("p"))  # the scales of four neighbours are as many bytes as these
        self.assertLess(of("savedHalf"), of("half"))
        self.write("w.fil", "plan wrong for Char from p { precision { default f64; saved bf16 } }\n")
        self.assertIn("`saved bf16` beside `default f64`", self.fil("train", "c.fil", "w.fil", "--plan", "wrong", "--out", "x", exit=1, code="P0444")[1])
        self.write("flat.fil", "dims B, D = 4\nmodel Flat(x: [B,D]) -> [B,D] { param w: D -> D\n return x @ w }\nloss l(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n"
                   "plan s for Flat { precision { saved bf16 }\n train { data x=npy(\"x.npy\"), t=npy(\"x.npy\"); steps 1 } }\n")
        self.assertIn("warning[W0317]: nothing is saved in bf16", self.fil("compile", "flat.fil", "--plan", "s", "--emit", "schedule")[1])

    def tokens(self):
        from support import write_npy
        return write_npy(self.path("tok.npy"), "<i4", (1, 8), list(range(60, 68))) or self.path("tok.npy")

    def test_what_cannot_be_is_refused_where_it_stands(self):
        for plan, code, text in (("merged", "P0429", "rounded to the base's format again"), ("whole", "P0453", "keeps it as whole numbers"), ("smaller", "P0441", "it is 0.66")):
            _, err = self.fil("train", "c.fil", "--plan", plan, "--out", "x", exit=3 if code == "P0441" else 1, code=code)
            self.assertIn(text, err)
            self.assertRegex(err, r"c\.fil:\d+:\d+")
        for lines, text in (("q: bf16", "`bf16` beside `default f64`"), ("moments bf16", "`moments bf16` beside `default f64`"), ("master split", "`master split` beside")):
            self.write("w.fil", f"plan wide for Char from p {{ precision {{ default f64; {lines} }} }}\n")
            self.assertIn(text, self.fil("train", "c.fil", "w.fil", "--plan", "wide", "--out", "x", exit=1, code="P0444")[1])
        for lines, text in (("default bf16; moments bf16 w=e4m3", "`adamw` keeps no `w` for a param; it keeps `m` and `v`"),):
            self.write("w.fil", f"plan wide for Char from p {{ precision {{ {lines} }} }}\n")
            self.assertIn(text, self.fil("train", "c.fil", "w.fil", "--plan", "wide", "--out", "x", exit=1, code="P0445")[1])
        for tile in ("tile(0x1, 1x1)", "tile(1x2x3, 1x1)", "tile(1x99999999, row)", "tile(99999999999999999999x1, 1x1)"):
            self.write("w.fil", f"plan wide for Char from p {{ precision {{ q: fp8 {tile} }} }}\n")
            self.fil("train", "c.fil", "w.fil", "--plan", "wide", "--out", "x", exit=1)
        self.train("small", "o", "--steps", "1")
        self.train("half", "o", "--set", "precision.moments=int8", exit=1, code="E0604")
        self.train("half", "o", "--set", "precision.master=f16", exit=1, code="E0604")

    def test_the_line_of_the_innermost_site_holds(self):
        self.write("w.fil", "plan inner for Char from p { precision { q: f32; Attention: fp8 e4m3 }; lora { q: r=2 merge=always } }\n"
                            "plan none for Char from p { precision { g: bf16 } }\nplan inside for Char from p { precision { q: f64 } }\n")
        text = self.fil("explain", "c.fil", "w.fil", "l[0].Attention.q", "--plan", "inner", "--backend=cpu")[0].decode()
        self.assertIn("what products read is not rounded", text)
        self.fil("train", "c.fil", "w.fil", "--plan", "inner", "--out", "o", "--steps", "1")
        _, err = self.fil("train", "c.fil", "w.fil", "--plan", "none", "--out", "o", "--steps", "1")
        self.assertRegex(err, r"warning\[W0313\]: none of the line's sites is multiplied as it is.*\n --> w\.fil:2:\d+")
        self.fil("train", "c.fil", "w.fil", "--plan", "inside", "--out", "o", exit=1, code="E0604")

    def test_a_plan_is_explained(self):
        text = self.fil("plan", "c.fil", "--plan", "eight", "--expand")[0].decode()
        self.assertRegex(text, r"\n    default bf16 dgrad=bf16 wgrad=bf16 out=bf16 +// c\.fil:\d+ \(dgrad, wgrad, out by default\), approximate \(rounding; measure: the loss of f32\)\n")
        self.assertRegex(text, r"\n    \{q,k,v,o\}: fp8 e4m3 .*approximate \(rounding; measure: the loss of f32\)\n")
        self.write("again.fil", re.sub(r" *//.*", "", text.replace("plan eight", "plan again")))
        again = self.fil("plan", "c.fil", "again.fil", "--plan", "again", "--expand")[0].decode()
        self.assertEqual(re.search(r"// program (\w+)", text)[1], re.search(r"// program (\w+)", again)[1])
        text = self.fil("plan", "c.fil", "--diff", "p", "eight")[0].decode()
        self.assertRegex(text, r"\n  rounding, relative     6e-08 -> 0.12\n")  # e5m2
        self.assertRegex(text, r"\nl\.Attention\.q\n.*params \d+ -> \d+ \(0\.50x\)")
        text = self.fil("explain", "c.fil", "l[0].Attention.q", "--plan", "eight", "--backend=cpu")[0].decode()
        self.assertIn("part of the program since `fil-precision-round-operands`: what products read is rounded to 3 significant bits", text)
        self.assertIn(": here the line of an inner site holds", text)


if __name__ == "__main__":
    unittest.main()
