// RUN: %fil-opt %s --fil-precision-choose-formats="default=f64" | FileCheck %s
// RUN: %fil-opt %s --fil-precision-choose-formats | FileCheck %s --check-prefix=SINGLE
// Every `real` gets a format; ints, bools and indices stay.

fil.dims {B, D = "4"}
// CHECK: fil.variable param trained @w : !fil.tensor<[D], f64>
// SINGLE: fil.variable param trained @w : !fil.tensor<[D], f32>
fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.0, 0.0> site "w" declared ["D"] loops []
// CHECK: fil.func @f(%{{.*}}: !fil.tensor<[B,D], f64>, %{{.*}}: !fil.tensor<[B], index<D>>) -> !fil.tensor<[], f64>
// CHECK: fil.read @w : <[D], f64>
// CHECK-NOT: real
// SINGLE-NOT: real
fil.func @f(%x: !fil.tensor<[B,D], real>, %i: !fil.tensor<[B], index<D>>) -> !fil.tensor<[], real> {
  %w = fil.read @w : <[D], real>
  %0 = fil.contract %x, %w over ["B", "D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[], real>
  fil.return %0 : !fil.tensor<[], real>
}
