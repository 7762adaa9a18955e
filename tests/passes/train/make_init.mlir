// RUN: %fil-opt %s --fil-train-make-init | FileCheck %s
// First values: constants, scaled random numbers by the site's path and the turns of its loops; caches have none.

fil.dims {S, D = "4", "l#0" = "3"}
fil.variable param trained map 1 @w : !fil.tensor<[D,"l#0"], real> init <normal, 0.0, 0.5> site "l[1..4].w" declared ["D"] loops ["l#0"]
fil.variable param trained @u : !fil.tensor<[D], real> init <uniform, -1.0, 3.0> site "u" declared ["D"] loops []
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.25, 0.0> site "mu" declared ["D"] loops []
fil.variable cache @c : !fil.tensor<[S], real> init <constant, 0.0, 0.0> site "c" declared ["S"] loops []

// CHECK-LABEL: fil.func entry "init" @init(%{{.*}}: !fil.tensor<[], int> {fil.name = "seed"})
// CHECK: %[[FIRST:.*]] = fil.constant 1.000000e+00 {{.*}} : <[], int>
// CHECK: %[[TURNS:.*]] = fil.iota "l#0"
// CHECK: %[[TURN:.*]] = fil.map add(%[[TURNS]], %[[FIRST]])
// CHECK: fil.random normal "l[1..4].w" seed %{{.*}} step %{{.*}} turns(%[[TURN]])
// CHECK: fil.constant 5.000000e-01
// CHECK: fil.write @w,
// CHECK: fil.random "u" seed
// CHECK: fil.constant 4.000000e+00
// CHECK: fil.constant -1.000000e+00
// CHECK: fil.write @u,
// CHECK: fil.constant 2.500000e-01
// CHECK: fil.write @mu,
// CHECK-NOT: fil.write
// CHECK: fil.return
