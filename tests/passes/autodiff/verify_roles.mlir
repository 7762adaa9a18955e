// RUN: %fil-opt %s --fil-autodiff-verify-roles | FileCheck %s
// Forward, then dgrad, then wgrad, then update: each may use what comes before it.

fil.dims {B}
// CHECK-LABEL: fil.func @step
fil.func @step(%x: !fil.tensor<[B], real>) -> !fil.tensor<[B], real> {
  %0 = fil.map tanh(%x) {role = 1 : i32} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %1 = fil.map neg(%0) : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %2 = fil.map mul(%1, %0) {role = 2 : i32} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %3 = fil.map mul(%2, %0) {role = 3 : i32} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  // CHECK: fil.map add({{.*}}) {role = 4 : i32}
  %4 = fil.map add(%3, %x) {role = 4 : i32} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  fil.return %4 : !fil.tensor<[B], real>
}
