// RUN: %fil-opt %s --fil-sparsity-limit-members | FileCheck %s
// What was chosen over the capacity is masked, by the order of rows; what reads the subset reads the second choice, under the name of the first.

// CHECK: fil.dims {B, T, E = "8", "e#0" = "2", "e#1" = "2", "e#2" = "2", e = "2"}
fil.dims {B, T, E = "8", "e#0" = "2", "e#1" = "2", "e#2" = "2"}
// The facet stays, for the pass that groups.
// CHECK: fil.site "e*" [#fil.grouped<capacity 1.250000e+00>]
fil.site "e*" [#fil.grouped<capacity 1.25>]
fil.site "none" [#fil.grouped<capacity 0.0>]
fil.site "all" [#fil.grouped<capacity 4.0>]

// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[FIRST:.*]] = fil.topk %arg0 over "E" {site = "e*"} : {{.*}} -> !fil.subset<E per [B,T], e>
// CHECK: %[[P:.*]] = fil.present %[[FIRST]]
// CHECK: %[[ONES:.*]] = fil.map select(%[[P]],
// CHECK: %[[THERE:.*]] = fil.scatter %[[ONES]] at %[[FIRST]] in "E" {{.*}} -> !fil.tensor<[B,T,E], real>
// CHECK: %[[MOST:.*]] = fil.size "ceil(5*B*T/16)"
// CHECK: %[[IN:.*]] = fil.map gt(%[[THERE]],
// CHECK: %[[SCORE:.*]] = fil.map select(%[[IN]],
// CHECK: %[[STAYS:.*]] = fil.highest %[[SCORE]] count %[[MOST]] over ["B", "T"]
// CHECK: fil.topk %arg0 mask %[[STAYS]] over "E" {site = "e*"} : {{.*}} -> !fil.subset<E per [B,T], "e#0">
// Without a capacity, or with one that drops nothing, nothing is added.
// CHECK-NOT: fil.highest
// CHECK: fil.topk %arg0 over "E" {site = "none"}
// CHECK: fil.topk %arg0 over "E" {site = "all"}
fil.func entry "run" @run(%score: !fil.tensor<[B,T,E], real>) -> (!fil.tensor<[B,T,"e#0"], bool>, !fil.tensor<[B,T,"e#1"], bool>, !fil.tensor<[B,T,"e#2"], bool>) {
  %e = fil.topk %score over "E" {site = "e*"} : (!fil.tensor<[B,T,E], real>) -> !fil.subset<E per [B,T], "e#0">
  %f = fil.topk %score over "E" {site = "none"} : (!fil.tensor<[B,T,E], real>) -> !fil.subset<E per [B,T], "e#1">
  %g = fil.topk %score over "E" {site = "all"} : (!fil.tensor<[B,T,E], real>) -> !fil.subset<E per [B,T], "e#2">
  %0 = fil.present %e : (!fil.subset<E per [B,T], "e#0">) -> !fil.tensor<[B,T,"e#0"], bool>
  %1 = fil.present %f : (!fil.subset<E per [B,T], "e#1">) -> !fil.tensor<[B,T,"e#1"], bool>
  %2 = fil.present %g : (!fil.subset<E per [B,T], "e#2">) -> !fil.tensor<[B,T,"e#2"], bool>
  fil.return %0, %1, %2 : !fil.tensor<[B,T,"e#0"], bool>, !fil.tensor<[B,T,"e#1"], bool>, !fil.tensor<[B,T,"e#2"], bool>
}
