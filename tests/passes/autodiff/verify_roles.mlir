// RUN: %fil-opt %s --fil-autodiff-verify-roles | FileCheck %s
// Forward, then dgrad, then wgrad, then update: each may use what comes before it.

fil.dims {B}
// CHECK-LABEL: fil.func @step
fil.func @step(%x: !fil.tensor<[B], real>) -> !fil.tensor<[B], real> {
  %0 = fil.map tanh(%x) {role = #fil.role<saved>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %1 = fil.map neg(%0) : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %2 = fil.map mul(%1, %0) {role = #fil.role<dgrad>} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  %3 = fil.map mul(%2, %0) {role = #fil.role<wgrad>} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  // CHECK: fil.map add({{.*}}) {role = #fil.role<update>}
  %4 = fil.map add(%3, %x) {role = #fil.role<update>} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  fil.return %4 : !fil.tensor<[B], real>
}
