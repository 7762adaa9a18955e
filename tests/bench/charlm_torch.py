#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The model of examples/02_charlm in PyTorch: a peer of program_bench, driven by the same lines on stdin.

Same architecture, initial scale and optimizer as charlm.fil; written as a good PyTorch user would (fused
scaled_dot_product_attention, fused AdamW), so that the comparison is against PyTorch at its best.

  run BEFORE N    N training steps on one batch of random tokens, after some that do not count    -> seconds each
  sample          one more                                                                        -> its loss, as JSON
  decode N        N tokens of one sequence with a cache, greedily                                 -> seconds
"""
import argparse, json, sys, time
import torch, torch.nn as nn, torch.nn.functional as F


def rope(x, pos):
    half = x.shape[-1] // 2
    freq = 10000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = pos[:, None].float() * freq
    cos, sin = angle.cos(), angle.sin()
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Layer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, inner = heads, 4 * dim
        self.g1, self.g2 = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))
        self.qkv, self.o = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.gate_up, self.down = nn.Linear(dim, 2 * inner, bias=False), nn.Linear(inner, dim, bias=False)

    def attention(self, h, pos, cache):
        B, T, D = h.shape
        q, k, v = (x.view(B, T, self.heads, -1).transpose(1, 2) for x in self.qkv(h).chunk(3, -1))
        q, k = rope(q, pos), rope(k, pos)
        if cache is not None:
            at = int(pos[0])
            cache[0][:, :, at:at + T], cache[1][:, :, at:at + T] = k, v
            k, v = cache[0][:, :, :at + T], cache[1][:, :, :at + T]
        out = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        return self.o(out.transpose(1, 2).reshape(B, T, D))

    def forward(self, h, pos, cache=None):
        h = h + self.attention(F.rms_norm(h, (h.shape[-1],), self.g1, 1e-6), pos, cache)
        gate, up = self.gate_up(F.rms_norm(h, (h.shape[-1],), self.g2, 1e-6)).chunk(2, -1)
        return h + self.down(F.silu(gate) * up)


class CharLM(nn.Module):
    def __init__(self, vocab=256, dim=128, layers=4, heads=4):
        super().__init__()
        self.emb, self.g = nn.Embedding(vocab, dim), nn.Parameter(torch.ones(dim))
        self.layers = nn.ModuleList(Layer(dim, heads) for _ in range(layers))
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 if p is self.emb.weight else p.shape[1] ** -0.5)

    def forward(self, tok, pos, caches=None):
        h = self.emb(tok)
        for i, layer in enumerate(self.layers):
            h = layer(h, pos, caches[i] if caches is not None else None)
        return F.linear(F.rms_norm(h, (h.shape[-1],), self.g, 1e-6), self.emb.weight)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--L", type=int, default=4); ap.add_argument("--D", type=int, default=128)
    ap.add_argument("--H", type=int, default=4); ap.add_argument("--T", type=int, default=128)
    ap.add_argument("--B", type=int, default=32)
    ap.add_argument("--threads", type=int, default=2); ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--mode", default="eager", choices=["eager", "compile", "max-autotune"])
    ap.add_argument("--avx2", action="store_true", help="limits what torch.compile generates")
    ap.add_argument("--cpu-time", action="store_true", help="seconds are those of the CPU, not of the wall")
    a = ap.parse_args()
    clock = time.process_time if a.cpu_time else time.perf_counter
    torch.set_num_threads(a.threads); torch.manual_seed(a.seed)
    model = CharLM(dim=a.D, layers=a.L, heads=a.H); pos = torch.arange(a.T)
    maps, gains = [p for p in model.parameters() if p.dim() > 1], [p for p in model.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([dict(params=maps, weight_decay=0.1), dict(params=gains, weight_decay=0.0)],
                            lr=1e-3, betas=(0.9, 0.999), fused=True)
    tokens = torch.randint(0, 256, (a.B, a.T + 1))

    def loss_of(tok, target):
        return F.cross_entropy(model(tok, pos).view(-1, 256), target.reshape(-1))

    if a.avx2:
        import torch._inductor.config as config
        config.cpp.simdlen, config.cpp.march = 256, "x86-64-v3"
    if a.mode != "eager":
        loss_of = torch.compile(loss_of, mode="default" if a.mode == "compile" else a.mode)

    def step(tok, target):
        opt.zero_grad(set_to_none=True)
        loss = loss_of(tok, target); loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        opt.step()
        return loss.item()

    def steps(n):
        loss = None
        for _ in range(n):
            loss = step(tokens[:, :-1], tokens[:, 1:])
        return loss

    def run(before, n):
        steps(before)
        start = clock()
        steps(n)
        return f"{(clock() - start) / n:.9f}"

    def decode(n):
        N = a.D // a.H
        with torch.no_grad():
            caches = [(torch.zeros(1, a.H, a.T, N), torch.zeros(1, a.H, a.T, N)) for _ in range(a.L)]
            tok = torch.zeros(1, 1, dtype=torch.long); start = clock()
            for t in range(n):
                tok = model(tok, pos[t:t + 1], caches)[:, -1].argmax(-1, keepdim=True)
            return f"{clock() - start:.9f}"

    print(f"ready torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}", flush=True)
    for line in sys.stdin:
        what, *n = line.split()
        if what == "quit":
            break
        n = [int(x) for x in n]
        print(json.dumps({"loss": [steps(1)]}) if what == "sample" else run(*n) if what == "run" else decode(*n), flush=True)


main()
