// RUN: %fil-opt %s --fil-train-absorb-products | FileCheck %s
// `decode`: few positions are new, many are kept.

fil.dims {B, T, S, H = "2", N = "8", C = "16", "s#0" = "4"}
fil.site "scaled" [#fil.format<e4m3 dgrad e4m3 wgrad e4m3 out f32 activations [1, 0] weights [0, 0]>]

// The maps of keys and values go to the side of the query and of the mixture.
// CHECK-LABEL: @plain
// CHECK: %[[C:.*]] = fil.cache
// CHECK-NEXT: %[[Q:.*]] = fil.contract %arg1, %arg3 over ["N"] {site = "kb"} {{.*}} -> !fil.tensor<[B,T,H,C], real>
// CHECK-NEXT: %[[A:.*]] = fil.contract %[[Q]], %[[C]] over ["C"] {site = "m"} {{.*}} -> !fil.tensor<[B,T,S,H], real>
// CHECK-NEXT: %[[V:.*]] = fil.contract %[[A]], %[[C]] over ["S"] {site = "m"} {{.*}} -> !fil.tensor<[B,T,H,C], real>
// CHECK-NEXT: fil.contract %[[V]], %arg4 over ["C"] {site = "vb"} {{.*}} -> !fil.tensor<[B,T,H,N], real>
// At a site whose operands have scales nothing is moved.
// CHECK-NEXT: %[[K:.*]] = fil.contract %[[C]], %arg3 over ["C"] {site = "scaled"}
// CHECK-NEXT: fil.contract %arg1, %[[K]] over ["N"]
fil.func entry "decode" @plain(%x: !fil.tensor<[B,T,C], real>, %q: !fil.tensor<[B,T,H,N], real>, %past: !fil.tensor<[B,S,C], real>, %kb: !fil.tensor<[H,N,C], real>, %vb: !fil.tensor<[H,N,C], real>)
    -> (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,S,H], real>) {
  %c = fil.cache %x past %past "T" to "S" {site = "c"} : (!fil.tensor<[B,T,C], real>, !fil.tensor<[B,S,C], real>) -> !fil.tensor<[B,S,C], real>
  %k = fil.contract %c, %kb over ["C"] {site = "kb"} : (!fil.tensor<[B,S,C], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,S,H,N], real>
  %a = fil.contract %q, %k over ["N"] {site = "m"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,S,H,N], real>) -> !fil.tensor<[B,T,S,H], real>
  %v = fil.contract %c, %vb over ["C"] {site = "vb"} : (!fil.tensor<[B,S,C], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,S,H,N], real>
  %y = fil.contract %a, %v over ["S"] {site = "m"} : (!fil.tensor<[B,T,S,H], real>, !fil.tensor<[B,S,H,N], real>) -> !fil.tensor<[B,T,H,N], real>
  %ks = fil.contract %c, %kb over ["C"] {site = "scaled"} : (!fil.tensor<[B,S,C], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,S,H,N], real>
  %as = fil.contract %q, %ks over ["N"] {site = "m"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,S,H,N], real>) -> !fil.tensor<[B,T,S,H], real>
  fil.return %y, %as : !fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,T,S,H], real>
}

// Read through a subset, likewise; behind a function, what chosen members need is computed of the members.
// CHECK-LABEL: @chosen
// CHECK: %[[C:.*]] = fil.cache
// CHECK-NEXT: %[[S:.*]] = fil.topk
// CHECK-NEXT: %[[Q:.*]] = fil.contract %arg1, %arg3 over ["N"] {site = "kb"}
// CHECK-NEXT: fil.contract %[[Q]], %[[C]] through %[[S]] over ["C"] {site = "m"} {{.*}} -> !fil.tensor<[B,T,H,"s#0"], real>
// CHECK: %[[G:.*]] = fil.gather %[[C]] at %[[S]] in "S"
// CHECK: %[[F:.*]] = fil.contract %[[G]], %arg3 over ["C"] {site = "kb"} {{.*}} -> !fil.tensor<[B,T,H,N,"s#0"], real>
// CHECK: %[[E:.*]] = fil.map exp(%[[F]])
// CHECK: %[[P:.*]] = fil.present %[[S]]
// CHECK: %[[R:.*]] = fil.map select(%[[P]], %[[E]], %{{.*}})
// CHECK: fil.contract %arg1, %[[R]] over ["N"] {site = "m"} {{.*}} -> !fil.tensor<[B,T,H,"s#0"], real>
fil.func entry "decode" @chosen(%x: !fil.tensor<[B,T,C], real>, %q: !fil.tensor<[B,T,H,N], real>, %past: !fil.tensor<[B,S,C], real>, %kb: !fil.tensor<[H,N,C], real>, %score: !fil.tensor<[B,T,S], real>)
    -> (!fil.tensor<[B,T,H,"s#0"], real>, !fil.tensor<[B,T,H,"s#0"], real>) {
  %c = fil.cache %x past %past "T" to "S" {site = "c"} : (!fil.tensor<[B,T,C], real>, !fil.tensor<[B,S,C], real>) -> !fil.tensor<[B,S,C], real>
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#0">
  %k = fil.contract %c, %kb over ["C"] {site = "kb"} : (!fil.tensor<[B,S,C], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,S,H,N], real>
  %a = fil.contract %q, %k through %s over ["N"] {site = "m"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,S,H,N], real>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,H,"s#0"], real>
  %f = fil.contract %c, %kb over ["C"] {site = "kb"} : (!fil.tensor<[B,S,C], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,S,H,N], real>
  %e = fil.map exp(%f) {site = "m"} : (!fil.tensor<[B,S,H,N], real>) -> !fil.tensor<[B,S,H,N], real>
  %b = fil.contract %q, %e through %s over ["N"] {site = "m"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,S,H,N], real>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,H,"s#0"], real>
  fil.return %a, %b : !fil.tensor<[B,T,H,"s#0"], real>, !fil.tensor<[B,T,H,"s#0"], real>
}

// In other entries all positions are new.
// CHECK-LABEL: @prefill
// CHECK: fil.contract %{{.*}}, %arg1 over ["C"] {site = "kb"}
fil.func entry "prefill" @prefill(%x: !fil.tensor<[B,T,C], real>, %kb: !fil.tensor<[H,N,C], real>, %q: !fil.tensor<[B,T,H,N], real>) -> !fil.tensor<[B,T,S,H], real> {
  %c = fil.cache %x "T" to "S" {site = "c"} : (!fil.tensor<[B,T,C], real>) -> !fil.tensor<[B,S,C], real>
  %k = fil.contract %c, %kb over ["C"] {site = "kb"} : (!fil.tensor<[B,S,C], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,S,H,N], real>
  %a = fil.contract %q, %k over ["N"] {site = "m"} : (!fil.tensor<[B,T,H,N], real>, !fil.tensor<[B,S,H,N], real>) -> !fil.tensor<[B,T,S,H], real>
  fil.return %a : !fil.tensor<[B,T,S,H], real>
}
