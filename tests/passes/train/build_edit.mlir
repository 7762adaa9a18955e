// RUN: %fil-opt %s --fil-train-build-step | FileCheck %s
// Where weights are masked there is the entry `edit` too: gradients of all weights, granules that go and come, weights and moments 0 where they are new.

fil.dims {D = "32", F = "4", "D/16" = "2"}
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "w" declared ["D", "F"] loops [] optimizer @momentum masked by @w.mask
fil.variable state @w.mask : !fil.tensor<[F,"D/16"], bool> init <constant, 1.0, 0.0> site "w.mask" declared ["D/16", "F"] loops [] topology <rigl density 2.500000e-01 every 10 alpha 5.000000e-01 until 7.500000e-01 granule 16 1>

// CHECK-LABEL: fil.func entry "edit" @edit(
// CHECK-SAME: %[[X:.*]]: !fil.tensor<[D,F], real> {fil.name = "x"}, %[[STEP:.*]]: !fil.tensor<[], int> {fil.name = "step"}, %[[PROGRESS:.*]]: !fil.tensor<[], real> {fil.name = "progress"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[], real> {fil.name = "grad_norm"})
// CHECK: %[[W:.*]] = fil.read @w :
// CHECK: %[[MASK:.*]] = fil.read @w.mask
// What stays: the largest magnitudes of those that are there, 2 of the 8 granules less what is changed.
// CHECK: %[[SIZES:.*]] = fil.map abs(%[[W]])
// CHECK: fil.window %[[SIZES]] [#fil.window_dim<"D" by "D%16" to "D/16" stride 16 before 0>]
// CHECK: %[[SUMS:.*]] = fil.reduce sum
// CHECK: %[[SCORES:.*]] = fil.map select(%[[MASK]], %[[SUMS]],
// CHECK: fil.map cos
// CHECK: %[[CHANGED:.*]] = fil.map cast{{.*}} -> !fil.tensor<[], int>
// CHECK: %[[KEPT:.*]] = fil.constant 2.000000e+00 {{.*}} : <[], int>
// CHECK: %[[LEFT:.*]] = fil.map sub(%[[KEPT]], %[[CHANGED]])
// CHECK: %[[TOP:.*]] = fil.highest %[[SCORES]] count %[[LEFT]] over ["D/16", "F"]
// CHECK: %[[STAYS:.*]] = fil.map and(%[[MASK]], %[[TOP]])
// What comes: the largest gradients of the rest, before any mask.
// CHECK: fil.map abs(%[[X]])
// CHECK: %[[COMES:.*]] = fil.highest %{{.*}} count %[[CHANGED]] over ["D/16", "F"]
// CHECK: %[[AFTER:.*]] = fil.map or(%[[STAYS]], %[[COMES]])
// CHECK: %[[NEW:.*]] = fil.map select(%{{.*}}, %[[AFTER]], %[[MASK]])
// CHECK: %[[SAME:.*]] = fil.map and(%[[MASK]], %[[NEW]])
// CHECK: fil.write @w.mask, %[[NEW]]
// CHECK: %[[WEIGHT:.*]] = fil.mask %[[W]] by %[[SAME]]
// CHECK: fil.write @w, %[[WEIGHT]]
// CHECK: %[[M:.*]] = fil.read @"w#m"
// CHECK: %[[MOMENT:.*]] = fil.mask %[[M]] by %[[SAME]]
// CHECK: fil.write @"w#m", %[[MOMENT]]
// CHECK-LABEL: fil.func entry "step"
// CHECK-NOT: w.mask,
fil.func entry "grad" @train(%x: !fil.tensor<[D,F], real> {fil.name = "x"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[D,F], real> {fil.grad = @w}) {
  %w = fil.read @w : <[D,F], real>
  %m = fil.read @w.mask : <[F,"D/16"], bool>
  %v = fil.mask %w by %m granules ["D", "D/16"] : (!fil.tensor<[D,F], real>, !fil.tensor<[F,"D/16"], bool>) -> !fil.tensor<[D,F], real>
  %0 = fil.map mul(%v, %x) : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %1 = fil.reduce sum %0 over ["D", "F"] : (!fil.tensor<[D,F], real>) -> !fil.tensor<[], real>
  %g = fil.mask %x by %m granules ["D", "D/16"] {role = #fil.role<wgrad>} : (!fil.tensor<[D,F], real>, !fil.tensor<[F,"D/16"], bool>) -> !fil.tensor<[D,F], real>
  fil.return %1, %g : !fil.tensor<[], real>, !fil.tensor<[D,F], real>
}
fil.func @momentum(%p: !fil.tensor<[D,F], real> {fil.name = "p"}, %g: !fil.tensor<[D,F], real> {fil.name = "g"}, %m: !fil.tensor<[D,F], real> {fil.name = "m"}, %lr: !fil.tensor<[], real> {fil.name = "lr"}) -> (!fil.tensor<[D,F], real> {fil.name = "p"}, !fil.tensor<[D,F], real> {fil.name = "m"}) {
  %0 = fil.map add(%m, %g) : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %1 = fil.map mul(%lr, %0) : (!fil.tensor<[], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %2 = fil.map sub(%p, %1) : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  fil.return %2, %0 : !fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>
}
