// RUN: %fil-opt %s --fil-normalize-simplify | FileCheck %s
// Constants are computed, identities go, loops lose operands that nobody uses; what keeps no bit of finite results stays.

fil.dims {B, D = "4", S = "4", L = "3"}

// CHECK-LABEL: fil.func @constants
// CHECK-NEXT: fil.constant 3.000000e+00
// CHECK-NEXT: fil.return
fil.func @constants() -> !fil.tensor<[], real> {
  %0 = fil.size "D" : <[], real>
  %1 = fil.constant 1.0 : <[], real>
  %2 = fil.map sub(%0, %1) : (!fil.tensor<[], real>, !fil.tensor<[], real>) -> !fil.tensor<[], real>
  fil.return %2 : !fil.tensor<[], real>
}

// CHECK-LABEL: fil.func @identities
// CHECK-SAME: (%[[X:.*]]: !fil.tensor<[B,D], real>)
// CHECK-NEXT: %[[SQUARE:.*]] = fil.map mul(%[[X]], %[[X]])
// CHECK-NEXT: fil.return %[[SQUARE]]
fil.func @identities(%x: !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real> {
  %one = fil.constant 1.0 : <[], real>
  %zero = fil.constant 0.0 : <[], real>
  %two = fil.constant 2.0 : <[], real>
  %0 = fil.map mul(%x, %one) : (!fil.tensor<[B,D], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,D], real>
  %1 = fil.map add(%zero, %0) : (!fil.tensor<[], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  %2 = fil.rename %1 "D" to "S" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,S], real>
  %3 = fil.rename %2 "S" to "D" : (!fil.tensor<[B,S], real>) -> !fil.tensor<[B,D], real>
  %4 = fil.map pow(%3, %two) : (!fil.tensor<[B,D], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,D], real>
  %5 = fil.broadcast %4 : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  fil.return %5 : !fil.tensor<[B,D], real>
}

// x*0 is not 0 where x is not finite, and 1*x may have more dims than x.
// CHECK-LABEL: fil.func @stay
// CHECK: fil.map mul(%{{.*}}, %{{.*}}) : (!fil.tensor<[B,D], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,D], real>
// CHECK: fil.map add(%{{.*}}, %{{.*}}) : (!fil.tensor<[], real>, !fil.tensor<[B,D], real>)
fil.func @stay(%x: !fil.tensor<[B,D], real>, %s: !fil.tensor<[], real>) -> !fil.tensor<[B,D], real> {
  %zero = fil.constant 0.0 : <[], real>
  %0 = fil.map mul(%x, %zero) : (!fil.tensor<[B,D], real>, !fil.tensor<[], real>) -> !fil.tensor<[B,D], real>
  %1 = fil.map add(%s, %0) : (!fil.tensor<[], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  fil.return %1 : !fil.tensor<[B,D], real>
}

// CHECK-LABEL: fil.func @choice
// CHECK: fil.map select(%[[C:.*]], %[[A:.*]], %[[B:.*]])
// CHECK-NEXT: fil.return
fil.func @choice(%c: !fil.tensor<[B], bool>, %a: !fil.tensor<[B], real>, %b: !fil.tensor<[B], real>) -> !fil.tensor<[B], real> {
  %0 = fil.map select(%c, %a, %b) : (!fil.tensor<[B], bool>, !fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %1 = fil.map select(%c, %0, %b) : (!fil.tensor<[B], bool>, !fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  fil.return %1 : !fil.tensor<[B], real>
}

// CHECK-LABEL: fil.func @loop
// CHECK: fil.layers %{{[a-z0-9]+}} = l 0 to 3 dim "L" carried(%{{[a-z0-9]+}} = %{{[a-z0-9]+}}) stacked() shared() :
fil.func @loop(%x: !fil.tensor<[B], real>, %w: !fil.tensor<[B,L], real>) -> !fil.tensor<[B], real> {
  %0 = fil.layers %t = l 0 to 3 dim "L" carried(%h = %x) stacked(%g = %w) shared(%y = %x) : (!fil.tensor<[B], real>, !fil.tensor<[B,L], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real> body (!fil.tensor<[], int>, !fil.tensor<[B], real>, !fil.tensor<[B], real>, !fil.tensor<[B], real>) -> () {
    %1 = fil.map add(%h, %g) : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
    %2 = fil.map tanh(%h) : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
    fil.yield %2 : !fil.tensor<[B], real>
  }
  fil.return %0 : !fil.tensor<[B], real>
}
