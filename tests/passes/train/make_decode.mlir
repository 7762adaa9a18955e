// RUN: %fil-opt %s --fil-train-make-decode | FileCheck %s
// `run` with a cache gives prefill, which starts it, and decode, which appends to it; in loops it is stacked.

fil.dims {B, T, S, D = "4", "l#0" = "3"}

// CHECK: fil.variable cache @"l[0..3].c" : !fil.tensor<[B,S,D,"l#0"], real> init <constant, 0.000000e+00, 0.000000e+00> site "l[0..3].c" declared ["B", "S", "D"] loops ["l#0"]
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: fil.cache %{{[a-z0-9]+}} "T" to "S"
// CHECK-NOT: fil.write
// CHECK-LABEL: fil.func entry "decode" @decode
// CHECK: %[[PAST:.*]] = fil.read @"l[0..3].c"
// CHECK: fil.layers {{.*}} stacked(%[[SLICE:[a-z0-9]+]] = %[[PAST]])
// CHECK: fil.cache %{{[a-z0-9]+}} past %[[SLICE]] "T" to "S"
// CHECK: fil.write @"l[0..3].c"
// CHECK-LABEL: fil.func entry "prefill" @prefill
// CHECK: %[[LOOP:.*]]:2 = fil.layers
// CHECK: %[[C:.*]] = fil.cache %{{[a-z0-9]+}} "T" to "S"
// CHECK: fil.yield %{{.*}}, %[[C]]
// CHECK: fil.write @"l[0..3].c", %[[LOOP]]#1
fil.func entry "run" @run(%x: !fil.tensor<[B,T,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,T,D], real> {fil.name = "y"}) {
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,T,D], real>) -> !fil.tensor<[B,T,D], real> body (!fil.tensor<[], int>, !fil.tensor<[B,T,D], real>) -> () {
    %1 = fil.cache %h "T" to "S" {site = "l[0..3].c"} : (!fil.tensor<[B,T,D], real>) -> !fil.tensor<[B,S,D], real>
    %2 = fil.reduce sum %1 over ["S"] : (!fil.tensor<[B,S,D], real>) -> !fil.tensor<[B,D], real>
    %3 = fil.map add(%h, %2) : (!fil.tensor<[B,T,D], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,T,D], real>
    fil.yield %3 : !fil.tensor<[B,T,D], real>
  }
  fil.return %0 : !fil.tensor<[B,T,D], real>
}
