#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's side of the table and, in float64, the numbers that both sides are compared with; the same lines on stdin as program_bench.

  load NAME MODE {"R": 4096, ..}    a function of the table, MODE is eager or compile; operands are functions of their names
  run BEFORE N                      N calls, after some that do not count   -> seconds each
  sample | reference                elements of each result, as JSON        (reference: in float64, on what was loaded)
"""
import json, sys, time
import numpy as np
import torch, torch.nn.functional as F


def fill(name, shape, below=None):
    key = 2166136261
    for c in name.encode():
        key = (key ^ c) * 16777619 & 0xffffffff
    h = np.arange(np.prod(shape), dtype=np.uint32)
    h *= np.uint32(2654435761); h += np.uint32(key)
    h ^= h >> np.uint32(16); h *= np.uint32(0x45d9f3b); h ^= h >> np.uint32(16); h >>= np.uint32(8)
    if below:
        return torch.from_numpy((h % np.uint32(below)).astype(np.int64)).view(shape)
    return torch.from_numpy(h.astype(np.float32) * np.float32(2 ** -23) - np.float32(1)).view(shape)


def chain(x, *ws):
    for w in ws:
        x = x @ w
    return x


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


# Name: the function, its operands as dims, the operands that gradients are wanted by.
ROWS = {
    "Plain": (torch.matmul, dict(a="MK", b="KN"), ()),
    "TransposedB": (lambda a, b: a @ b.mT, dict(a="MK", b="NK"), ()),
    "TransposedA": (lambda a, b: a.mT @ b, dict(a="KM", b="KN"), ()),
    "BothTransposed": (lambda a, b: a.mT @ b.mT, dict(a="KM", b="NK"), ()),
    "Epilogue": (lambda a, r, b, c: F.silu(a @ b + c) + r, dict(a="MK", r="MN", b="KN", c="N"), ()),
    "Batched": (torch.bmm, dict(a="GMK", b="GKN"), ()),
    "Experts": (torch.bmm, dict(a="GMK", b="GKN"), ()),
    "Chain": (chain, {"x": "MD", **{f"l[{i}].w": "DD" for i in range(8)}}, ()),
    "Softmax": (lambda x: F.softmax(x, -1), dict(x="RX"), "x"),
    "RMSNorm": (lambda x, g: F.rms_norm(x, x.shape[-1:], g, 1e-6), dict(x="RX", g="X"), "xg"),
    "SwiGLU": (lambda a, b: F.silu(a) * b, dict(a="RX", b="RX"), "ab"),
    "CrossEntropy": (F.cross_entropy, dict(x="RX", t="R"), "x"),
    "Attention": (attention, dict(q="BHTN", k="BHSN", v="BHSN"), "qkv"),
}


class Row:
    def __init__(self, name, mode, dims):
        backward = name.endswith("Backward")
        function, operands, self.wanted = ROWS[name.removesuffix("Backward")]
        shape = lambda word: [dims[d] for d in word]
        self.operands = {n: fill(n, shape(w), dims["X"] if n == "t" else None) for n, w in operands.items()}
        self.dy = None
        if backward and name != "CrossEntropyBackward":
            self.dy = fill("dy", shape(next(iter(operands.values()))))
        self.plain, self.backward = function, backward
        self.function = torch.compile(function) if mode == "compile" else function
        self.prepare()

    def prepare(self):
        for n in self.wanted if self.backward else ():
            self.operands[n] = self.operands[n].detach().requires_grad_()

    def __call__(self):
        if not self.backward:
            with torch.no_grad():
                return [self.function(*self.operands.values())]
        y = self.function(*self.operands.values())
        return [y, *torch.autograd.grad(y, [self.operands[n] for n in self.wanted], self.dy)]

    def reference(self):
        double = lambda x: x.double() if x is not None and x.is_floating_point() else x
        self.operands = {n: double(x) for n, x in self.operands.items()}
        self.dy, self.function = double(self.dy), self.plain
        self.prepare()
        return self.sample()

    def sample(self):
        y, *gradients = self()
        out = {"y": y}
        if self.backward:
            out["loss"] = y if self.dy is None else (y * self.dy).sum()
            out.update((str(2 + i), g) for i, g in enumerate(gradients))
        return json.dumps({n: elements(v.detach().contiguous().view(-1)) for n, v in out.items()})


def elements(v):
    at = [k * 2654435761 % len(v) for k in range(min(200, len(v)))] + [len(v) - 1]
    return ([None] if v.isnan().any() else []) + v[at].tolist()


def main():
    torch.set_num_threads(2)
    if "--avx2" in sys.argv:
        import torch._inductor.config as config
        config.cpp.simdlen, config.cpp.march = 256, "x86-64-v3"
    print(f"ready torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}", flush=True)
    for line in sys.stdin:
        what, *words = line.split(maxsplit=3)
        if what == "quit":
            break
        if what == "load":
            row = None
            torch.compiler.reset()
            row = Row(words[0], words[1], json.loads(words[2]))
            print("loaded", flush=True)
        elif what == "run":
            for _ in range(int(words[0])):
                row()
            start = time.perf_counter()
            for _ in range(int(words[1])):
                row()
            print(f"{(time.perf_counter() - start) / int(words[1]):.9f}", flush=True)
        else:
            print(row.sample() if what == "sample" else row.reference(), flush=True)


main()
