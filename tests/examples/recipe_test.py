# SPDX-License-Identifier: Apache-2.0
"""The examples at their real sizes on real data, as far as a test of a few minutes goes."""
from examples import ExampleTest, main
from support import read_checkpoint


class Mnist(ExampleTest):
    def test_the_plan_reaches_what_it_requires(self):
        self.data("mnist/train-images-idx3-ubyte.gz")
        lines = self.train("01_mnist", "small", "o", "--data-dir", self.data("mnist"))  # whose `require` would exit 3
        self.assertEqual(len(lines), 5 * 469)  # five epochs of 60,000 images, the last batch partial
        self.assertGreaterEqual(lines[-1]["accuracy"], 0.975)


class CharLM(ExampleTest):
    def test_two_hundred_steps(self):
        self.data("tinyshakespeare.txt")
        lines = self.train("02_charlm", "laptop", "o", "--data-dir", self.data("."), "--steps", "200")
        self.assertEqual(lines[-1]["step"], 200)
        self.assertLessEqual(lines[-1]["valid_loss"], 2.05)
        self.assertGreater(lines[-1]["valid_loss"], 1.8)  # lower is no better model but a look at what it shall predict
        self.assertEqual(read_checkpoint(self.path("o/last.safetensors"))[0]["step"], "200")


if __name__ == "__main__":
    main()
