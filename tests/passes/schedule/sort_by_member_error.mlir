// RUN: %fil-errors %s --fil-schedule-sort-by-member

fil.dims {B, T, S, H = "4", N = "16", "s#0" = "8"}
// expected-warning @+1 {{W0314: the line changes nothing: no product has points that share what they chose}}
fil.site "s*" [#fil.grouped<capacity 0.0>]
fil.func entry "run" @run(%q: !fil.tensor<[B,T,H,N], f32>, %c: !fil.tensor<[B,S,N], f32>, %score: !fil.tensor<[B,T,S], f32>) -> !fil.tensor<[B,T,H,"s#0"], f32> {
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], f32>) -> !fil.subset<S per [B,T], "s#0">
  %a = fil.contract %q, %c through %s over ["N"] : (!fil.tensor<[B,T,H,N], f32>, !fil.tensor<[B,S,N], f32>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,H,"s#0"], f32>
  fil.return %a : !fil.tensor<[B,T,H,"s#0"], f32>
}
