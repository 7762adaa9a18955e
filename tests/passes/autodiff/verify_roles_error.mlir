// RUN: %fil-errors %s --fil-autodiff-verify-roles
// An op that uses a value of a later role.

fil.dims {B}
fil.func @dgrad_of_wgrad(%x: !fil.tensor<[B], real>) -> !fil.tensor<[B], real> {
  // expected-note @+1 {{which comes from here}}
  %0 = fil.map tanh(%x) {role = #fil.role<wgrad>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  // expected-error @+1 {{of role dgrad uses a value of role wgrad}}
  %1 = fil.map neg(%0) {role = #fil.role<dgrad>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  fil.return %1 : !fil.tensor<[B], real>
}

// -----
fil.dims {B}
fil.func @forward_of_dgrad(%x: !fil.tensor<[B], real>) -> !fil.tensor<[B], real> {
  // expected-note @+1 {{which comes from here}}
  %0 = fil.map tanh(%x) {role = #fil.role<dgrad>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  // expected-error @+1 {{of role saved uses a value of role dgrad}}
  %1 = fil.map neg(%0) {role = #fil.role<saved>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
  fil.return %1 : !fil.tensor<[B], real>
}

// -----
fil.dims {B, "l#0" = "2"}
fil.func @within_a_loop(%x: !fil.tensor<[B], real>) -> !fil.tensor<[B], real> {
  %0 = fil.layers %t = l 0 to 2 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real> body (!fil.tensor<[], int>, !fil.tensor<[B], real>) -> () {
    // expected-note @+1 {{which comes from here}}
    %1 = fil.map tanh(%h) {role = #fil.role<update>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
    // expected-error @+1 {{of role wgrad uses a value of role update}}
    %2 = fil.map neg(%1) {role = #fil.role<wgrad>} : (!fil.tensor<[B], real>) -> !fil.tensor<[B], real>
    fil.yield %2 : !fil.tensor<[B], real>
  }
  fil.return %0 : !fil.tensor<[B], real>
}
