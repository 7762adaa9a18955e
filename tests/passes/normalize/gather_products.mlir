// RUN: %fil-opt %s --fil-normalize-gather-products | FileCheck %s
// Each position chooses among all: the product of all rows is less than that of all members' rows.

fil.dims {B, T, S, M, H = "2", N = "8", C = "16", "s#0" = "4", "s#1" = "4", K = "32"}

// Through the choice between a row and 0, and a product of the product.
// CHECK-LABEL: @chosen
// CHECK: %[[C:.*]] = fil.cache
// CHECK: %[[S:.*]] = fil.topk
// CHECK: %[[P:.*]] = fil.contract %[[C]], %arg2 over ["C"] {site = "kb"} {{.*}} -> !fil.tensor<[B,S,H,N], real>
// CHECK: %[[G:.*]] = fil.gather %[[P]] at %[[S]] in "S" {site = "m"} {{.*}} -> !fil.tensor<[B,T,H,N,"s#0"], real>
// CHECK: %[[Q:.*]] = fil.contract %arg4, %[[P]] over ["N"] {site = "next"} {{.*}} -> !fil.tensor<[B,S,H,K], real>
// CHECK: %[[R:.*]] = fil.gather %[[Q]] at %[[S]] in "S"
// CHECK: fil.return %[[G]], %[[R]]
fil.func entry "train" @chosen(%x: !fil.tensor<[B,T,C], real>, %score: !fil.tensor<[B,T,S], real>, %kb: !fil.tensor<[H,N,C], real>, %mask: !fil.tensor<[T,S], bool>, %w: !fil.tensor<[N,K], real>)
    -> (!fil.tensor<[B,T,H,N,"s#0"], real>, !fil.tensor<[B,T,H,"s#0",K], real>) {
  %c = fil.cache %x "T" to "S" {site = "c"} : (!fil.tensor<[B,T,C], real>) -> !fil.tensor<[B,S,C], real>
  %s = fil.topk %score mask %mask over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>, !fil.tensor<[T,S], bool>) -> !fil.subset<S per [B,T], "s#0">
  %zero = fil.constant 0.0 : <[], real>
  %there = fil.present %s : (!fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,"s#0"], bool>
  %g = fil.gather %c at %s in "S" {site = "m"} : (!fil.tensor<[B,S,C], real>, !fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,C,"s#0"], real>
  %rows = fil.map select(%there, %g, %zero) : (!fil.tensor<[B,T,"s#0"], bool>, !fil.tensor<[B,T,C,"s#0"], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,T,C,"s#0"], real>
  %p = fil.contract %rows, %kb over ["C"] {site = "kb"} : (!fil.tensor<[B,T,C,"s#0"], real>, !fil.tensor<[H,N,C], real>) -> !fil.tensor<[B,T,H,N,"s#0"], real>
  %q = fil.contract %w, %p over ["N"] {site = "next"} : (!fil.tensor<[N,K], real>, !fil.tensor<[B,T,H,N,"s#0"], real>) -> !fil.tensor<[B,T,H,"s#0",K], real>
  fil.return %p, %q : !fil.tensor<[B,T,H,N,"s#0"], real>, !fil.tensor<[B,T,H,"s#0",K], real>
}

// What each position multiplies with, sums over the members, and rows whose number nobody knows stay as they are.
// CHECK-LABEL: @others
// CHECK: %[[G:.*]] = fil.gather
// CHECK: fil.contract %arg3, %[[G]] over ["C"]
// CHECK: fil.contract %[[G]], %arg2 over ["s#1"]
// CHECK: %[[M:.*]] = fil.gather
// CHECK: fil.contract %[[M]], %arg5 over ["C"]
fil.func entry "train" @others(%x: !fil.tensor<[B,T,C], real>, %score: !fil.tensor<[B,T,S], real>, %a: !fil.tensor<["s#1",K], real>, %q: !fil.tensor<[B,T,C], real>, %m: !fil.tensor<[M,C], real>, %w: !fil.tensor<[N,C], real>,
                                %far: !fil.tensor<[B,T,M], real>) -> (!fil.tensor<[B,T,"s#1"], real>, !fil.tensor<[B,T,C,K], real>, !fil.tensor<[B,T,N,"s#0"], real>) {
  %c = fil.cache %x "T" to "S" {site = "c"} : (!fil.tensor<[B,T,C], real>) -> !fil.tensor<[B,S,C], real>
  %s = fil.topk %score over "S" {site = "s*"} : (!fil.tensor<[B,T,S], real>) -> !fil.subset<S per [B,T], "s#1">
  %g = fil.gather %c at %s in "S" : (!fil.tensor<[B,S,C], real>, !fil.subset<S per [B,T], "s#1">) -> !fil.tensor<[B,T,C,"s#1"], real>
  %1 = fil.contract %q, %g over ["C"] : (!fil.tensor<[B,T,C], real>, !fil.tensor<[B,T,C,"s#1"], real>) -> !fil.tensor<[B,T,"s#1"], real>
  %2 = fil.contract %g, %a over ["s#1"] : (!fil.tensor<[B,T,C,"s#1"], real>, !fil.tensor<["s#1",K], real>) -> !fil.tensor<[B,T,C,K], real>
  %u = fil.topk %far over "M" {site = "u*"} : (!fil.tensor<[B,T,M], real>) -> !fil.subset<M per [B,T], "s#0">
  %h = fil.gather %m at %u in "M" : (!fil.tensor<[M,C], real>, !fil.subset<M per [B,T], "s#0">) -> !fil.tensor<[B,T,C,"s#0"], real>
  %3 = fil.contract %h, %w over ["C"] : (!fil.tensor<[B,T,C,"s#0"], real>, !fil.tensor<[N,C], real>) -> !fil.tensor<[B,T,N,"s#0"], real>
  fil.return %1, %2, %3 : !fil.tensor<[B,T,"s#1"], real>, !fil.tensor<[B,T,C,K], real>, !fil.tensor<[B,T,N,"s#0"], real>
}
