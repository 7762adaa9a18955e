// RUN: %fil-opt %s --fil-normalize-hoist-invariants | FileCheck %s
// What each turn computes alike stands in front of the loop; a chain of such ops moves as one, scalars stay.

fil.dims {B, D = "4", "l#0" = "3"}

// CHECK-LABEL: fil.func @chain
// CHECK-SAME: (%[[X:.*]]: !fil.tensor<[B,D], real>, %[[P:.*]]: !fil.tensor<[D], real>)
// CHECK: %[[SIN:.*]] = fil.map sin(%[[P]])
// CHECK: %[[TANH:.*]] = fil.map tanh(%[[SIN]])
// CHECK: fil.layers
// CHECK-SAME: shared({{.*}} = %[[P]], {{.*}} = %[[SIN]], {{.*}} = %[[TANH]])
// CHECK-NOT: fil.map tanh({{.*}}!fil.tensor<[B,D]
// CHECK: fil.yield
fil.func @chain(%x: !fil.tensor<[B,D], real>, %p: !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real> {
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared(%q = %p) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real> body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> () {
    %1 = fil.map sin(%q) : (!fil.tensor<[D], real>) -> !fil.tensor<[D], real>
    %2 = fil.map mul(%h, %1) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
    %3 = fil.map tanh(%1) : (!fil.tensor<[D], real>) -> !fil.tensor<[D], real>
    %4 = fil.map add(%2, %3) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
    fil.yield %4 : !fil.tensor<[B,D], real>
  }
  fil.return %0 : !fil.tensor<[B,D], real>
}

// CHECK-LABEL: fil.func @turns
// CHECK-NOT: fil.map
// CHECK: fil.layers
fil.func @turns(%x: !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real> {
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real> body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>) -> () {
    %1 = fil.map cast(%t) : (!fil.tensor<[], int>) -> !fil.tensor<[], real>
    %2 = fil.constant 0.5 : <[], real>
    %3 = fil.map exp(%2) : (!fil.tensor<[], real>) -> !fil.tensor<[], real>
    %4 = fil.map mul(%1, %3) : (!fil.tensor<[], real>, !fil.tensor<[], real>) -> !fil.tensor<[], real>
    %5 = fil.map mul(%h, %4) : (!fil.tensor<[B,D], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,D], real>
    fil.yield %5 : !fil.tensor<[B,D], real>
  }
  fil.return %0 : !fil.tensor<[B,D], real>
}
