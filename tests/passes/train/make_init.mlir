// RUN: %fil-opt %s --fil-train-make-init | FileCheck %s
// First values: constants, scaled random numbers by the site's path and the turns of its loops; caches have none.

fil.dims {S, "D/2" = "2", "D/2:1" = "1", "D%2" = "2", D = "4", "l#0" = "3"}
fil.variable param trained map 1 @w : !fil.tensor<[D,"l#0"], real> init <normal, 0.0, 0.5> site "l[1..4].w" declared ["D"] loops ["l#0"]
fil.variable param trained @u : !fil.tensor<[D], real> init <uniform, -1.0, 3.0> site "u" declared ["D"] loops []
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.25, 0.0> site "mu" declared ["D"] loops []
fil.variable param trained map 1 @sparse : !fil.tensor<[D], real> init <normal, 0.0, 1.0> site "sparse" declared ["D"] loops [] masked by @sparse.mask
fil.variable state @sparse.mask : !fil.tensor<[D], bool> init <constant, 1.0, 0.0> site "sparse.mask" declared ["D"] loops [] topology <set density 5.000000e-01 every 10 alpha 5.000000e-01 until 7.500000e-01 granule 1 1>
fil.variable param map 2 @two : !fil.tensor<["D/2","D/2:1"], real> init <constant, 0.0, 0.0> site "two" declared ["D/2", "D/2:1"] loops [] {fil.blocks = #fil.blocks<1 of 2 density 0.0 granule 2 1>}
fil.variable state @two.pattern : !fil.tensor<["D/2"], i8> init <constant, 0.0, 0.0> site "two.pattern" declared ["D/2"] loops []
fil.variable param map 2 @cut : !fil.tensor<["D/2:1","D%2"], real> init <constant, 0.0, 0.0> site "cut" declared ["D/2:1", "D%2"] loops [] {fil.blocks = #fil.blocks<0 of 0 density 0.5 granule 2 1>}
fil.variable state @cut.slots : !fil.tensor<["D/2"], int> init <constant, 0.0, 0.0> site "cut.slots" declared ["D/2"] loops []
fil.variable state @cut.places : !fil.tensor<["D/2:1"], int> init <constant, 0.0, 0.0> site "cut.places" declared ["D/2:1"] loops []
fil.variable cache @c : !fil.tensor<[S], real> init <constant, 0.0, 0.0> site "c" declared ["S"] loops []

// CHECK-LABEL: fil.func entry "init" @init(%{{.*}}: !fil.tensor<[], int> {fil.name = "seed"})
// CHECK: %[[TWO:.*]] = fil.constant 2.000000e+00 {{.*}} : <[], int>
// CHECK: %[[ORDER:.*]] = fil.random "sparse.mask"
// CHECK: %[[MASK:.*]] = fil.highest %[[ORDER]] count %[[TWO]] over ["D"]
// Which weights there are is random too: bits of each group, and of granules the chosen ones with their numbers.
// CHECK: %[[GROUPS:.*]] = fil.random "two.pattern"
// CHECK: fil.highest %[[GROUPS]] count %{{.*}} over ["#2"]
// CHECK: %[[BITS:.*]] = fil.quantize {{.*}} -> !fil.tensor<["D/2"], i8>
// CHECK: %[[GRANULES:.*]] = fil.random "cut.slots"
// CHECK: %[[CHOSEN:.*]] = fil.topk %[[GRANULES]] over "D/2"
// CHECK: fil.member %[[CHOSEN]]
// CHECK: %[[PLACES:.*]] = fil.rename {{.*}} -> !fil.tensor<["D/2:1"], int>
// CHECK: fil.scatter %{{.*}} at %[[CHOSEN]] in "D/2"
// CHECK: %[[SLOTS:.*]] = fil.map cast{{.*}} -> !fil.tensor<["D/2"], int>
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
// CHECK: %[[W:.*]] = fil.mask %{{.*}} by %[[MASK]]
// CHECK: fil.write @sparse, %[[W]]
// CHECK: fil.write @sparse.mask, %[[MASK]]
// CHECK: fil.write @two,
// CHECK: fil.write @two.pattern, %[[BITS]]
// CHECK: fil.write @cut,
// CHECK: fil.write @cut.slots, %[[SLOTS]]
// CHECK: fil.write @cut.places, %[[PLACES]]
// CHECK-NOT: fil.write
// CHECK: fil.return
