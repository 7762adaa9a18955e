// RUN: %fil-opt %s --fil-sparsity-add-patterns | FileCheck %s

// Dims of what is stored stand before those of the map, so that neighbours of its right side stay neighbours.
// CHECK: fil.dims {B, "D/4" = "8", "D/4:2" = "2", "D/16" = "2", "D/16:1" = "1", "D%16" = "16", "F/4" = "16", D = "32", F = "64", L = "4", E = "3", "l#0" = "4"}
fil.dims {B, D = "32", F = "64", L = "4", E = "3", "l#0" = "4"}
// CHECK: fil.site "l[0..4].up" [] consumed [#fil.consumed<#fil.blocks<2 of 4 {{.*}}> by "fil-sparsity-add-patterns">]
fil.site "l[0..4].up" [#fil.blocks<2 of 4 density 0.0 granule 4 1>]
fil.site "e[*].up" [#fil.blocks<0 of 0 density 0.5 granule 16 4>]
fil.site "full" [#fil.blocks<0 of 0 density 1.0 granule 1 1>]
fil.site "tuned" [#fil.blocks<2 of 4 density 0.0 granule 4 1>] consumed [#fil.consumed<#fil.lora<rank 2 alpha 2.0 init gauss variant plain merge masked> by "fil-lora-add-adapters">]
// CHECK: fil.variable param trained map 2 @l.up : !fil.tensor<["D/4","D/4:2",F,"l#0"], real> {{.*}} declared ["D/4", "D/4:2", "F"] loops ["l#0"]
// CHECK: fil.variable state @l.up.pattern : !fil.tensor<["D/4",F,"l#0"], i8> {{.*}} declared ["D/4", "F"] loops ["l#0"]
fil.variable param trained map 1 @l.up : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].up" declared ["D", "F"] loops ["l#0"]
// CHECK: fil.variable param trained map 3 @e.up : !fil.tensor<["D/16:1","D%16",F,E], real> {{.*}} declared ["E", "D/16:1", "D%16", "F"]
// CHECK: fil.variable state @e.up.places : !fil.tensor<["D/16:1","F/4",E], int> {{.*}} declared ["E", "D/16:1", "F/4"]
// CHECK: fil.variable state @e.up.slots : !fil.tensor<["D/16","F/4",E], int> {{.*}} declared ["E", "D/16", "F/4"]
fil.variable param trained map 2 @e.up : !fil.tensor<[D,F,E], real> init <normal, 0.0, 0.1> site "e[*].up" declared ["E", "D", "F"] loops []
// CHECK: fil.variable param trained map 1 @full : !fil.tensor<[D,F], real>
// CHECK-NOT: full.
fil.variable param trained map 1 @full : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "full" declared ["D", "F"] loops []
fil.variable param map 1 @tuned : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "tuned" declared ["D", "F"] loops []

// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[V:.*]] = fil.read @l.up
// CHECK-NEXT: %[[P:.*]] = fil.read @l.up.pattern
// A turn has its own values and pattern; what is summed along F reads the weight at the same places.
// CHECK: fil.layers {{.*}} stacked(%{{.*}} = %[[V]], %{{.*}} = %[[P]])
// CHECK: %[[W:.*]] = fil.expand %{{.*}} by %{{.*}} "D" from ["D/4", "D/4:2"] granules [] {site = "l[0..4].up"} : (!fil.tensor<["D/4","D/4:2",F], real>, !fil.tensor<["D/4",F], i8>) -> !fil.tensor<[D,F], real>
// CHECK-NEXT: fil.contract %{{.*}}, %[[W]]
// CHECK-NEXT: fil.contract %{{.*}}, %[[W]]
// Granules that are not there are left out of products.
// CHECK: %[[E:.*]] = fil.expand %{{.*}} by %[[SLOTS:.*]] places %{{.*}} "D" from ["D/16:1", "D%16"] granules ["D", "D/16", "F", "F/4"]
// CHECK: %[[THERE:.*]] = fil.map ge(%[[SLOTS]],
// CHECK: fil.mask %[[E]] by %[[THERE]] granules ["D", "D/16", "F", "F/4"] kept [1, 2]
// The adapter's part of the sum is taken at the places of the weight.
// CHECK: %[[T:.*]] = fil.read @tuned
// CHECK: %[[THIN:.*]] = fil.compress %{{.*}} by %{{.*}} "D" into ["D/4", "D/4:2"] granules []
// CHECK: %[[SUM:.*]] = fil.map add(%[[T]], %[[THIN]])
// CHECK: %[[WHOLE:.*]] = fil.expand %[[SUM]] by
// CHECK: fil.contract %{{.*}}, %[[WHOLE]]
// What an auxiliary loss trains is what is stored.
// CHECK: fil.aux %{{.*}} trains(%[[T]])
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>, %ab: !fil.tensor<[D,F], real>) -> (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) {
  %w = fil.read @l.up : <[D,F,"l#0"], real>
  %y = fil.layers %turn = l 0 to 4 dim "l#0" carried(%c = %x) stacked(%u = %w) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> () {
    %h = fil.contract %c, %u over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %d = fil.contract %h, %u over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    fil.yield %d : !fil.tensor<[B,D], real>
  }
  %e = fil.read @e.up : <[D,F,E], real>
  %s = fil.reduce sum %e over ["F", "E"] : (!fil.tensor<[D,F,E], real>) -> !fil.tensor<[D], real>
  %z = fil.map add(%y, %s) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
  %t = fil.read @tuned : <[D,F], real>
  %sum = fil.map add(%t, %ab) {site = "tuned.lora_A"} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %v = fil.contract %x, %sum over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %aux = fil.reduce sum %z over ["B", "D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[], real>
  fil.aux %aux trains(%t) : !fil.tensor<[], real>, !fil.tensor<[D,F], real>
  fil.return %z, %v : !fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>
}
