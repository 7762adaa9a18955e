// RUN: %fil-opt %s --fil-sparsity-add-gates | FileCheck %s
// RUN: %fil-opt %s --fil-sparsity-add-gates --mlir-print-op-generic > /dev/null

// CHECK: fil.dims {B, D = "32", F = "64", L = "4", "l#0" = "4", rank2 = "2", rank4 = "4", "F%16" = "16", "F/16" = "4"
fil.dims {B, D = "32", F = "64", L = "4", "l#0" = "4", rank2 = "2"}
// CHECK: fil.site "l[0..4].gate" [] consumed [#fil.consumed<#fil.gate<keep 5.000000e-01 rank 4 granule 16 hysteresis 0.000000e+00> by "fil-sparsity-add-gates">]
fil.site "l[0..4].gate" [#fil.gate<keep 0.5 rank 4 granule 16 hysteresis 0.0>] loc("m.fil":3:1)
fil.site "l[0..4].up" [#fil.gate<keep 0.5 rank 4 granule 16 hysteresis 0.0>] loc("m.fil":3:1)
// It makes no neurons of its own; one line names all three.
fil.site "l[0..4].down" [#fil.gate<keep 0.5 rank 4 granule 16 hysteresis 0.0>] loc("m.fil":3:1)
fil.variable param trained map 1 @gate : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].gate" declared ["D", "F"] loops ["l#0"] optimizer @"optim#map"
// CHECK: fil.variable param trained map 1 @"l[0..4].gate.gate_A" : !fil.tensor<[D,"l#0",rank4], real> {{.*}} declared ["D", "rank4"] loops ["l#0"] optimizer @"optim#map"
// CHECK: fil.variable param trained map 1 @"l[0..4].gate.gate_B" : !fil.tensor<[F,"l#0",rank4], real> {{.*}} declared ["rank4", "F"]
fil.variable param trained map 1 @up : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].up" declared ["D", "F"] loops ["l#0"]
// A map that is not trained has a predictor that is not.
fil.variable param map 1 @down : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].down" declared ["F", "D"] loops ["l#0"]
// CHECK-NOT: down.gate

// The factors go where the map goes; the choice is made by h with predictors in the place of products; in training 0 is added, with the gradient of the scores.
// CHECK-LABEL: fil.func entry "train" @train
// CHECK: fil.read @"l[0..4].gate.gate_A"
// CHECK: fil.layers
// CHECK: %[[H:.*]] = fil.map mul(%{{.*}}, %{{.*}}) {site = "h"}
// CHECK-NEXT: %[[XA:.*]] = fil.contract %{{.*}}, %{{.*}} over ["D"] {site = "l[0..4].gate.gate_A"} : {{.*}} -> !fil.tensor<[B,rank4], real>
// CHECK-NEXT: %[[G:.*]] = fil.contract %[[XA]], %{{.*}} over ["rank4"]
// CHECK-NEXT: fil.contract
// CHECK-NEXT: %[[U:.*]] = fil.contract
// CHECK-NEXT: %[[T:.*]] = fil.map tanh(%[[G]])
// CHECK-NEXT: %[[P:.*]] = fil.map mul(%[[T]], %[[U]])
// CHECK-NEXT: %[[ABS:.*]] = fil.map abs(%[[P]])
// CHECK-NEXT: %[[WIN:.*]] = fil.window %[[ABS]] [#fil.window_dim<"F" by "F%16" to "F/16" stride 16 before 0>]
// CHECK-NEXT: %[[S:.*]] = fil.reduce sum %[[WIN]] over ["F%16"]
// CHECK: %[[C:.*]] = fil.highest %[[S]] count %{{.*}} over ["F/16"]
// CHECK: %[[M:.*]] = fil.mask %[[H]] by %[[C]] granules ["F", "F/16"] kept [2, 4] chosen
// CHECK-NEXT: %[[FIX:.*]] = fil.stopgrad %[[H]]
// CHECK: %[[SF:.*]] = fil.stopgrad %[[S]]
// CHECK: %[[ZERO:.*]] = fil.map sub(%[[S]], %[[SF]])
// CHECK: fil.unwindow
// CHECK: %[[NONE:.*]] = fil.map mul(%[[FIX]],
// CHECK-NEXT: %[[HS:.*]] = fil.map add(%[[M]], %[[NONE]])
// CHECK: fil.contract %[[HS]], %{{.*}} over ["F"]
fil.func entry "train" @train(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) {
  %wg = fil.read @gate : <[D,F,"l#0"], real>
  %wu = fil.read @up : <[D,F,"l#0"], real>
  %wd = fil.read @down : <[D,F,"l#0"], real>
  %y = fil.layers %turn = l 0 to 4 dim "l#0" carried(%c = %x) stacked(%g = %wg, %u = %wu, %d = %wd) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>, !fil.tensor<[D,F,"l#0"], real>, !fil.tensor<[D,F,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> () {
    %1 = fil.contract %c, %g over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %2 = fil.contract %c, %u over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %3 = fil.map tanh(%1) : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %h = fil.map mul(%3, %2) {site = "h"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %o = fil.contract %h, %d over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    fil.yield %o : !fil.tensor<[B,D], real>
  }
  fil.return %y : !fil.tensor<[B,D], real>
}
// In `run` products are masked behind the choice, and what reads h knows that it is 0 outside.
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[C2:.*]] = fil.highest
// CHECK: %[[U1:.*]] = fil.contract %{{.*}} over ["D"]
// CHECK-NEXT: fil.mask %[[U1]] by %[[C2]] granules ["F", "F/16"] kept [2, 4] chosen {{.*}}
// CHECK: %[[H0:.*]] = fil.map mul
// CHECK-NEXT: %[[H1:.*]] = fil.mask %[[H0]] by %[[C2]]
// CHECK-NEXT: %[[Z:.*]] = fil.mask %[[H1]] by %[[C2]] granules ["F", "F/16"] kept [2, 4] chosen zeros
// CHECK: fil.contract %[[Z]], %{{.*}} over ["F"]
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) {
  %wg = fil.read @gate : <[D,F,"l#0"], real>
  %wu = fil.read @up : <[D,F,"l#0"], real>
  %wd = fil.read @down : <[D,F,"l#0"], real>
  %y = fil.layers %turn = l 0 to 4 dim "l#0" carried(%c = %x) stacked(%g = %wg, %u = %wu, %d = %wd) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>, !fil.tensor<[D,F,"l#0"], real>, !fil.tensor<[D,F,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> () {
    %1 = fil.contract %c, %g over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %2 = fil.contract %c, %u over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %3 = fil.map tanh(%1) : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %h = fil.map mul(%3, %2) : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %o = fil.contract %h, %d over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    fil.yield %o : !fil.tensor<[B,D], real>
  }
  fil.return %y : !fil.tensor<[B,D], real>
}
// An adapter's product is whole, and is part of what is expected; the frozen map's predictor stands in for the map alone.
// CHECK: fil.variable param map 1 @tuned.gate_A
// CHECK-LABEL: fil.func entry "eval" @eval
// CHECK: %[[AB:.*]] = fil.contract %{{.*}}, %{{.*}} over ["rank2"]
// CHECK: %[[WAB:.*]] = fil.map add(
// CHECK: %[[PW:.*]] = fil.contract %{{.*}} over ["rank4"] {site = "tuned.gate_B"}
// CHECK: %[[PS:.*]] = fil.map add(%[[PW]], %[[AB]])
// CHECK: fil.map abs(%[[PS]])
// CHECK: %[[C3:.*]] = fil.highest
// CHECK: %[[S3:.*]] = fil.mask %[[WAB]] by %[[C3]]
// CHECK: fil.contract %[[S3]], %{{.*}} over ["F"]
fil.site "tuned" [#fil.gate<keep 0.25 rank 4 granule 16 hysteresis 0.0>]
fil.variable param map 1 @tuned : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "tuned" declared ["D", "F"] loops []
fil.variable param trained adapter 1.0 map 1 @tuned.lora_B : !fil.tensor<[F,rank2], real> init <constant, 0.0, 0.0> site "tuned.lora_B" declared ["rank2", "F"] loops []
fil.variable param map 1 @last : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "last" declared ["F", "D"] loops []
fil.func entry "eval" @eval(%x: !fil.tensor<[B,D], real>, %xa: !fil.tensor<[B,rank2], real>) -> (!fil.tensor<[B,D], real>) {
  %w = fil.read @tuned : <[D,F], real>
  %b = fil.read @tuned.lora_B : <[F,rank2], real>
  %l = fil.read @last : <[D,F], real>
  %1 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %2 = fil.contract %xa, %b over ["rank2"] : (!fil.tensor<[B,rank2], real>, !fil.tensor<[F,rank2], real>) -> !fil.tensor<[B,F], real>
  %3 = fil.map add(%1, %2) : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.contract %3, %l over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
  fil.return %4 : !fil.tensor<[B,D], real>
}
