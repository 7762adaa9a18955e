// RUN: %fil-opt %s --fil-sparsity-add-masks | FileCheck %s

// CHECK: fil.dims {B, T, D = "32", F = "64", L = "4", E = "3", "l#0" = "4", "D/16" = "2", "F/4" = "16"
fil.dims {B, T, D = "32", F = "64", L = "4", E = "3", "l#0" = "4"}
// CHECK: fil.site "l[0..4].up" [] consumed [#fil.consumed<#fil.topology<rigl {{.*}}granule 16 4> by "fil-sparsity-add-masks">]
fil.site "l[0..4].up" [#fil.topology<rigl density 2.500000e-01 every 100 alpha 3.000000e-01 until 7.500000e-01 granule 16 4>]
fil.site "e[*].down" [#fil.topology<prune density 5.000000e-01 every 10 alpha 3.000000e-01 until 7.500000e-01 granule 0 1>]
fil.site "full" [#fil.topology<set density 1.000000e+00 every 10 alpha 3.000000e-01 until 7.500000e-01 granule 1 1>]
fil.site "tuned" [#fil.topology<set density 5.000000e-01 every 10 alpha 3.000000e-01 until 7.500000e-01 granule 1 1>] consumed [#fil.consumed<#fil.lora<rank 2 alpha 2.000000e+00 init gauss variant plain merge masked> by "fil-lora-add-adapters">]
// A mask is stacked as its weight is, one for each family.
// CHECK: fil.variable param trained map 1 @l.up {{.*}} masked by @"l[0..4].up.mask"
// CHECK: fil.variable state @"l[0..4].up.mask" : !fil.tensor<["l#0","D/16","F/4"], bool> {{.*}} declared ["D/16", "F/4"] loops ["l#0"] topology <rigl
fil.variable param trained map 1 @l.up : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].up" declared ["D", "F"] loops ["l#0"]
// CHECK: fil.variable state @"e[*].down.mask" : !fil.tensor<[D,E], bool> {{.*}} declared ["E", "D"]
fil.variable param trained map 2 @e.down : !fil.tensor<[D,F,E], real> init <normal, 0.0, 0.1> site "e[*].down" declared ["E", "F", "D"] loops []
// CHECK-NOT: full.mask
fil.variable param trained map 1 @full : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "full" declared ["D", "F"] loops []
fil.variable param map 1 @tuned : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "tuned" declared ["D", "F"] loops []

// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[W:.*]] = fil.read @l.up
// CHECK-NEXT: %[[M:.*]] = fil.read @"l[0..4].up.mask"
// CHECK: fil.layers
// CHECK: fil.mask %{{.*}} by %{{.*}} granules ["D", "D/16", "F", "F/4"] kept [8, 32]
// CHECK-NEXT: fil.contract
// The whole of a column comes and goes; how much stays changes.
// CHECK: fil.mask %{{.*}} by %{{.*}} granules [] {site = "e[*].down"} : (!fil.tensor<[D,F,E], real>, !fil.tensor<[D,E], bool>)
// The mask is on the sum of weight and adapter.
// CHECK: %[[T:.*]] = fil.read @tuned
// CHECK: %[[SUM:.*]] = fil.map add(%[[T]],
// CHECK: %[[MASKED:.*]] = fil.mask %[[SUM]] by %{{.*}} granules [] kept [1024, 2048]
// CHECK: fil.contract %{{.*}}, %[[MASKED]]
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>, %ab: !fil.tensor<[D,F], real>) -> (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) {
  %w = fil.read @l.up : <[D,F,"l#0"], real>
  %y = fil.layers %turn = l 0 to 4 dim "l#0" carried(%c = %x) stacked(%u = %w) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> () {
    %h = fil.contract %c, %u over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %d = fil.contract %h, %u over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    fil.yield %d : !fil.tensor<[B,D], real>
  }
  %e = fil.read @e.down : <[D,F,E], real>
  %s = fil.reduce sum %e over ["F", "E"] : (!fil.tensor<[D,F,E], real>) -> !fil.tensor<[D], real>
  %z = fil.map add(%y, %s) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
  %t = fil.read @tuned : <[D,F], real>
  %sum = fil.map add(%t, %ab) {site = "tuned.lora_A"} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %v = fil.contract %x, %sum over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return %z, %v : !fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>
}
