# SPDX-License-Identifier: Apache-2.0
"""run, sample, explain, compile, check, help; bad checkpoints; exit codes."""
import json
import os
import struct
import unittest

from support import SOURCE, CommandTest, read_checkpoint, read_npy, write_npy

OPTIONS = {
    "check": ["--dim", "--plan", "--json"],
    "compile": ["--dim", "--plan", "-o", "--emit", "--stop-after", "--dump-dir", "--timing", "--trace", "--set", "--data-dir", "--threads", "--target-cpu", "--backend"],
    "train": ["--dim", "--plan", "--out", "--data", "--weights", "--steps", "--seed", "--resume", "--timing", "--trace", "--set", "--data-dir", "--threads", "--target-cpu", "--backend"],
    "run": ["--dim", "--plan", "--weights", "--in", "--out", "--profile", "--profile-out", "--set", "--data-dir", "--threads", "--target-cpu", "--backend"],
    "sample": ["--dim", "--plan", "--weights", "--prompt", "--tokens", "--temperature", "--top-k", "--seed", "--profile", "--profile-out", "--set", "--data-dir", "--threads", "--target-cpu", "--backend"],
    "explain": ["--dim", "--plan", "--kernels", "--memory", "--entry", "--at", "--profile", "--set", "--data-dir", "--threads", "--target-cpu", "--backend"],
    "help": [],
}


class Help(CommandTest):
    def test_every_command_has_help_with_every_option(self):
        for command, options in OPTIONS.items():
            for args in ((command, "--help"), ("help", command)):
                out, err = self.fil(*args)
                self.assertEqual(err, "")
                self.assertIn(f"fil {command}".encode(), out)
                for o in options:
                    self.assertIn(o.encode(), out, args)
        for args in (("help",), ("--help",)):
            out, _ = self.fil(*args)
            for command in OPTIONS:
                self.assertIn(command.encode(), out)

    def test_a_code_is_explained(self):
        out, _ = self.fil("help", "E0207")
        self.assertIn(b"subset", out)
        self.assertNotIn(b"{0}", self.fil("help", "P0437")[0])
        self.fil("help", "E9999", exit=2, code="E0108")

    def test_usage_is_exit_2_on_stderr(self):
        for args in ((), ("nothing",), ("train",), ("train", "c.fil", "--out", "o"), ("train", "c.fil", "--plan", "p", "--out", "o", "--foo"),
                     ("train", "c.fil", "--plan", "p", "--out", "o", "--steps", "x"), ("sample", "c.fil"), ("run", "c.fil", "--weights", "w"),
                     ("compile", "c.fil", "--target-cpu=z80"), ("compile", "c.fil", "--backend=gpu"), ("check", "c.fil", "--dim", "D"), ("check", "c.fil", "--dim", "D=0"),
                     ("compile", "c.fil", "--emit=nothing"), ("compile", "c.fil", "--threads", "0")):
            out, err = self.fil(*args, exit=2)
            self.assertEqual(out, b"", args)
            self.assertNotEqual(err, "", args)


class Files(CommandTest):
    def test_files_that_are_no_programs_are_exit_1_with_one_line(self):
        self.write("empty.fil", "")
        self.write("comment.fil", "// nothing\n")
        os.mkdir(self.path("folder"))
        for command in (["check"], ["compile"], ["explain"]):
            for name, code in (("absent.fil", "E0501"), ("folder", "E0501"), ("empty.fil", "E0107"), ("comment.fil", "E0107")):
                _, err = self.fil(*command, name, *(["x"] if command == ["explain"] else []), exit=1, code=code)
                self.assertEqual(len([l for l in err.splitlines() if l.startswith("error")]), 1, err)
                self.assertIn(name, err)

    def test_files_are_one_program_in_any_order(self):
        text = self.read("c.fil").decode()
        cut = text.index("plan p")
        self.write("model.fil", text[:cut])
        self.write("plans.fil", text[cut:])
        self.fil("check", "plans.fil", "model.fil")
        self.fil("train", "plans.fil", "model.fil", "--plan", "p", "--out", "o", "--steps", "1")


class Check(CommandTest):
    def test_types_parameters_and_costs(self):
        out = self.fil("check", "k.fil", "--plan", "p")[0].decode()
        lines = [l.split() for l in out.splitlines()]
        self.assertIn("model Classes, loss nll, plan p, f32", out)
        self.assertIn(["param", "w", "P", "->", "K", "12"], lines)
        self.assertIn(["param", "b", "[K]", "3"], lines)
        self.assertIn(["parameters", "15", "(60", "bytes)"], lines)
        self.assertIn(["forward", "27*B", "FLOPs"], lines)  # 2*4*3 for the map, 3 for the sum
        self.assertIn(["52*B", "+", "60", "bytes"], lines)  # x 4, w 12, y 3; then y 3, b 3, y 3: 13*B and 15 values of 4 bytes
        out = self.fil("check", "c.fil", "--dim", "D=16", "L=1")[0].decode()
        self.assertIn(["c.fil:9:7", "score", "[B,T,S,H]", "l[0].Attention"], [l.split() for l in out.splitlines()])
        self.assertIn(["param", "l[0].Attention.q", "D", "->", "(H,N)", "256"], [l.split() for l in out.splitlines()])

    def test_json_has_the_same_content(self):
        j = json.loads(self.fil("check", "k.fil", "--plan", "p", "--json")[0])
        self.assertEqual(j["messages"], [])
        m = j["models"][0]
        self.assertEqual((m["name"], m["loss"], m["plan"], m["format"]), ("Classes", "nll", "p", "f32"))
        self.assertEqual(m["params"], [{"site": "w", "type": "P -> K", "count": 12}, {"site": "b", "type": "[K]", "count": 3}])
        self.assertEqual((m["total_params"], m["param_bytes"], m["total_states"], m["states"]), (15, 60, 0, []))
        self.assertEqual(m["forward"], {"flops": "27*B", "bytes": "52*B+60"})
        self.assertRegex(m["step"]["flops"], r"^\d+\*B\+\d+$")
        self.assertGreater(int(m["step"]["flops"].split("*")[0]), 2 * 27)  # forward, and the gradient of the map's weights
        c = json.loads(self.fil("check", "c.fil", "--json")[0])
        self.assertIn("score", [l["name"] for l in c["lets"]])
        self.assertEqual(c["models"][0]["params"][2]["site"], "l[0..2].a")
        self.assertEqual(c["models"][0]["total_params"], 256 * 8 + 8 + 2 * (8 + 4 * 64))
        self.assertNotIn("S", c["models"][0]["forward"]["flops"])  # S = T

    def test_precision_counts_bytes(self):
        self.write("wide.fil", "plan wide for Classes from p { precision { default f64 } }")
        m = json.loads(self.fil("check", "k.fil", "wide.fil", "--plan", "wide", "--json")[0])["models"][0]
        self.assertEqual((m["format"], m["param_bytes"], m["forward"]["bytes"]), ("f64", 120, "104*B+120"))

    def test_bools_are_bytes(self):
        self.write("m.fil", "dims B, D = 4\nmodel M(x: [B,D], ok: bool[B,D]) -> [B,D] = x where ok else 0\n")
        m = json.loads(self.fil("check", "m.fil", "--json")[0])["models"][0]
        self.assertEqual(m["forward"], {"flops": 0, "bytes": "36*B+4"})  # x and y 16, ok 4, and the 0

    def test_each_model_has_its_own_params(self):
        self.write("two.fil", "dims B, D = 4\nmodel A(x: [B,D]) -> [B,D] { param w: D -> D; return x @ w }\nmodel N(x: [B,D]) -> [B] { return sum(x, over D) }\n")
        a, n = json.loads(self.fil("check", "two.fil", "--json")[0])["models"]
        self.assertEqual((a["total_params"], n["total_params"], a["step"], n["loss"]), (16, 0, None, ""))
        self.assertEqual((a["forward"]["flops"], n["forward"]["flops"]), ("32*B", "4*B"))

    def test_the_tables_of_the_examples(self):
        for name, params in (("01_mnist/mnist", 669706), ("02_charlm/charlm", 1082496), ("05_resnet/resnet", 25556032)):
            out, _ = self.fil("check", os.path.join(SOURCE, "examples", name + ".fil"), "--json")
            self.assertEqual(json.loads(out)["models"][0]["total_params"], params)

    def test_a_param_that_nothing_trains_is_warned_about(self):
        self.write("idle.fil", "dims B, D = 4\nmodel A(x: [B,D]) -> [B,D] { param w, u: D -> D; return x @ w + stopgrad(x @ u) }\nloss l(y: [B,D]) = mean(y^2, over B, D)\n")
        _, err = self.fil("check", "idle.fil")
        self.assertIn("warning[W0312]: nothing trains `u`", err)
        self.assertNotIn("`w`", err)

    def test_mistakes_as_json(self):
        self.write("bad.fil", "dims B\nmodel M(x: [B]) -> [B] { return y }\n")
        out, _ = self.fil("check", "bad.fil", "--json", exit=1)
        self.assertEqual([m["code"] for m in json.loads(out)["messages"]], ["E0101"])


class Compile(CommandTest):
    def test_stages_are_printed_saved_and_dumped(self):
        for stage in ("ast", "typed", "fil", "normalize", "lora", "autodiff", "train", "precision"):
            out, err = self.fil("compile", "c.fil", "--plan", "p", f"--emit={stage}")
            self.assertGreater(len(out), 100, stage)
            self.assertEqual(err, "")
        self.fil("compile", "c.fil", "--plan", "p", "--emit=precision", "-o", "saved")
        self.assertEqual(self.read("saved"), out)
        out, err = self.fil("compile", "c.fil", "--plan", "p", "--stop-after=train", "--dump-dir", "dump", "--timing")
        self.assertEqual(out, b"")
        self.assertIn("autodiff", err)
        self.assertEqual(sorted(os.listdir(self.path("dump"))), ["01-ast.fil", "02-typed.txt", "03-fil.mlir", "04-normalize.mlir", "05-lora.mlir", "06-sparsity.mlir", "07-qat.mlir", "08-autodiff.mlir", "09-train.mlir"])
        self.fil("compile", "c.fil", "--emit=train", "--stop-after=fil", exit=2, code="E0108")

    def test_mlirs_own_flags_work(self):
        _, err = self.fil("compile", "c.fil", "--stop-after=normalize", "--mlir-print-ir-after-all")
        self.assertIn("IR Dump After", err)
        self.fil("compile", "c.fil", "--mlir-nonsense", exit=2, code="E0108")


class Trained(CommandTest):
    def setUp(self):
        super().setUp()
        self.fil("train", "c.fil", "--plan", "p", "--out", "o")

    def sample(self, *args, **kw):
        return self.fil("sample", "c.fil", "--weights", "o/last.safetensors", *args, **kw)[0]

    def test_sampling_is_a_function_of_the_seed(self):
        a = self.sample("--tokens", "20", "--seed", "1")
        self.assertEqual(len(a), 20)
        self.assertEqual(a, self.sample("--tokens", "20", "--seed", "1"))
        self.assertNotEqual(a, self.sample("--tokens", "20", "--seed", "2"))
        self.assertEqual(self.sample("--tokens", "20", "--top-k", "1"), self.sample("--tokens", "20", "--temperature", "0"))
        self.assertEqual(self.sample("--tokens", "0", "--prompt", "to"), b"to")

    def test_with_the_cache_it_writes_what_whole_evaluations_write(self):
        text = self.sample("--prompt", "to ", "--tokens", "5", "--temperature", "0")
        self.assertTrue(text.startswith(b"to "))
        for n in range(3, 8):
            write_npy(self.path("tok.npy"), "<i4", (1, n), list(text[:n]))
            self.fil("run", "c.fil", "--weights", "o/last.safetensors", "--in", "tok=tok.npy", "--out", "y.npy")
            shape, y = read_npy(self.path("y.npy"))
            self.assertEqual(shape, (1, n, 256))
            last = y[-256:]
            self.assertEqual(text[n], last.index(max(last)))

    def test_a_checkpoint_carries_dims_and_plan(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--dim", "D=4", "L=1", "--steps", "1")
        text = self.read("c.fil").decode()
        self.write("c.fil", text[:text.index("plan p")])  # the plan is gone from the program
        self.assertEqual(len(self.sample("--tokens", "3")), 3)
        self.sample("--tokens", "3", "--dim", "D=4")
        self.sample("--tokens", "3", "--dim", "D=8", exit=1, code="E0513")
        self.write("c.fil", text.replace("V = 256", "V = 250"))
        self.sample("--tokens", "3", exit=1, code="E0513")

    def test_bad_checkpoints_are_refused_clearly(self):
        good = self.read("o/last.safetensors")
        length = struct.unpack("<Q", good[:8])[0]
        header = json.loads(good[8:8 + length])

        def packed(h):
            text = json.dumps(h).encode()
            return struct.pack("<Q", len(text)) + text + good[8 + length:]

        def changed(key, value):
            h = json.loads(json.dumps(header))
            if value is None: del h["__metadata__"][key]
            else: h["__metadata__"][key] = value
            return packed(h)

        no_emb = {k: v for k, v in header.items() if k != "__metadata__"}
        cases = [(b"", "E0504"), (good[:100], "E0504"), (good[:-1], "E0504"), (good + b"x", "E0512"), (b"\0" * 64, "E0505"), (b"GIF89a" * 20, "E0505"),
                 (good[:8] + b"{" + b"#" * (length - 1) + good[8 + length:], "E0511"), (packed(no_emb), "E0514"), (changed("plan", None), "E0514"),
                 (changed("filigree", "2"), "E0514"), (changed("step", "many"), "E0514"), (changed("dims", '{"D": 8}'), "E0513")]
        for content, code in cases:
            self.write("bad.safetensors", content)
            _, err = self.fil("sample", "c.fil", "--weights", "bad.safetensors", exit=1, code=code)
            self.assertIn("bad.safetensors", err)
            self.write("o/last.safetensors", content)
            self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--resume", exit=1, code=code)

    def test_a_checkpoint_of_another_program_is_refused(self):
        self.fil("run", "k.fil", "--weights", "o/last.safetensors", "--in", "x=x.npy", exit=1)

    def test_explain_prints_what_was_recorded_at_a_site(self):
        out, _ = self.fil("explain", "c.fil", "--plan", "p", "--dim", "D=16", "L=1", "l[*].Attention.q")
        self.assertIn(b"l[0].Attention.q", out)
        self.assertIn(b"param [D,H,N]: 256 elements, 1024 bytes", out)
        self.assertIn(b"forward  contract", out)
        self.assertIn(b"dgrad", out)
        self.assertIn(b"size D = 16: static", out)
        self.assertIn(b"size T: bound", out)
        out, _ = self.fil("explain", "c.fil", "Attention")
        self.assertIn(b"size S: running", out)
        _, err = self.fil("explain", "c.fil", "l[*].Attention.qv", exit=1, code="E0118")
        self.assertIn("did you mean", err)
        self.fil("explain", "c.fil", exit=2, code="E0108")


class RunClasses(CommandTest):
    def test_run_computes_the_model_on_arrays(self):
        self.fil("train", "k.fil", "--plan", "p", "--out", "o")
        shape, _ = read_npy(self.path("x.npy"))
        self.fil("run", "k.fil", "--weights", "o/last.safetensors", "--in", "x=x.npy", "--out", "y.npy")
        yshape, y = read_npy(self.path("y.npy"))
        self.assertEqual(yshape, (30, 3))
        tensors = read_checkpoint(self.path("o/last.safetensors"))[1]
        w, b = (struct.unpack(f"<{len(t[2]) // 4}f", t[2]) for t in (tensors["w"], tensors["b"]))
        x = read_npy(self.path("x.npy"))[1]
        for i in range(30):
            for k in range(3):
                self.assertAlmostEqual(y[i * 3 + k], sum(x[i * 4 + p] * w[p * 3 + k] for p in range(4)) + b[k], places=5)
        out, _ = self.fil("run", "k.fil", "--weights", "o/last.safetensors", "--in", "x=x.npy")
        self.assertEqual(len(out.splitlines()), 30)
        for args, code in ((["x=absent.npy"], "E0501"), (["z=x.npy"], "E0516"), (["x=t.npy"], "E0516")):
            self.fil("run", "k.fil", "--weights", "o/last.safetensors", "--in", *args, exit=1, code=code)
        self.fil("run", "k.fil", "--weights", "o/last.safetensors", "--in", "x", exit=2, code="E0108")
        self.fil("sample", "k.fil", "--weights", "o/last.safetensors", exit=1, code="E0801")


if __name__ == "__main__":
    unittest.main()
