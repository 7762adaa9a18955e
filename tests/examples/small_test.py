# SPDX-License-Identifier: Apache-2.0
"""The examples at small sizes, forward, backward and step: generated code agrees with the reference back end, and the loss falls."""
import random

from examples import ExampleTest, difference, main
from support import write_npy  # of tests/e2e

MOE = ("03_moe", "demo", ["--dim", "D=16", "L=2", "E=4"], ["train.batch=4", "train.window.T=16"])
DEEPMOE = ("04_deepmoe", "small",
           ["--dim", "V=256", "D=24", "L=3", "H=2", "N=6", "R=4", "Vh=6", "Cq=12", "Ckv=10", "I=2", "J=8", "E=6", "F=8", "Fd=12"], [])
RESNET = ("05_resnet", "small", ["--dim", "C=2", "K=3", "--seed", "3"], ["train.validate.every=1000"])
FRAUD = ("06_fraud", "small", ["--dim", "Fn=9", "M=3", "Hid=16", "Em=4"], ["train.batch=45"])


class Small(ExampleTest):
    def setUp(self):
        super().setUp()
        r = random.Random(1)
        text = "to be or not to be, that is the question. " * 60
        self.write("tinyshakespeare.txt", text)
        # The same as windows of 48 tokens, and the token after each.
        windows = [text[at : at + 49].encode() for at in range(0, len(text) - 49, 31)]
        write_npy(self.path("tok.npy"), "<i4", (len(windows), 48), [c for w in windows for c in w[:-1]])
        write_npy(self.path("next.npy"), "<i4", (len(windows), 48), [c for w in windows for c in w[1:]])
        # Nine noisy images of three colours: eight are one batch, the ninth is held out. Then a hundred payments.
        labels = [i % 3 for i in range(9)]
        self.images = lambda side: write_npy(self.path("images.npy"), "|u1", (9, 3, side, side), [
            min(255, max(0, int((150 if c == l else 90) + r.gauss(0, 40)))) for l in labels for c in range(3) for _ in range(side * side)])
        write_npy(self.path("labels.npy"), "<i4", (9,), labels)
        num, merch = [r.gauss(0, 1) for _ in range(900)], [r.randrange(6) for _ in range(100)]
        write_npy(self.path("num.npy"), "<f4", (100, 9), num)
        write_npy(self.path("merch.npy"), "<i4", (100,), merch)
        write_npy(self.path("hist.npy"), "<f4", (100, 3, 9), [r.gauss(0, 1) for _ in range(2700)])
        write_npy(self.path("fraud.npy"), "|b1", (100,), [num[9 * i] + (1 if merch[i] == 2 else -0.5) > 0 for i in range(100)])

    def run_small(self, example, out, settings, *options, backend="cpu"):
        name, plan, sizes, always = example
        return self.train(name, plan, out, *sizes, "--data-dir", self.folder, *options, *(["--set", *always, *settings] if always or settings else []), backend=backend)

    def agree(self, example, format, tolerance, steps, settings=(), only=lambda name: True):
        """Both back ends, the same steps: loss, gradient norm and each tensor of the checkpoint."""
        for n in steps:
            lines = {}
            for backend in ("cpu", "reference"):
                lines[backend] = self.run_small(example, backend, [f"precision.default={format}", *settings], "--steps", str(n), backend=backend)
            ours, theirs = self.tensors("cpu"), self.tensors("reference")
            self.assertEqual(list(ours), list(theirs))
            self.assertEqual({t[0] for t in ours.values()}, {format.upper()})
            compared = [name for name in ours if only(name)]
            self.assertGreater(len(compared), 2)
            for name in compared:
                self.assertLessEqual(difference(ours[name], theirs[name]), tolerance, f"{name} after step {n}")
            self.assertEqual(len(lines["cpu"]), n)
            for a, b in zip(lines["cpu"], lines["reference"]):
                self.assertLessEqual(abs(a["loss"] - b["loss"]), tolerance * abs(b["loss"]), f"loss of step {a['step']}")

    def falls(self, example, steps, settings, share):
        """The loss ends below `share` of where it began: by the mean of the last four steps, so that one good batch is not enough."""
        losses = [line["loss"] for line in self.run_small(example, "o", settings)]
        self.assertEqual(len(losses), steps)
        self.assertLess(sum(losses[-4:]) / 4, share * losses[0], losses)

    def test_moe_agrees(self):
        self.agree(MOE, "f64", 1e-9, (1, 3))
        self.agree(MOE, "f32", 1e-4, (1, 3))

    def test_moe_learns(self):
        self.falls(MOE, 60, ["train.steps=60"], 0.8)

    def test_deepmoe_agrees(self):
        self.agree(DEEPMOE, "f64", 1e-9, (1, 3))
        self.agree(DEEPMOE, "f32", 1e-4, (1, 3))

    def test_deepmoe_learns(self):
        self.falls(DEEPMOE, 20, [], 0.9)  # the plan as it stands

    def test_resnet_agrees(self):
        # 53 norms over a few dozen values each make a step that multiplies errors by thousands. One ulp of f32 in the images is enough to
        # turn a `relu` over, which moves gradients by tens of percent; so in f32 the forward is compared (statistics of all norms, and the
        # gradient of the last map, behind which no `relu` lies), and all gradients in f64. A small rate keeps three steps together.
        self.images(64)
        rate = ["train.optim.lr=1e-6", "train.epochs=20"]
        self.agree(RESNET, "f64", 1e-9, (1, 3), rate)
        self.agree(RESNET, "f32", 1e-4, (1,), rate, lambda name: name.endswith((".mu", ".var")) or name.startswith("head"))

    def test_resnet_learns(self):
        self.images(32)
        self.falls(RESNET, 40, ["train.epochs=40"], 0.5)

    def test_fraud_agrees(self):
        self.agree(FRAUD, "f64", 1e-9, (1, 3))
        self.agree(FRAUD, "f32", 1e-4, (1, 3))

    def test_fraud_learns(self):
        self.falls(FRAUD, 80, ["train.epochs=40"], 0.8)


if __name__ == "__main__":
    main()
