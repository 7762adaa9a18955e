// RUN: %fil-opt %s --fil-schedule-compare-indices | FileCheck %s
// What adds once to each point is chosen there; what sums (a table read by many points), or goes through members, stays a scatter.

fil.dims {B, T = "4", V = "7", D = "3", "s#0" = "2"}

// CHECK-LABEL: fil.func @once
// CHECK-SAME: (%[[Y:[a-z0-9]+]]: !fil.tensor<[B,T], f32>, %[[I:[a-z0-9]+]]:
// CHECK-DAG: %[[AT:.*]] = fil.iota "V"
// CHECK-DAG: %[[ZERO:.*]] = fil.constant 0
// CHECK-DAG: %[[INT:.*]] = fil.map cast(%[[I]])
// CHECK-DAG: %[[HERE:.*]] = fil.map eq(%[[AT]], %[[INT]])
// CHECK: %[[R:.*]] = fil.map select(%[[HERE]], %[[Y]], %[[ZERO]]) {{.*}} -> !fil.tensor<[B,T,V], f32>
// CHECK: fil.return %[[R]]
fil.func @once(%y: !fil.tensor<[B,T], f32>, %i: !fil.tensor<[B,T], index<V>>) -> !fil.tensor<[B,T,V], f32> {
  %0 = fil.scatter %y at %i in "V" : (!fil.tensor<[B,T], f32>, !fil.tensor<[B,T], index<V>>) -> !fil.tensor<[B,T,V], f32>
  fil.return %0 : !fil.tensor<[B,T,V], f32>
}

// CHECK-LABEL: fil.func @table
// CHECK: fil.scatter
fil.func @table(%y: !fil.tensor<[B,T,D], f32>, %i: !fil.tensor<[B,T], index<V>>) -> !fil.tensor<[V,D], f32> {
  %0 = fil.scatter %y at %i in "V" : (!fil.tensor<[B,T,D], f32>, !fil.tensor<[B,T], index<V>>) -> !fil.tensor<[V,D], f32>
  fil.return %0 : !fil.tensor<[V,D], f32>
}

// CHECK-LABEL: fil.func @members
// CHECK: fil.scatter
fil.func @members(%y: !fil.tensor<[B,"s#0"], f32>, %s: !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,V], f32> {
  %0 = fil.scatter %y at %s in "V" : (!fil.tensor<[B,"s#0"], f32>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,V], f32>
  fil.return %0 : !fil.tensor<[B,V], f32>
}
