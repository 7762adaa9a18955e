// RUN: %fil-opt %s --fil-lora-add-adapters | FileCheck %s
// A weight that will be masked is not merged by `auto`: the sum would be dense. `masked` is one weight everywhere, whose sum gets the mask.

fil.dims {B, D = "6", F = "4"}
fil.site "w" [#fil.topology<rigl density 0.5 every 100 alpha 0.3 until 0.75 granule 1 1>, #fil.lora<rank 2 alpha 4.0 init gauss variant plain merge auto>]
fil.site "v" [#fil.topology<rigl density 0.5 every 100 alpha 0.3 until 0.75 granule 1 1>, #fil.lora<rank 2 alpha 4.0 init gauss variant plain merge masked>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "w" declared ["D", "F"] loops []
fil.variable param trained map 1 @v : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "v" declared ["D", "F"] loops []

// CHECK-LABEL: fil.func entry "run"
// CHECK-SAME: %[[X:[a-z0-9]+]]: !fil.tensor<[B,D], real>
// CHECK-DAG: %[[W:.*]] = fil.read @w {site = "w"}
// CHECK-DAG: %[[A:.*]] = fil.read @w.lora_A
// CHECK-DAG: %[[V:.*]] = fil.read @v {site = "v"}
// CHECK: %[[SUM:.*]] = fil.map add(%[[V]],
// CHECK: fil.contract %[[X]], %[[W]] over ["D"]
// CHECK: fil.contract %[[X]], %[[A]] over ["D"]
// CHECK: fil.contract %[[X]], %[[SUM]] over ["D"]
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) {
  %w = fil.read @w {site = "w"} : <[D,F], real>
  %v = fil.read @v {site = "v"} : <[D,F], real>
  %0 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %1 = fil.contract %x, %v over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return %0, %1 : !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>
}
