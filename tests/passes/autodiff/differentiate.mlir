// RUN: %fil-opt %s --fil-autodiff-differentiate | FileCheck %s
// The entry `train` becomes `grad`: gradients are further results, each op has a role, a loop is reversed by a loop.

fil.dims {B, D = "4", F = "3", "l#0" = "3"}
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "w" declared ["D", "F"] loops []
fil.variable param trained @g : !fil.tensor<[D,"l#0"], real> init <constant, 1.0, 0.0> site "l[0..3].g" declared ["D"] loops ["l#0"]

// CHECK-LABEL: fil.func entry "grad" @train(
// CHECK-SAME: {fil.name = "loss"}, !fil.tensor<[D,F], real> {fil.grad = @w}, !fil.tensor<[D,"l#0"], real> {fil.grad = @g})
// CHECK: %[[FORWARD:.*]]:{{[0-9]}} = fil.layers
// CHECK-SAME: carried(%[[H:[a-z0-9]+]] = %{{[a-z0-9]+}}) stacked(%[[G:[a-z0-9]+]] =
// What the reverse needs leaves the loop.
// CHECK: fil.yield %{{.*}}, %{{.*}} :
// CHECK-NOT: fil.stopgrad
// CHECK-NOT: fil.aux
// CHECK: fil.contract %{{.*}}, %{{.*}} over ["B"] {role = #fil.role<wgrad>{{.*}}} : {{.*}} -> !fil.tensor<[D,F], real>
// CHECK: fil.layers %{{[a-z0-9]+}} = l 0 to 3 dim "l#0" reverse
// CHECK-SAME: %[[FORWARD]]#1
// CHECK: fil.map mul({{.*}}) {role = #fil.role<dgrad>
// CHECK: fil.reduce sum {{.*}} over ["B"] {role = #fil.role<wgrad>
// CHECK: } {site = "M", role = #fil.role<dgrad>}
// CHECK: fil.return %{{.*}}, %{{.*}}, %{{.*}} : !fil.tensor<[], real>, !fil.tensor<[D,F], real>, !fil.tensor<[D,"l#0"], real>
fil.func entry "train" @train(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[], real> {fil.name = "loss"}) {
  %w = fil.read @w : <[D,F], real>
  %g = fil.read @g : <[D,"l#0"], real>
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked(%s = %g) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,"l#0"], real>) -> !fil.tensor<[B,D], real> body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> () {
    %1 = fil.map mul(%h, %s) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
    %2 = fil.map tanh(%1) : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
    fil.yield %2 : !fil.tensor<[B,D], real>
  } {site = "M"}
  %3 = fil.contract %0, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.stopgrad %3 : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
  %5 = fil.map mul(%3, %4) : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
  %6 = fil.reduce sum %5 over ["B", "F"] : (!fil.tensor<[B,F], real>) -> !fil.tensor<[], real>
  %7 = fil.reduce sum %0 over ["B", "D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[], real>
  fil.aux %7 trains (%g) : <[], real>, !fil.tensor<[D,"l#0"], real>
  fil.return %6 : !fil.tensor<[], real>
}
