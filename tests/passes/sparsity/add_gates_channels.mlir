// RUN: %fil-opt %s --fil-sparsity-add-gates | FileCheck %s

// Channels, chosen in each sample: one score for all positions, of the mean magnitudes of what is read below its windows, raised by what is remembered. Who reads
// windows reads them of the masked channels, and is told what is 0.
// CHECK: fil.variable param trained map 1 @w.gate_S : !fil.tensor<[C,F], real> {{.*}} {fil.predictor}
// CHECK: fil.variable state @w.gate_held : !fil.tensor<["F/16"], real> init <constant, 0.000000e+00, 0.000000e+00>
// CHECK-LABEL: fil.func entry "train" @train
// CHECK: %[[SUM:.*]] = fil.reduce sum %{{.*}} over ["Y"] {site = "w.gate_S"} : (!fil.tensor<[B,Y,C], real>) -> !fil.tensor<[B,C], real>
// CHECK: %[[MEAN:.*]] = fil.map div(%[[SUM]],
// CHECK: fil.contract %[[MEAN]], %{{.*}} over ["C"] {site = "w.gate_S"} : (!fil.tensor<[B,C], real>, !fil.tensor<[C,F], real>) -> !fil.tensor<[B,F], real>
// CHECK: %[[C4:.*]] = fil.highest %{{.*}} -> !fil.tensor<[B,"F/16"], bool>
// CHECK: fil.map select(%[[C4]],
// CHECK: %[[REMEMBERED:.*]] = fil.map add(
// CHECK: %[[M4:.*]] = fil.mask %{{.*}} by %[[C4]] granules ["F", "F/16"] kept [2, 4] chosen
// CHECK: %[[H4:.*]] = fil.map add(%[[M4]],
// CHECK: %[[V4:.*]] = fil.window %[[H4]]
// CHECK: fil.contract %[[V4]], %{{.*}} over ["F", "k"]
// CHECK: fil.write @w.gate_held, %[[REMEMBERED]]
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[P5:.*]] = fil.mask %{{.*}} by %[[C5:.*]] granules ["F", "F/16"] kept [2, 4] chosen
// CHECK: %[[M5:.*]] = fil.map max(%[[P5]],
// CHECK: %[[H5:.*]] = fil.mask %[[M5]] by %[[C5]] granules ["F", "F/16"] kept [2, 4] chosen {
// CHECK: %[[V5:.*]] = fil.window %[[H5]]
// CHECK: %[[Z5:.*]] = fil.mask %[[V5]] by %[[C5]] granules ["F", "F/16"] kept [2, 4] chosen zeros
// CHECK: fil.contract %[[Z5]], %{{.*}} over ["F", "k"]
// CHECK-NOT: fil.write
fil.dims {B, Y, C = "32", F = "64", k = "3"}
fil.site "w" [#fil.gate<keep 0.5 rank 0 granule 16 hysteresis 0.1 samples "B">]
fil.variable param trained map 2 @w : !fil.tensor<[C,F,k], real> init <normal, 0.0, 0.1> site "w" declared ["C", "k", "F"] loops []
fil.variable param trained map 2 @v : !fil.tensor<[C,F,k], real> init <normal, 0.0, 0.1> site "v" declared ["F", "k", "C"] loops []
fil.func entry "train" @train(%x: !fil.tensor<[B,Y,C], real>) -> (!fil.tensor<[B,Y,C], real>) {
  %w = fil.read @w : <[C,F,k], real>
  %v = fil.read @v : <[C,F,k], real>
  %0 = fil.window %x [#fil.window_dim<"Y" by "k" to "Y" stride 1 before 1>] : (!fil.tensor<[B,Y,C], real>) -> !fil.tensor<[B,Y,C,k], real>
  %1 = fil.contract %0, %w over ["C", "k"] : (!fil.tensor<[B,Y,C,k], real>, !fil.tensor<[C,F,k], real>) -> !fil.tensor<[B,Y,F], real>
  %z = fil.constant 0.0 : <[], real>
  %2 = fil.map max(%1, %z) : (!fil.tensor<[B,Y,F], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,Y,F], real>
  %3 = fil.window %2 [#fil.window_dim<"Y" by "k" to "Y" stride 1 before 1>] : (!fil.tensor<[B,Y,F], real>) -> !fil.tensor<[B,Y,F,k], real>
  %4 = fil.contract %3, %v over ["F", "k"] : (!fil.tensor<[B,Y,F,k], real>, !fil.tensor<[C,F,k], real>) -> !fil.tensor<[B,Y,C], real>
  fil.return %4 : !fil.tensor<[B,Y,C], real>
}
fil.func entry "run" @run(%x: !fil.tensor<[B,Y,C], real>) -> (!fil.tensor<[B,Y,C], real>) {
  %w = fil.read @w : <[C,F,k], real>
  %v = fil.read @v : <[C,F,k], real>
  %0 = fil.window %x [#fil.window_dim<"Y" by "k" to "Y" stride 1 before 1>] : (!fil.tensor<[B,Y,C], real>) -> !fil.tensor<[B,Y,C,k], real>
  %1 = fil.contract %0, %w over ["C", "k"] : (!fil.tensor<[B,Y,C,k], real>, !fil.tensor<[C,F,k], real>) -> !fil.tensor<[B,Y,F], real>
  %z = fil.constant 0.0 : <[], real>
  %2 = fil.map max(%1, %z) : (!fil.tensor<[B,Y,F], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,Y,F], real>
  %3 = fil.window %2 [#fil.window_dim<"Y" by "k" to "Y" stride 1 before 1>] : (!fil.tensor<[B,Y,F], real>) -> !fil.tensor<[B,Y,F,k], real>
  %4 = fil.contract %3, %v over ["F", "k"] : (!fil.tensor<[B,Y,F,k], real>, !fil.tensor<[C,F,k], real>) -> !fil.tensor<[B,Y,C], real>
  fil.return %4 : !fil.tensor<[B,Y,C], real>
}
