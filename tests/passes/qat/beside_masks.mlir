// RUN: %fil-opt %s --fil-sparsity-add-masks --fil-sparsity-add-patterns --fil-qat-fake-quantize --cse | FileCheck %s
// Fake quantisation is of what is there: of a masked weight before its mask (0 stays 0), of a pattern's values before they are put into their places.
// CHECK-LABEL: fil.func entry "run"
// CHECK: %[[W:.*]] = fil.read @w {
// CHECK: %[[DUE:.*]] = fil.map round(%{{.*}}) {site = "w"} : (!fil.tensor<[D,F], real>)
// CHECK-NEXT: %[[ROUNDED:.*]] = fil.map select(%{{.*}}, %[[DUE]], %[[W]])
// CHECK: %[[MASK:.*]] = fil.read @w.mask
// CHECK-NEXT: %[[MASKED:.*]] = fil.mask %[[ROUNDED]] by %[[MASK]]
// CHECK: %[[P:.*]] = fil.read @p {
// CHECK: %[[FEW:.*]] = fil.map round(%{{.*}}) {site = "p"} : (!fil.tensor<["D/4","D/4:2",F], real>)
// CHECK-NEXT: %[[KEPT:.*]] = fil.map select(%{{.*}}, %[[FEW]], %[[P]])
// CHECK: %[[WHOLE:.*]] = fil.expand %[[KEPT]] by
// CHECK: %[[Y:.*]] = fil.contract %arg0, %[[MASKED]] over ["D"]
// CHECK-NEXT: fil.map mul(%[[Y]], %{{.*}}) {fil.scaling, site = "w"}
// CHECK-NEXT: %[[Z:.*]] = fil.contract %arg0, %[[WHOLE]] over ["D"]
// CHECK-NEXT: fil.map mul(%[[Z]], %{{.*}}) {fil.scaling, site = "p"}
fil.dims {B, D = "8", F = "4"}
fil.site "w" [#fil.topology<rigl density 0.5 every 100 alpha 0.3 until 0.75 granule 1 1>, #fil.qat<bits 4 acts 0 per channel steps 0 warm 0.0>]
fil.site "p" [#fil.blocks<2 of 4 density 0.0 granule 4 1>, #fil.qat<bits 4 acts 0 per channel steps 0 warm 0.0>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "w" declared ["D", "F"] loops []
fil.variable param trained map 1 @p : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "p" declared ["D", "F"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,F], real> {fil.name = "y"}, !fil.tensor<[B,F], real> {fil.name = "z"}) {
  %w = fil.read @w {site = "w"} : <[D,F], real>
  %p = fil.read @p {site = "p"} : <[D,F], real>
  %0 = fil.contract %x, %w over ["D"] {site = "w"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %1 = fil.contract %x, %p over ["D"] {site = "p"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return %0, %1 : !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>
}
