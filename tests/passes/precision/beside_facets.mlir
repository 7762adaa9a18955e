// RUN: %fil-opt %s --fil-lora-add-adapters --fil-sparsity-add-masks --fil-sparsity-add-patterns --fil-precision-round-operands --cse | FileCheck %s
// Scales are taken of what is there: of the masked weight, of a pattern's values in their places. An adapter beside a base of 8 bits is multiplied in the program's own format.
// CHECK-LABEL: fil.func entry "run"
// CHECK: %[[X:.*]] = fil.dequantize {{.*}} -> !fil.tensor<[B,D], real>
// CHECK: %[[W:.*]] = fil.read @w {
// CHECK: %[[MASKED:.*]] = fil.mask %[[W]] by
// CHECK-NEXT: %[[SIZE:.*]] = fil.map abs(%[[MASKED]])
// CHECK-NEXT: fil.reduce max %[[SIZE]]
// CHECK: fil.quantize %[[MASKED]] scale
// CHECK: %[[P:.*]] = fil.read @p {
// CHECK: %[[WHOLE:.*]] = fil.expand %[[P]] by
// CHECK-NEXT: %[[SIZES:.*]] = fil.map abs(%[[WHOLE]])
// CHECK-NEXT: fil.reduce max %[[SIZES]]
// CHECK: fil.quantize %[[WHOLE]] scale
// CHECK: %[[NARROW:.*]] = fil.dequantize {{.*}}site = "a"}
// CHECK: %[[A:.*]] = fil.read @a.lora_A
// CHECK-NEXT: %[[B:.*]] = fil.read @a.lora_B
// CHECK: %[[BASE:.*]] = fil.contract %[[X]], %[[NARROW]] over ["D"]
// CHECK-NEXT: fil.contract %arg0, %[[A]] over ["D"]
// CHECK: %[[LOW:.*]] = fil.contract %{{.*}}, %[[B]] over ["rank2"]
// CHECK-NEXT: fil.map add(%[[BASE]], %[[LOW]])
fil.dims {B, D = "8", F = "4"}
fil.site "w" [#fil.topology<rigl density 0.5 every 100 alpha 0.3 until 0.75 granule 1 1>, #fil.format<e4m3 dgrad bf16 wgrad f32 out f32 activations [1, 0] weights [0, 0]>]
fil.site "p" [#fil.blocks<2 of 4 density 0.0 granule 4 1>, #fil.format<e4m3 dgrad bf16 wgrad f32 out f32 activations [1, 0] weights [0, 0]>]
fil.site "a" [#fil.lora<rank 2 alpha 4.0 init gauss variant plain merge never>, #fil.format<e4m3 dgrad bf16 wgrad f32 out f32 activations [1, 0] weights [0, 0]>]
fil.variable param trained map 1 @a : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "a" declared ["D", "F"] loops []
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "w" declared ["D", "F"] loops []
fil.variable param trained map 1 @p : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "p" declared ["D", "F"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,F], real> {fil.name = "y"}, !fil.tensor<[B,F], real> {fil.name = "z"}, !fil.tensor<[B,F], real> {fil.name = "u"}) {
  %w = fil.read @w {site = "w"} : <[D,F], real>
  %p = fil.read @p {site = "p"} : <[D,F], real>
  %a = fil.read @a {site = "a"} : <[D,F], real>
  %0 = fil.contract %x, %w over ["D"] {site = "w"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %1 = fil.contract %x, %p over ["D"] {site = "p"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %2 = fil.contract %x, %a over ["D"] {site = "a"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return %0, %1, %2 : !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>
}
