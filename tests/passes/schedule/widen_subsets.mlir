// RUN: %fil-opt %s --fil-schedule-widen-subsets | FileCheck %s
// Forward: the whole product, then the members of it. To the input: members at their places, then the whole product. To the weight: the same.

fil.dims {B, D = "4", E = "8", F = "6", "e#0" = "2"}

// CHECK-LABEL: fil.func @forward
// CHECK: %[[Y:.*]] = fil.contract %{{.*}}, %{{.*}} over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>) -> !fil.tensor<[B,E,F], f32>
// CHECK: fil.gather %[[Y]] at %{{.*}} in "E" : {{.*}} -> !fil.tensor<[B,F,"e#0"], f32>
fil.func @forward(%h: !fil.tensor<[B,D], f32>, %w: !fil.tensor<[D,E,F], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32> {
  %0 = fil.contract %h, %w through %e over ["D"] : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32>
  fil.return %0 : !fil.tensor<[B,F,"e#0"], f32>
}

// CHECK-LABEL: fil.func @input
// CHECK: %[[S:.*]] = fil.scatter %{{.*}} at %{{.*}} in "E" : {{.*}} -> !fil.tensor<[B,E,F], f32>
// CHECK: fil.contract %[[S]], %{{.*}} over ["E", "F"] : {{.*}} -> !fil.tensor<[B,D], f32>
fil.func @input(%g: !fil.tensor<[B,F,"e#0"], f32>, %w: !fil.tensor<[D,E,F], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,D], f32> {
  %0 = fil.contract %g, %w through %e over ["F", "e#0"] : (!fil.tensor<[B,F,"e#0"], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,D], f32>
  fil.return %0 : !fil.tensor<[B,D], f32>
}

// CHECK-LABEL: fil.func @weight
// CHECK: %[[S:.*]] = fil.scatter %{{.*}} at %{{.*}} in "E" : {{.*}} -> !fil.tensor<[B,E,F], f32>
// CHECK: fil.contract %[[S]], %{{.*}} over ["B"] : {{.*}} -> !fil.tensor<[D,E,F], f32>
fil.func @weight(%g: !fil.tensor<[B,F,"e#0"], f32>, %h: !fil.tensor<[B,D], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[D,E,F], f32> {
  %0 = fil.contract %g, %h through %e over ["B", "e#0"] : (!fil.tensor<[B,F,"e#0"], f32>, !fil.tensor<[B,D], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[D,E,F], f32>
  fil.return %0 : !fil.tensor<[D,E,F], f32>
}

// CHECK-LABEL: fil.func @each
// CHECK: %[[S:.*]] = fil.scatter %{{.*}} at %{{.*}} in "E" : {{.*}} -> !fil.tensor<[B,D,E], f32>
// CHECK: %[[Y:.*]] = fil.contract %[[S]], %{{.*}} over ["D"] : {{.*}} -> !fil.tensor<[B,E,F], f32>
// CHECK: fil.gather %[[Y]] at %{{.*}} in "E"
fil.func @each(%g: !fil.tensor<[B,D,"e#0"], f32>, %w: !fil.tensor<[D,E,F], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32> {
  %0 = fil.contract %g, %w through %e over ["D"] : (!fil.tensor<[B,D,"e#0"], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32>
  fil.return %0 : !fil.tensor<[B,F,"e#0"], f32>
}

// CHECK-LABEL: fil.func @both
// CHECK: %[[G:.*]] = fil.scatter %{{.*}} at %{{.*}} in "E" : {{.*}} -> !fil.tensor<[B,D,E], f32>
// CHECK: %[[H:.*]] = fil.scatter %{{.*}} at %{{.*}} in "E" : {{.*}} -> !fil.tensor<[B,E,F], f32>
// CHECK: fil.contract %[[G]], %[[H]] over ["B"] : {{.*}} -> !fil.tensor<[D,E,F], f32>
fil.func @both(%g: !fil.tensor<[B,D,"e#0"], f32>, %h: !fil.tensor<[B,F,"e#0"], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[D,E,F], f32> {
  %0 = fil.contract %g, %h through %e over ["B", "e#0"] : (!fil.tensor<[B,D,"e#0"], f32>, !fil.tensor<[B,F,"e#0"], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[D,E,F], f32>
  fil.return %0 : !fil.tensor<[D,E,F], f32>
}

// What the plan has gathered is not widened.
// CHECK-LABEL: fil.func @gathered
// CHECK: fil.contract %{{.*}} through %{{.*}} over ["D"] {fil.gather = 0 : i64}
fil.func @gathered(%h: !fil.tensor<[B,D], f32>, %w: !fil.tensor<[D,E,F], f32>, %e: !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32> {
  %0 = fil.contract %h, %w through %e over ["D"] {fil.gather = 0 : i64} : (!fil.tensor<[B,D], f32>, !fil.tensor<[D,E,F], f32>, !fil.subset<E per [B], "e#0">) -> !fil.tensor<[B,F,"e#0"], f32>
  fil.return %0 : !fil.tensor<[B,F,"e#0"], f32>
}
