// RUN: %fil-opt %s --fil-schedule-split-sums | FileCheck %s
// Where a row of scores is searched or summed, a sum of them over more dims is one over the row, and one of what that leaves.

fil.dims {B, T, S, H = "4", N = "16"}

// CHECK-LABEL: fil.func @added
// CHECK: %[[SCORES:.*]] = fil.contract
// CHECK: fil.reduce max %[[SCORES]] over ["S"]
// CHECK: %[[ROWS:.*]] = fil.reduce sum %[[SCORES]] over ["S"] {{.*}} -> !fil.tensor<[B,T,H], f64>
// CHECK: %[[SUM:.*]] = fil.reduce sum %[[ROWS]] over ["B", "T"] {{.*}} -> !fil.tensor<[H], f64>
// CHECK: fil.return %{{.*}}, %[[SUM]]
fil.func @added(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> (!fil.tensor<[B,T,H], f64>, !fil.tensor<[H], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce max %0 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  %2 = fil.reduce sum %0 over ["B", "T", "S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[H], f64>
  fil.return %1, %2 : !fil.tensor<[B,T,H], f64>, !fil.tensor<[H], f64>
}

// A product that is summed.
// CHECK-LABEL: fil.func @scaled
// CHECK: %[[SCORES:.*]] = fil.contract
// CHECK: fil.reduce max
// CHECK: %[[ROWS:.*]] = fil.contract %[[SCORES]], %{{.*}} over ["S"] {{.*}} -> !fil.tensor<[B,T,H], f64>
// CHECK: fil.reduce sum %[[ROWS]] over ["B", "T"]
fil.func @scaled(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>, %far: !fil.tensor<[T,S], f64>) -> (!fil.tensor<[B,T,H], f64>, !fil.tensor<[H], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce max %0 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  %2 = fil.contract %0, %far over ["B", "T", "S"] : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[T,S], f64>) -> !fil.tensor<[H], f64>
  fil.return %1, %2 : !fil.tensor<[B,T,H], f64>, !fil.tensor<[H], f64>
}

// What was summed over other dims first is summed behind the product.
// CHECK-LABEL: fil.func @summed_first
// CHECK-SAME: %[[FAR:[a-z0-9]+]]: !fil.tensor<[T,S], f64>
// CHECK: %[[SCORES:.*]] = fil.contract
// CHECK: fil.reduce max
// CHECK-NEXT: %[[NEG:.*]] = fil.map neg(%[[SCORES]])
// CHECK-NEXT: %[[PRODUCT:.*]] = fil.map mul(%[[NEG]], %[[FAR]]) {{.*}} -> !fil.tensor<[B,T,S,H], f64>
// CHECK-NEXT: %[[ROWS:.*]] = fil.reduce sum %[[PRODUCT]] over ["S"]
// CHECK-NEXT: fil.reduce sum %[[ROWS]] over ["B", "T"]
fil.func @summed_first(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>, %far: !fil.tensor<[T,S], f64>) -> (!fil.tensor<[B,T,H], f64>, !fil.tensor<[H], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce max %0 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  %2 = fil.reduce sum %0 over ["B"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[T,S,H], f64>
  %3 = fil.map neg(%2) : (!fil.tensor<[T,S,H], f64>) -> !fil.tensor<[T,S,H], f64>
  %4 = fil.map mul(%3, %far) : (!fil.tensor<[T,S,H], f64>, !fil.tensor<[T,S], f64>) -> !fil.tensor<[T,S,H], f64>
  %5 = fil.reduce sum %4 over ["T", "S"] : (!fil.tensor<[T,S,H], f64>) -> !fil.tensor<[H], f64>
  fil.return %1, %5 : !fil.tensor<[B,T,H], f64>, !fil.tensor<[H], f64>
}

// Nothing goes by rows; a sum whose result has the row's dim; a sum that is read twice.
// CHECK-LABEL: fil.func @stays
// CHECK: fil.reduce sum %{{.*}} over ["B", "T", "S"]
// CHECK-NEXT: fil.return
fil.func @stays(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[H], f64> {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce sum %0 over ["B", "T", "S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[H], f64>
  fil.return %1 : !fil.tensor<[H], f64>
}
// CHECK-LABEL: fil.func @twice
// CHECK: %[[SUM:.*]] = fil.reduce sum %{{.*}} over ["B"]
// CHECK: fil.map mul(%[[SUM]]
// CHECK: fil.return %{{.*}}, %[[SUM]]
fil.func @twice(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>, %far: !fil.tensor<[T,S], f64>) -> (!fil.tensor<[B,T,H], f64>, !fil.tensor<[T,S,H], f64>, !fil.tensor<[H], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce max %0 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  %2 = fil.reduce sum %0 over ["B"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[T,S,H], f64>
  %3 = fil.map mul(%2, %far) : (!fil.tensor<[T,S,H], f64>, !fil.tensor<[T,S], f64>) -> !fil.tensor<[T,S,H], f64>
  %4 = fil.reduce sum %3 over ["T", "S"] : (!fil.tensor<[T,S,H], f64>) -> !fil.tensor<[H], f64>
  fil.return %1, %2, %4 : !fil.tensor<[B,T,H], f64>, !fil.tensor<[T,S,H], f64>, !fil.tensor<[H], f64>
}

// Heads are no row: strips are not cut along what is left.
// CHECK-LABEL: fil.func @heads
// CHECK: fil.reduce max
// CHECK-NEXT: fil.reduce sum %{{.*}} over ["T", "S", "H"]
fil.func @heads(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> (!fil.tensor<[B,T,S], f64>, !fil.tensor<[B], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce max %0 over ["H"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,S], f64>
  %2 = fil.reduce sum %0 over ["T", "S", "H"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B], f64>
  fil.return %1, %2 : !fil.tensor<[B,T,S], f64>, !fil.tensor<[B], f64>
}
