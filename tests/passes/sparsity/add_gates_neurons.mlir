// RUN: %fil-opt %s "--fil-sparsity-add-gates=neurons" | FileCheck %s

fil.dims {B, D = "32", F = "64", G = "64", "F/16" = "4", "F%16" = "16", "G/16" = "4", "G%16" = "16", rank2 = "2"}
fil.site "gate" [#fil.gate<keep 0.5 rank 2 granule 16 hysteresis 0.0>] loc("m.fil":3:1)
fil.site "other" [#fil.gate<keep 0.5 rank 2 granule 16 hysteresis 0.0>] loc("m.fil":4:1)
// All that the neurons are made of and read by says which of its dims they are; a bias too, and the far part of a predictor.
// CHECK: fil.variable param trained map 1 @gate {{.*}} {fil.granule = 16 : i64, fil.neurons = ["gate#neurons", "F", "F"]}
fil.variable param trained map 1 @gate : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "gate" declared ["D", "F"] loops []
// CHECK: @gate.gate_A
// CHECK-NOT: fil.neurons
// CHECK: @gate.gate_B {{.*}}fil.neurons = ["gate#neurons", "F", "F"]
// CHECK: @bias {{.*}}fil.neurons = ["gate#neurons", "F", "F"]
fil.variable param trained @bias : !fil.tensor<[F], real> init <constant, 0.0, 0.0> site "bias" declared ["F"] loops []
// CHECK: @down {{.*}}fil.neurons = ["gate#neurons", "F", "F"]
fil.variable param trained map 1 @down : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "down" declared ["F", "D"] loops []
// What somebody else reads keeps its neurons where they are.
// CHECK-NOT: fil.neurons
fil.variable param trained map 1 @other : !fil.tensor<[D,G], real> init <normal, 0.0, 0.1> site "other" declared ["D", "G"] loops []
fil.variable param trained @tied : !fil.tensor<[G], real> init <constant, 0.0, 0.0> site "tied" declared ["G"] loops []
fil.variable param trained map 1 @back : !fil.tensor<[D,G], real> init <normal, 0.0, 0.1> site "back" declared ["G", "D"] loops []

// CHECK-LABEL: fil.func entry "neurons" @neurons
// CHECK-SAME: -> (!fil.tensor<[B,F], real> {fil.name = "gate#neurons"}) {
// CHECK: fil.map abs
// CHECK-NOT: fil.mask
// CHECK: fil.return
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: fil.mask
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,D], real> {fil.name = "y"}, !fil.tensor<[G], real> {fil.name = "z"}) {
  %gate = fil.read @gate : !fil.tensor<[D,F], real>
  %bias = fil.read @bias : !fil.tensor<[F], real>
  %down = fil.read @down : !fil.tensor<[D,F], real>
  %other = fil.read @other : !fil.tensor<[D,G], real>
  %tied = fil.read @tied : !fil.tensor<[G], real>
  %back = fil.read @back : !fil.tensor<[D,G], real>
  %0 = fil.contract %x, %gate over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %1 = fil.map add(%0, %bias) : (!fil.tensor<[B,F], real>, !fil.tensor<[F], real>) -> !fil.tensor<[B,F], real>
  %2 = fil.contract %1, %down over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
  %3 = fil.contract %2, %other over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,G], real>) -> !fil.tensor<[B,G], real>
  %4 = fil.map add(%3, %tied) : (!fil.tensor<[B,G], real>, !fil.tensor<[G], real>) -> !fil.tensor<[B,G], real>
  %5 = fil.contract %4, %back over ["G"] : (!fil.tensor<[B,G], real>, !fil.tensor<[D,G], real>) -> !fil.tensor<[B,D], real>
  %6 = fil.map tanh(%tied) : (!fil.tensor<[G], real>) -> !fil.tensor<[G], real>
  fil.return %5, %6 : !fil.tensor<[B,D], real>, !fil.tensor<[G], real>
}
