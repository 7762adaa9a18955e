// RUN: %fil-opt %s | FileCheck %s
// How a group is written.

fil.dims {B, D = "4"}

// CHECK: %{{[0-9]+}} = fil.group rows ["B"] (%[[X:[a-z0-9]+]] = %{{[a-z0-9]+}}) : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
// CHECK-NEXT: %[[SUM:.*]] = fil.reduce sum %[[X]] over ["D"] {fil.kept}
// CHECK-NEXT: fil.yield %[[SUM]] : !fil.tensor<[B], f32>
fil.func @f(%x: !fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
  %0 = fil.group rows ["B"] (%y = %x) : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
    %1 = fil.reduce sum %y over ["D"] {fil.kept} : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32>
    fil.yield %1 : !fil.tensor<[B], f32>
  }
  fil.return %0 : !fil.tensor<[B], f32>
}
