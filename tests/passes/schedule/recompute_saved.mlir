// RUN: %fil-opt %s --fil-schedule-recompute-saved | FileCheck %s
// The reverse loop computes tanh again from the carried value, which is saved anyway; the sum stays saved.

fil.dims {B, T, S, N = "16", L = "2", "l#0" = "2"}

// CHECK-LABEL: fil.func @step
// CHECK: %[[F:[0-9]+]]:3 = fil.layers %{{.*}} = l 0 to 2 dim "l#0" carried(%[[H:[a-z0-9]+]] = %{{.*}})
// CHECK: %[[SUM:[0-9]+]] = fil.reduce sum
// CHECK: fil.yield %{{[0-9]+}}, %[[H]], %[[SUM]] :
// CHECK: fil.layers %{{.*}} = l 0 to 2 dim "l#0" reverse carried(%[[G:[a-z0-9]+]] = %[[F]]#0) stacked(%[[SAVED:[a-z0-9]+]] = %[[F]]#1, %{{.*}} = %[[F]]#2)
// CHECK: %[[AGAIN:[0-9]+]] = fil.map tanh(%[[SAVED]])
// CHECK: fil.map mul(%[[G]], %[[AGAIN]])
fil.func @step(%x: !fil.tensor<[B], f64>, %w: !fil.tensor<["l#0"], f64>) -> !fil.tensor<[B], f64> {
  %0:4 = fil.layers %t = l 0 to 2 dim "l#0" carried(%h = %x) stacked(%v = %w) shared() : (!fil.tensor<[B], f64>, !fil.tensor<["l#0"], f64>) -> (!fil.tensor<[B], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<["l#0"], f64>) body (!fil.tensor<[], int>, !fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> () {
    %1 = fil.map tanh(%h) : (!fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
    %2 = fil.reduce sum %1 over ["B"] : (!fil.tensor<[B], f64>) -> !fil.tensor<[], f64>
    %3 = fil.map mul(%1, %v) : (!fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> !fil.tensor<[B], f64>
    fil.yield %3, %h, %1, %2 : !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[], f64>
  }
  %4 = fil.layers %t = l 0 to 2 dim "l#0" reverse carried(%g = %0#0) stacked(%h = %0#1, %y = %0#2, %s = %0#3) shared() : (!fil.tensor<[B], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<["l#0"], f64>) -> !fil.tensor<[B], f64> body (!fil.tensor<[], int>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> () {
    %1 = fil.map mul(%g, %y) : (!fil.tensor<[B], f64>, !fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
    %2 = fil.map mul(%1, %s) : (!fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> !fil.tensor<[B], f64>
    %3 = fil.map add(%2, %h) : (!fil.tensor<[B], f64>, !fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
    fil.yield %3 : !fil.tensor<[B], f64>
  }
  fil.return %4 : !fil.tensor<[B], f64>
}

// Scores of many small products are computed again from what they are made of, which is saved instead.
// CHECK-LABEL: fil.func @scores
// CHECK: fil.layers %{{.*}} = l 0 to 2 dim "l#0" carried(%[[H:[a-z0-9]+]] = %{{.*}})
// CHECK: %[[SCORE:[0-9]+]] = fil.contract
// CHECK: fil.yield %{{[0-9]+}}, %[[H]] :
// CHECK: reverse
// CHECK: fil.contract {{.*}} over ["N"]
// CHECK: fil.reduce sum
fil.func @scores(%x: !fil.tensor<[B,T,N], f64>, %k: !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,N], f64> {
  %0:3 = fil.layers %t = l 0 to 2 dim "l#0" carried(%h = %x) stacked() shared(%c = %k) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S,"l#0"], f64>, !fil.tensor<[B,T,N,"l#0"], f64>) body (!fil.tensor<[], int>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> () {
    %1 = fil.contract %h, %c over ["N"] : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,S], f64>
    %2 = fil.contract %1, %c over ["S"] : (!fil.tensor<[B,T,S], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,N], f64>
    fil.yield %2, %1, %h : !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,N], f64>
  }
  %4 = fil.layers %t = l 0 to 2 dim "l#0" reverse carried(%g = %0#0) stacked(%y = %0#1, %h = %0#2) shared() : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S,"l#0"], f64>, !fil.tensor<[B,T,N,"l#0"], f64>) -> !fil.tensor<[B,T,N], f64> body (!fil.tensor<[], int>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,N], f64>) -> () {
    %1 = fil.reduce sum %y over ["S"] : (!fil.tensor<[B,T,S], f64>) -> !fil.tensor<[B,T], f64>
    %2 = fil.map mul(%g, %1) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T], f64>) -> !fil.tensor<[B,T,N], f64>
    %3 = fil.map add(%2, %h) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,N], f64>) -> !fil.tensor<[B,T,N], f64>
    fil.yield %3 : !fil.tensor<[B,T,N], f64>
  }
  fil.return %4 : !fil.tensor<[B,T,N], f64>
}
