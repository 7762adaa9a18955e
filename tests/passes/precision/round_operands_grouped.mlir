// RUN: %fil-opt %s --fil-precision-round-operands --cse | FileCheck %s
// One scale for all of a weight is, of one that is grouped by member, a scale for each member: of `w`, not of `v`, which another choice reads.
// CHECK-LABEL: fil.func entry "run"
// CHECK-DAG: %[[W:.*]] = fil.read @w
// CHECK-DAG: %[[V:.*]] = fil.read @v
// CHECK-DAG: fil.quantize %[[W]] scale %{{.*}} tiles [] [] {{.*}}!fil.tensor<[E], real>) -> !fil.tensor<[D,E,F], f8E4M3FN>
// CHECK-DAG: fil.quantize %[[V]] scale %{{.*}} tiles [] [] {{.*}}!fil.tensor<[], real>) -> !fil.tensor<[D,E,F], f8E4M3FN>
fil.dims {B, D = "8", E = "4", F = "8", "e#0" = "2", "e#1" = "2"}
fil.site "w" [#fil.format<e4m3 dgrad bf16 wgrad f32 out f32 activations [1, 0] weights [0, 0]>]
fil.site "v" [#fil.format<e4m3 dgrad bf16 wgrad f32 out f32 activations [1, 0] weights [0, 0]>]
fil.site "e*" [#fil.grouped<capacity 0.0>]
fil.variable param trained map 2 @w : !fil.tensor<[D,E,F], real> init <normal, 0.0, 1.0> site "w" declared ["E", "D", "F"] loops []
fil.variable param trained map 2 @v : !fil.tensor<[D,E,F], real> init <normal, 0.0, 1.0> site "v" declared ["E", "D", "F"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}, %score: !fil.tensor<[B,E], real> {fil.name = "s"}) -> (!fil.tensor<[B,F,"e#0"], real> {fil.name = "y"}, !fil.tensor<[B,F,"e#1"], real> {fil.name = "z"}) {
  %w = fil.read @w {site = "w"} : <[D,E,F], real>
  %v = fil.read @v {site = "v"} : <[D,E,F], real>
  %e = fil.topk %score over "E" {site = "e*"} : (!fil.tensor<[B,E], real>) -> !fil.subset<E per [B], "e#0">
  %f = fil.topk %score over "E" {site = "f*"} : (!fil.tensor<[B,E], real>) -> !fil.subset<E per [B], "e#1">
  %y = fil.contract %x, %w through %e over ["D"] {site = "w"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,E,F], real>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], real>
  %z = fil.contract %x, %v through %f over ["D"] {site = "v"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,E,F], real>, !fil.subset<E per [B], "e#1">) -> !fil.tensor<[B,F,"e#1"], real>
  fil.return %y, %z : !fil.tensor<[B,F,"e#0"], real>, !fil.tensor<[B,F,"e#1"], real>
}
