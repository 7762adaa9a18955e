// RUN: %fil-opt %s --fil-train-build-step="clip=2" | FileCheck %s
// Gradients become a step: their norm, the clip, each variable's optimizer, its state as variables.

fil.dims {D = "4"}
// CHECK: fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.000000e+00, 0.000000e+00> site "w" declared ["D"] loops []
// CHECK-NOT: optimizer @
// CHECK: fil.variable optimizer @"w#m" : !fil.tensor<[D], real> init <constant, 0.000000e+00, 0.000000e+00> site "w#m"
fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.0, 0.0> site "w" declared ["D"] loops [] optimizer @momentum

// CHECK-LABEL: fil.func entry "step" @step(
// CHECK-SAME: %[[X:.*]]: !fil.tensor<[D], real> {fil.name = "x"}, %[[STEP:.*]]: !fil.tensor<[], int> {fil.name = "step"}, %[[LR:.*]]: !fil.tensor<[], real> {fil.name = "lr"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[], real> {fil.name = "grad_norm"})
// CHECK: %[[W:.*]] = fil.read @w
// CHECK: %[[NORM:.*]] = fil.map sqrt
// CHECK: fil.constant 2.000000e+00 {role = #fil.role<update>}
// CHECK: %[[SCALE:.*]] = fil.map min
// CHECK: %[[GRADIENT:.*]] = fil.map mul(%[[X]], %[[SCALE]])
// CHECK: %[[OLD:.*]] = fil.read @"w#m"
// CHECK: %[[M:.*]] = fil.map add(%[[OLD]], %[[GRADIENT]]) {role = #fil.role<update>, site = "w"}
// CHECK: %[[MOVE:.*]] = fil.map mul(%[[LR]], %[[M]])
// CHECK: %[[NEW:.*]] = fil.map sub(%[[W]], %[[MOVE]])
// CHECK: fil.write @w, %[[NEW]]
// CHECK: fil.write @"w#m", %[[M]]
// CHECK: fil.return %{{.*}}, %[[NORM]]
// CHECK-NOT: fil.func @momentum
fil.func entry "grad" @train(%x: !fil.tensor<[D], real> {fil.name = "x"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[D], real> {fil.grad = @w}) {
  %w = fil.read @w : <[D], real>
  %0 = fil.map mul(%w, %x) : (!fil.tensor<[D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[D], real>
  %1 = fil.reduce sum %0 over ["D"] : (!fil.tensor<[D], real>) -> !fil.tensor<[], real>
  fil.return %1, %x : !fil.tensor<[], real>, !fil.tensor<[D], real>
}
fil.func @momentum(%p: !fil.tensor<[D], real> {fil.name = "p"}, %g: !fil.tensor<[D], real> {fil.name = "g"}, %m: !fil.tensor<[D], real> {fil.name = "m"}, %lr: !fil.tensor<[], real> {fil.name = "lr"}) -> (!fil.tensor<[D], real> {fil.name = "p"}, !fil.tensor<[D], real> {fil.name = "m"}) {
  %0 = fil.map add(%m, %g) : (!fil.tensor<[D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[D], real>
  %1 = fil.map mul(%lr, %0) : (!fil.tensor<[], real>, !fil.tensor<[D], real>) -> !fil.tensor<[D], real>
  %2 = fil.map sub(%p, %1) : (!fil.tensor<[D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[D], real>
  fil.return %2, %0 : !fil.tensor<[D], real>, !fil.tensor<[D], real>
}
