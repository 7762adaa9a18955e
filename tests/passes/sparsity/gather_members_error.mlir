// RUN: %fil-errors %s --fil-sparsity-gather-members

fil.dims {B, T, S, H = "4", N = "16", "s#0" = "8"}
// expected-warning @+1 {{W0314: the line changes nothing: no product reads the members' rows}}
fil.site "s*" [#fil.gather<block 0>]
fil.func entry "run" @run(%c: !fil.tensor<[B,S,N], real>, %score: !fil.tensor<[B,T,S], real>) -> (!fil.tensor<[B,T,N], real>) {
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#0">
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,N,"s#0"], real>
  %y = fil.reduce sum %g over ["s#0"] : (!fil.tensor<[B,T,N,"s#0"], real>) -> !fil.tensor<[B,T,N], real>
  fil.return %y : !fil.tensor<[B,T,N], real>
}

// -----
fil.dims {B, T, S, H = "4", N = "16", "s#0" = "8"}
// expected-warning @+1 {{W0314: the line changes nothing: products of the members' rows round them to 8 bits, or leave out granules of the other side, and read them in memory}}
fil.site "s*" [#fil.gather<block 0>]
fil.site "" [#fil.format<e4m3 dgrad e5m2 wgrad e4m3 out bf16 activations [1, 0] weights [0, 0]>]
fil.func entry "run" @run(%q: !fil.tensor<[B,T,H,N], real>, %c: !fil.tensor<[B,S,N], real>, %score: !fil.tensor<[B,T,S], real>) -> (!fil.tensor<[B,T,H,"s#0"], real>) {
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#0">
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,N,"s#0"], real>
  %a = fil.contract %q, %g over ["N"] : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,N,"s#0"], real>) -> !fil.tensor<[B,T,H,"s#0"], real>
  fil.return %a : !fil.tensor<[B,T,H,"s#0"], real>
}

// -----
fil.dims {B, D = "16", E = "8", F = "16", "e#0" = "2"}
// expected-warning @+1 {{W0314: `block` changes nothing: no product has several members in a tile}}
fil.site "e*" [#fil.gather<block 4>]
fil.func entry "run" @run(%h: !fil.tensor<[B,D,"e#0"], real>, %w: !fil.tensor<[D,E,F], real>, %score: !fil.tensor<[B,E], real>) -> (!fil.tensor<[B,F,"e#0"], real>) {
  %e = fil.topk %score over "E" {site = "e*"} : (!fil.tensor<[B,E], real>) -> !fil.subset<E per [B], "e#0">
  %y = fil.contract %h, %w through %e over ["D"] : (!fil.tensor<[B,D,"e#0"], real>, !fil.tensor<[D,E,F], real>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], real>
  fil.return %y : !fil.tensor<[B,F,"e#0"], real>
}
