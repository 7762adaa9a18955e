// RUN: %fil-opt %s --fil-sparsity-gather-members | FileCheck %s

fil.dims {B, T, S, H = "4", N = "16", C = "16", "s#0" = "8", "s#2" = "8", "s#1" = "8", F = "64", "F/16" = "4"}
// CHECK: fil.site "v*" [] consumed [#fil.consumed<#fil.gather<block 0> by "fil-sparsity-gather-members">]
// CHECK: fil.site "s*" [] consumed [#fil.consumed<#fil.gather<block 16> by "fil-sparsity-gather-members">]
fil.site "s*" [#fil.gather<block 16>]
fil.site "eight" [#fil.format<e4m3 dgrad e4m3 wgrad e4m3 out f32 activations [1, 0] weights [0, 0]>]
fil.site "half" [#fil.format<bf16 dgrad bf16 wgrad bf16 out bf16 activations [1, 0] weights [0, 0]>]

// Scores and their mixture read where the members stand; so does a map, and a product of gathered rows with gathered rows.
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[S:.*]] = fil.topk
// CHECK: %[[A:.*]] = fil.contract %arg0, %arg1 through %[[S]] over ["N"] {{.*}} -> !fil.tensor<[B,T,H,"s#0"], real>
// CHECK: fil.contract %[[A]], %arg1 through %[[S]] over ["s#0"] {{.*}} -> !fil.tensor<[B,T,H,N], real>
// CHECK: fil.contract %arg1, %arg4 through %[[S]] over ["N"] {{.*}} -> !fil.tensor<[B,T,C,"s#0"], real>
// CHECK: fil.contract %arg1, %arg1 through %[[S]] over ["N"] {{.*}} -> !fil.tensor<[B,T,"s#0"], real>
fil.func entry "run" @run(%q: !fil.tensor<[B,T,H,N], real>, %c: !fil.tensor<[B,S,N], real>, %score: !fil.tensor<[B,T,S], real>, %past: !fil.tensor<[T,S], bool>, %w: !fil.tensor<[N,C], real>)
    -> (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,C,"s#0"], real>, !fil.tensor<[B,T,"s#0"], real>) {
  %zero = fil.constant 0.0 : <[], real>
  %s = fil.topk %score mask %past over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>, !fil.tensor<[T,S], bool>) -> !fil.subset<S per [B,T], "s#0">
  %there = fil.present %s : (!fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,"s#0"], bool>
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,N,"s#0"], real>
  %rows = fil.map select(%there, %g, %zero) : (!fil.tensor<[B,T,"s#0"], bool>, !fil.tensor<[B,T,N,"s#0"], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,T,N,"s#0"], real>
  %a = fil.contract %q, %rows over ["N"] : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,N,"s#0"], real>) -> !fil.tensor<[B,T,H,"s#0"], real>
  %y = fil.contract %a, %rows over ["s#0"] : (!fil.tensor<[B,T,H,"s#0"], real>, !fil.tensor<[B,T,N,"s#0"], real>) -> !fil.tensor<[B,T,H,N], real>
  %k = fil.contract %rows, %w over ["N"] : (!fil.tensor<[B,T,N,"s#0"], real>, !fil.tensor<[N,C], real>) -> !fil.tensor<[B,T,C,"s#0"], real>
  %n = fil.contract %rows, %g over ["N"] : (!fil.tensor<[B,T,N,"s#0"], real>, !fil.tensor<[B,T,N,"s#0"], real>) -> !fil.tensor<[B,T,"s#0"], real>
  fil.return %y, %k, %n : !fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,C,"s#0"], real>, !fil.tensor<[B,T,"s#0"], real>
}

// In 8 bits the scales are those of the rows that were gathered: they stay. Halves have none.
// CHECK-LABEL: @formats
// CHECK: %[[G:.*]] = fil.gather
// CHECK: fil.contract %arg0, %[[G]] over ["N"] {site = "eight"}
// CHECK: fil.contract %arg0, %arg1 through %{{.*}} over ["N"] {site = "half"}
fil.func entry "eval" @formats(%q: !fil.tensor<[B,T,H,N], real>, %c: !fil.tensor<[B,S,N], real>, %score: !fil.tensor<[B,T,S], real>) -> (!fil.tensor<[B,T,H,"s#1"], real>, !fil.tensor<[B,T,H,"s#1"], real>) {
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#1">
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#1">) -> !fil.tensor<[B,T,N,"s#1"], real>
  %a = fil.contract %q, %g over ["N"] {site = "eight"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,N,"s#1"], real>) -> !fil.tensor<[B,T,H,"s#1"], real>
  %b = fil.contract %q, %g over ["N"] {site = "half"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,N,"s#1"], real>) -> !fil.tensor<[B,T,H,"s#1"], real>
  fil.return %a, %b : !fil.tensor<[B,T,H,"s#1"], real>, !fil.tensor<[B,T,H,"s#1"], real>
}

// Granules of the other side are left out of rows in memory; and a choice that no line is about stays as it is.
// CHECK-LABEL: @others
// CHECK: %[[G:.*]] = fil.gather
// CHECK: fil.contract %[[G]], %{{.*}} over ["N"] :
// CHECK: %[[H:.*]] = fil.gather
// CHECK: fil.contract %arg0, %[[H]] over ["N"]
fil.func entry "prefill" @others(%q: !fil.tensor<[B,T,H,N], real>, %c: !fil.tensor<[B,S,N], real>, %score: !fil.tensor<[B,T,S], real>, %w: !fil.tensor<[N,F], real>, %m: !fil.tensor<["F/16"], bool>)
    -> (!fil.tensor<[B,T,"s#1",F], real>, !fil.tensor<[B,T,H,"s#2"], real>) {
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#1">
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#1">) -> !fil.tensor<[B,T,N,"s#1"], real>
  %v = fil.mask %w by %m granules ["F", "F/16"] kept [1, 4] : (!fil.tensor<[N,F], real>, !fil.tensor<["F/16"], bool>) -> !fil.tensor<[N,F], real>
  %a = fil.contract %g, %v over ["N"] : (!fil.tensor<[B,T,N,"s#1"], real>, !fil.tensor<[N,F], real>) -> !fil.tensor<[B,T,"s#1",F], real>
  %u = fil.topk %score over "S" {site = "u*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#2">
  %h = fil.gather %c at %u in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#2">) -> !fil.tensor<[B,T,N,"s#2"], real>
  %b = fil.contract %q, %h over ["N"] : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,N,"s#2"], real>) -> !fil.tensor<[B,T,H,"s#2"], real>
  fil.return %a, %b : !fil.tensor<[B,T,"s#1",F], real>, !fil.tensor<[B,T,H,"s#2"], real>
}

// Where each position chooses among all that are kept, no line is needed.
// CHECK-LABEL: @unasked
// CHECK: %[[C:.*]] = fil.cache
// CHECK: %[[S:.*]] = fil.topk
// CHECK-NOT: fil.gather
// CHECK: fil.contract %arg0, %[[C]] through %[[S]] over ["N"]
fil.func entry "eval" @unasked(%q: !fil.tensor<[B,T,H,N], real>, %x: !fil.tensor<[B,T,N], real>, %score: !fil.tensor<[B,T,S], real>) -> !fil.tensor<[B,T,H,"s#2"], real> {
  %c = fil.cache %x "T" to "S" {site = "c"} : (!fil.tensor<[B,T,N], real>) -> !fil.tensor<[B,S,N], real>
  %s = fil.topk %score over "S" {site = "v*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#2">
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,N], real>, !fil.subset<S per [B,T], "s#2">) -> !fil.tensor<[B,T,N,"s#2"], real>
  %a = fil.contract %q, %g over ["N"] : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,N,"s#2"], real>) -> !fil.tensor<[B,T,H,"s#2"], real>
  fil.return %a : !fil.tensor<[B,T,H,"s#2"], real>
}
