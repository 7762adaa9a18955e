// RUN: %fil-opt %s | FileCheck %s
// Tables, variables, entries, loops.

// CHECK: fil.dims {B, T atmost "4096", D = "4", "l#0" = "3"}
fil.dims {B, T atmost "4096", D = "4", "l#0" = "3"}
// CHECK: fil.site "l[1..4].q" [#fil.lora<rank 4 alpha 8.000000e+00 init gauss variant plain merge auto>] consumed [#fil.consumed<#fil.remat<{rule = "all"}> by "p">]
fil.site "l[1..4].q" [#fil.lora<rank 4 alpha 8.000000e+00 init gauss variant plain merge auto>] consumed [#fil.consumed<#fil.remat<{rule = "all"}> by "p">]
// CHECK: fil.variable param trained map 1 @w : !fil.tensor<[D,"l#0"], real> init <normal, 0.000000e+00, 5.000000e-01> site "l[0..3].w" declared ["D"] loops ["l#0"] optimizer @adam
fil.variable param trained map 1 @w : !fil.tensor<[D,"l#0"], real> init <normal, 0.0, 0.5> site "l[0..3].w" declared ["D"] loops ["l#0"] optimizer @adam
// CHECK: fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.000000e+00, 0.000000e+00> site "mu" declared ["D"] loops []
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []

// CHECK-LABEL: fil.func entry "train" @train(
// CHECK-SAME: {fil.name = "x"}) -> (!fil.tensor<[B,D], real> {fil.name = "y"}, !fil.tensor<[], real> {fil.name = "loss"})
// CHECK: fil.read @w {site = "l[0..3].w"} : <[D,"l#0"], real>
// CHECK: fil.layers %{{[a-z0-9]+}} = l 0 to 3 dim "l#0" reverse carried(%{{[a-z0-9]+}} = %{{[a-z0-9]+}}) stacked(%{{[a-z0-9]+}} = %{{[a-z0-9]+}}) shared(%{{[a-z0-9]+}} = %{{[a-z0-9]+}})
// CHECK-SAME: body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D], real>, !fil.tensor<[D], real>) -> ()
// CHECK: fil.yield %{{.*}}, %{{.*}} : !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>
// CHECK: } {site = "l[0..3]", role = #fil.role<dgrad>}
// CHECK: fil.aux %{{.*}} trains(%{{.*}}) : <[], real>, !fil.tensor<[D,"l#0"], real>
// CHECK: fil.write @mu, %{{.*}} {role = #fil.role<update>} : <[D], real>
// CHECK: fil.return %{{.*}}, %{{.*}} : !fil.tensor<[B,D], real>, !fil.tensor<[], real>
fil.func entry "train" @train(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,D], real> {fil.name = "y"}, !fil.tensor<[], real> {fil.name = "loss"}) {
  %w = fil.read @w {site = "l[0..3].w"} : <[D,"l#0"], real>
  %mu = fil.read @mu : <[D], real>
  %y:2 = fil.layers %turn = l 0 to 3 dim "l#0" reverse carried(%h = %x) stacked(%g = %w) shared(%m = %mu) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,"l#0"], real>, !fil.tensor<[D], real>) -> (!fil.tensor<[B,D], real>, !fil.tensor<[B,D,"l#0"], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D], real>, !fil.tensor<[D], real>) -> () {
    %0 = fil.map mul(%h, %g) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
    %1 = fil.map sub(%0, %m) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
    fil.yield %1, %0 : !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>
  } {site = "l[0..3]", role = #fil.role<dgrad>}
  %loss = fil.reduce sum %y#0 over ["B", "D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[], real>
  fil.aux %loss trains (%w) : <[], real>, !fil.tensor<[D,"l#0"], real>
  %mean = fil.reduce sum %y#0 over ["B"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[D], real>
  fil.write @mu, %mean {role = #fil.role<update>} : <[D], real>
  fil.return %y#0, %loss : !fil.tensor<[B,D], real>, !fil.tensor<[], real>
}
