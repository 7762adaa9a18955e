// RUN: %fil-opt %s --fil-autodiff-differentiate | FileCheck %s
// In a loop a sparse weight, and what says where it is, are made again of variables: no turn saves them. The gradient of values is what stands at their places.

fil.dims {B, "D/2" = "2", "D/2:1" = "1", "D%2" = "2", D = "4", "l#0" = "3"}
fil.variable param trained map 2 @w : !fil.tensor<["D/2:1","D%2","l#0"], real> init <normal, 0.0, 0.5> site "l[0..3].w" declared ["D/2:1", "D%2"] loops ["l#0"]
fil.variable state @w.slots : !fil.tensor<["D/2","l#0"], int> init <constant, 0.0, 0.0> site "l[0..3].w.slots" declared ["D/2"] loops ["l#0"]
fil.variable state @w.places : !fil.tensor<["D/2:1","l#0"], int> init <constant, 0.0, 0.0> site "l[0..3].w.places" declared ["D/2:1"] loops ["l#0"]

// CHECK: fil.layers
// CHECK: fil.yield %{{.*}} : !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>{{$}}
// CHECK: fil.layers {{.*}} reverse
// CHECK-DAG: %[[W:.*]] = fil.expand %{{.*}} by %[[SLOTS:[a-z0-9]+]] places
// CHECK-DAG: %[[THERE:.*]] = fil.map ge(%{{[a-z0-9]+}},
// CHECK: %[[MASKED:.*]] = fil.mask %[[W]] by %[[THERE]]
// CHECK: fil.map mul(%{{.*}}, %[[MASKED]])
// CHECK: %[[G:.*]] = fil.mask {{.*}} {role = #fil.role<wgrad>
// CHECK: fil.compress %[[G]] by {{.*}} {role = #fil.role<wgrad>
fil.func entry "train" @train(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[], real> {fil.name = "loss"}) {
  %w = fil.read @w : <["D/2:1","D%2","l#0"], real>
  %s = fil.read @w.slots : <["D/2","l#0"], int>
  %p = fil.read @w.places : <["D/2:1","l#0"], int>
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked(%v = %w, %a = %s, %q = %p) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<["D/2:1","D%2","l#0"], real>, !fil.tensor<["D/2","l#0"], int>, !fil.tensor<["D/2:1","l#0"], int>) -> !fil.tensor<[B,D], real> body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<["D/2:1","D%2"], real>, !fil.tensor<["D/2"], int>, !fil.tensor<["D/2:1"], int>) -> () {
    %1 = fil.expand %v by %a places %q "D" from ["D/2:1", "D%2"] granules ["D", "D/2"] : (!fil.tensor<["D/2:1","D%2"], real>, !fil.tensor<["D/2"], int>, !fil.tensor<["D/2:1"], int>) -> !fil.tensor<[D], real>
    %zero = fil.constant 0.0 : <[], int>
    %2 = fil.map ge(%a, %zero) : (!fil.tensor<["D/2"], int>, !fil.tensor<[], int>) -> !fil.tensor<["D/2"], bool>
    %3 = fil.mask %1 by %2 granules ["D", "D/2"] : (!fil.tensor<[D], real>, !fil.tensor<["D/2"], bool>) -> !fil.tensor<[D], real>
    %4 = fil.map mul(%h, %3) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
    %5 = fil.map tanh(%4) : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
    fil.yield %5 : !fil.tensor<[B,D], real>
  } {site = "M"}
  %7 = fil.reduce sum %0 over ["B", "D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[], real>
  fil.return %7 : !fil.tensor<[], real>
}
