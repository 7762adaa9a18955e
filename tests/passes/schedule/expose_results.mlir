// RUN: %fil-opt %s --fil-schedule-expose-results | FileCheck %s
// A contraction into a subset's members is one over the members and a scatter; a large sum is one of rows and one of these; what leaves
// twice leaves by copies.

fil.dims {B, D = "4", N = "16", V = "7", "s#0" = "2"}

// CHECK-LABEL: fil.func @members
// CHECK: %[[Y:.*]] = fil.contract %{{.*}}, %{{.*}} through %[[S:[a-z0-9]+]] over ["D"] : {{.*}} -> !fil.tensor<[B,"s#0"], f64>
// CHECK: fil.scatter %[[Y]] at %[[S]] in "V" : {{.*}} -> !fil.tensor<[B,V], f64>
fil.func @members(%x: !fil.tensor<[B,D], f64>, %w: !fil.tensor<[B,D,"s#0"], f64>, %s: !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,V], f64> {
  %0 = fil.contract %x, %w through %s over ["D", "s#0"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[B,D,"s#0"], f64>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,V], f64>
  fil.return %0 : !fil.tensor<[B,V], f64>
}

// CHECK-LABEL: fil.func @sum
// CHECK: %[[ROWS:.*]] = fil.reduce sum %{{.*}} over ["D"] : (!fil.tensor<[B,D], f64>) -> !fil.tensor<[B], f64>
// CHECK: fil.reduce sum %[[ROWS]] over ["B"] : (!fil.tensor<[B], f64>) -> !fil.tensor<[], f64>
fil.func @sum(%x: !fil.tensor<[B,D], f64>) -> !fil.tensor<[], f64> {
  %0 = fil.map tanh(%x) : (!fil.tensor<[B,D], f64>) -> !fil.tensor<[B,D], f64>
  %1 = fil.reduce sum %0 over ["B", "D"] : (!fil.tensor<[B,D], f64>) -> !fil.tensor<[], f64>
  fil.return %1 : !fil.tensor<[], f64>
}

// CHECK-LABEL: fil.func @twice
// CHECK-SAME: (%[[X:[a-z0-9]+]]:
// CHECK: %[[Y:.*]] = fil.map tanh(%[[X]])
// CHECK-NOT: fil.return %[[Y]], %[[Y]]
// CHECK-NOT: fil.return {{.*}}%[[X]]
// CHECK: fil.return
fil.func @twice(%x: !fil.tensor<[B], f64>) -> (!fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>) {
  %0 = fil.map tanh(%x) : (!fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
  fil.return %0, %0, %x : !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>
}

// Vectors that a product adds to those of members go to their places one by one; without the mark that it gathers, or if they are too short, they stand in memory before.
// CHECK-LABEL: fil.func @vectors
// CHECK-SAME: (%[[W:[a-z0-9]+]]: {{.*}}, %[[X:[a-z0-9]+]]: !fil.tensor<[B,N], f64>, %{{.*}}, %[[S:[a-z0-9]+]]: !fil.subset<V per [B], "s#0">)
// CHECK-NEXT: fil.contract %[[W]], %[[X]] through %[[S]] over ["B", "s#0"] {fil.gather = 0 : i64} : {{.*}} -> !fil.tensor<[N,V], f64>
// CHECK-NEXT: fil.contract %[[W]], %[[X]] through %[[S]] over [] {{.*}} -> !fil.tensor<[B,N,"s#0"], f64>
// CHECK-NEXT: fil.scatter
// CHECK-NEXT: fil.contract %[[W]], %{{.*}} through %[[S]] over [] {{.*}} -> !fil.tensor<[B,D,"s#0"], f64>
// CHECK-NEXT: fil.scatter
fil.func @vectors(%w: !fil.tensor<[B,"s#0"], f64>, %x: !fil.tensor<[B,N], f64>, %z: !fil.tensor<[B,D], f64>, %s: !fil.subset<V per [B], "s#0">) -> (!fil.tensor<[N,V], f64>, !fil.tensor<[N,V], f64>, !fil.tensor<[D,V], f64>) {
  %0 = fil.contract %w, %x through %s over ["B", "s#0"] {fil.gather = 0} : (!fil.tensor<[B,"s#0"], f64>, !fil.tensor<[B,N], f64>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[N,V], f64>
  %1 = fil.contract %w, %x through %s over ["B", "s#0"] : (!fil.tensor<[B,"s#0"], f64>, !fil.tensor<[B,N], f64>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[N,V], f64>
  %2 = fil.contract %w, %z through %s over ["B", "s#0"] {fil.gather = 0} : (!fil.tensor<[B,"s#0"], f64>, !fil.tensor<[B,D], f64>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[D,V], f64>
  fil.return %0, %1, %2 : !fil.tensor<[N,V], f64>, !fil.tensor<[N,V], f64>, !fil.tensor<[D,V], f64>
}
