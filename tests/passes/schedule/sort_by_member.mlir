// RUN: %fil-opt %s --fil-schedule-sort-by-member | FileCheck %s
// RUN: %fil-opt %s --fil-schedule-sort-by-member | %fil-opt | FileCheck %s

// CHECK: fil.dims {{.*}}roster = "2*B+10"
fil.dims {B, D = "4", E = "8", F = "6", H = "2", "e#0" = "2", "e#1" = "2", "s#1" = "4"}
// CHECK: fil.site "e*" [] consumed [#fil.consumed<#fil.grouped<capacity 0.000000e+00> by "fil-schedule-sort-by-member">]
fil.site "e*" [#fil.grouped<capacity 0.0>]
fil.site "s*" [] consumed [#fil.consumed<#fil.gather<block 16> by "fil-sparsity-gather-members">]

// CHECK-LABEL: fil.func @forward
// CHECK: %[[R:.*]] = fil.roster %[[E:.*]] : (!fil.subset<E per [B], "e#0">) -> !fil.tensor<[roster], int>
// CHECK: fil.contract %{{.*}}, %{{.*}} through %[[E]] sorted %[[R]] over ["D"]
fil.func @forward(%h: !fil.tensor<[B,D], f32>, %w: !fil.tensor<[D,E,F], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32> {
  %0 = fil.contract %h, %w through %e over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32>
  fil.return %0 : !fil.tensor<[B,F,"e#0"], f32>
}

// Members that are summed are a sum behind it.
// CHECK-LABEL: fil.func @input
// CHECK: %[[Y:.*]] = fil.contract %{{.*}} sorted %{{.*}} over ["F"] : {{.*}} -> !fil.tensor<[B,D,"e#0"], f32>
// CHECK: fil.reduce sum %[[Y]] over ["e#0"] : {{.*}} -> !fil.tensor<[B,D], f32>
fil.func @input(%g: !fil.tensor<[B,F,"e#0"], f32>, %w: !fil.tensor<[D,E,F], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,D], f32> {
  %0 = fil.contract %g, %w through %e over ["F", "e#0"] : (!fil.tensor<[B,F,"e#0"], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,D], f32>
  fil.return %0 : !fil.tensor<[B,D], f32>
}

// One roster for all that choose by the same subset.
// CHECK-LABEL: fil.func @weights
// CHECK: %[[R:.*]] = fil.roster
// CHECK-NOT: fil.roster
// CHECK: fil.contract %{{.*}} sorted %[[R]] over ["B", "e#0"] : {{.*}} -> !fil.tensor<[D,E,F], f32>
// CHECK: fil.contract %{{.*}} sorted %[[R]] over ["B", "e#0"] : {{.*}} -> !fil.tensor<[D,E,F], f32>
fil.func @weights(%g: !fil.tensor<[B,F,"e#0"], f32>, %h: !fil.tensor<[B,D], f32>, %x: !fil.tensor<[B,D,"e#0"], f32>, %e: !fil.subset<E per [B], "e#0">) -> (!fil.tensor<[D,E,F], f32>, !fil.tensor<[D,E,F], f32>) {
  %0 = fil.contract %g, %h through %e over ["B", "e#0"] : (!fil.tensor<[B,F,"e#0"], f32>, !fil.tensor<[B,D], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[D,E,F], f32>
  %1 = fil.contract %g, %x through %e over ["B", "e#0"] : (!fil.tensor<[B,F,"e#0"], f32>, !fil.tensor<[B,D,"e#0"], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[D,E,F], f32>
  fil.return %0, %1 : !fil.tensor<[D,E,F], f32>, !fil.tensor<[D,E,F], f32>
}

// Each point reads a table of its own: nothing to share.
// CHECK-LABEL: fil.func @own
// CHECK-NOT: fil.roster
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{.*}} over ["D"]
fil.func @own(%q: !fil.tensor<[B,D,F], f32>, %k: !fil.tensor<[B,D,E], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32> {
  %0 = fil.contract %q, %k through %e over ["D"] : (!fil.tensor<[B,D,F], f32>, !fil.tensor<[B,D,E], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32>
  fil.return %0 : !fil.tensor<[B,F,"e#0"], f32>
}

// Too small for register tiles.
// CHECK-LABEL: fil.func @narrow
// CHECK-NOT: fil.roster
fil.func @narrow(%h: !fil.tensor<[B,D], f32>, %w: !fil.tensor<[D,E,H], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,H,"e#0"], f32> {
  %0 = fil.contract %h, %w through %e over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,H], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,H,"e#0"], f32>
  fil.return %0 : !fil.tensor<[B,H,"e#0"], f32>
}

// Grouped by the plan: tiles are as small as they are. The products of an adapter are sorted by the same list.
// CHECK-LABEL: fil.func @grouped
// CHECK: %[[R:.*]] = fil.roster
// CHECK-NOT: fil.roster
// CHECK: fil.contract %arg0, %arg1 through %{{.*}} sorted %[[R]] over ["D"]
// CHECK: fil.contract %arg0, %arg2 through %{{.*}} sorted %[[R]] over ["D"]
// CHECK: fil.contract %{{.*}}, %arg3 through %{{.*}} sorted %[[R]] over ["H"]
fil.func @grouped(%h: !fil.tensor<[B,D], f32>, %w: !fil.tensor<[D,E,F], f32>, %a: !fil.tensor<[D,E,H], f32>, %b: !fil.tensor<[E,F,H], f32>, %score: !fil.tensor<[B,E], f32>) -> !fil.tensor<[B,F,"e#1"], f32> {
  %e = fil.topk %score over "E" {site = "e*"} : (!fil.tensor<[B,E], f32>) -> !fil.subset<E per [B], "e#1">
  %0 = fil.contract %h, %w through %e over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], f32>
  %1 = fil.contract %h, %a through %e over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,H], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,H,"e#1"], f32>
  %2 = fil.contract %1, %b through %e over ["H"] : (!fil.tensor<[B,H,"e#1"], f32>, !fil.tensor<[E,F,H], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], f32>
  %3 = fil.map add(%0, %2) : (!fil.tensor<[B,F,"e#1"], f32>, !fil.tensor<[B,F,"e#1"], f32>) -> !fil.tensor<[B,F,"e#1"], f32>
  fil.return %3 : !fil.tensor<[B,F,"e#1"], f32>
}

// Gathered by the plan: marked, however they could be sorted.
// CHECK-LABEL: fil.func @gathered
// CHECK-NOT: fil.roster
// CHECK: fil.contract %arg0, %arg1 through %{{.*}} over ["D"] {fil.gather = 16 : i64}
fil.func @gathered(%h: !fil.tensor<[B,D], f32>, %w: !fil.tensor<[D,E,F], f32>, %score: !fil.tensor<[B,E], f32>) -> !fil.tensor<[B,F,"s#1"], f32> {
  %s = fil.topk %score over "E" {site = "s*"} : (!fil.tensor<[B,E], f32>) -> !fil.subset<E per [B], "s#1">
  %0 = fil.contract %h, %w through %s over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "s#1">) -> !fil.tensor<[B,F,"s#1"], f32>
  fil.return %0 : !fil.tensor<[B,F,"s#1"], f32>
}

// `decode`: weights that stay as they are, or are made of such, are packed once, and their points are sorted; what is made in a call stays as it is.
// CHECK-LABEL: fil.func entry "decode" @decode
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{.*}} sorted %{{.*}} over ["D"] {site = "read"}
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{.*}} sorted %{{.*}} over ["D"] {site = "merged"}
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{[a-z0-9]+}} over ["D"] {site = "input"}
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{[a-z0-9]+}} over ["D"] {site = "changing"}
fil.variable param @w : !fil.tensor<[D,E,F], f32> init <constant, 0.0, 0.0> site "w" declared ["D", "E", "F"] loops []
fil.variable state @u : !fil.tensor<[D,E,F], f32> init <constant, 0.0, 0.0> site "u" declared ["D", "E", "F"] loops []
fil.func entry "decode" @decode(%h: !fil.tensor<[B,D], f32> {fil.name = "h"}, %x: !fil.tensor<[D,E,F], f32> {fil.name = "x"}, %score: !fil.tensor<[B,E], f32> {fil.name = "s"}) -> (!fil.tensor<[B,F,"e#1"], f32> {fil.name = "y"}) {
  %w = fil.read @w {site = "w"} : <[D,E,F], f32>
  %u = fil.read @u {site = "u"} : <[D,E,F], f32>
  %two = fil.constant 2.0 : <[], f32>
  %m = fil.map mul(%w, %two) : (!fil.tensor<[D,E,F], f32>, !fil.tensor<[], f32>) -> !fil.tensor<[D,E,F], f32>
  %e = fil.topk %score over "E" {site = "d*"} : (!fil.tensor<[B,E], f32>) -> !fil.subset<E per [B], "e#1">
  %0 = fil.contract %h, %w through %e over ["D"] {site = "read"} : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], f32>
  %1 = fil.contract %h, %m through %e over ["D"] {site = "merged"} : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], f32>
  %2 = fil.contract %h, %x through %e over ["D"] {site = "input"} : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], f32>
  %3 = fil.contract %h, %u through %e over ["D"] {site = "changing"} : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], f32>
  %4 = fil.map add(%0, %1) : (!fil.tensor<[B,F,"e#1"], f32>, !fil.tensor<[B,F,"e#1"], f32>) -> !fil.tensor<[B,F,"e#1"], f32>
  %5 = fil.map add(%2, %3) : (!fil.tensor<[B,F,"e#1"], f32>, !fil.tensor<[B,F,"e#1"], f32>) -> !fil.tensor<[B,F,"e#1"], f32>
  %6 = fil.map add(%4, %5) : (!fil.tensor<[B,F,"e#1"], f32>, !fil.tensor<[B,F,"e#1"], f32>) -> !fil.tensor<[B,F,"e#1"], f32>
  fil.write @u, %x : !fil.tensor<[D,E,F], f32>
  fil.return %6 : !fil.tensor<[B,F,"e#1"], f32>
}
