// RUN: %fil-errors %s --fil-autodiff-differentiate
// What cannot be differentiated, and what nothing trains.

fil.dims {B, D = "4"}
fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.0, 0.0> site "w" declared ["D"] loops []
// expected-error @+1 {{has no output `loss` to differentiate}}
fil.func entry "train" @train(%x: !fil.tensor<[D], real> {fil.name = "x"}) -> (!fil.tensor<[D], real> {fil.name = "y"}) {
  fil.return %x : !fil.tensor<[D], real>
}

// -----
fil.dims {B, D = "4"}
// expected-warning @+1 {{nothing trains `w`: the loss does not depend on it}}
fil.variable param trained @w : !fil.tensor<[], real> init <constant, 1.0, 0.0> site "w" declared [] loops []
fil.func entry "train" @train(%x: !fil.tensor<[], real> {fil.name = "x"}) -> (!fil.tensor<[], real> {fil.name = "loss"}) {
  %w = fil.read @w : <[], real>
  %0 = fil.stopgrad %w : (!fil.tensor<[], real>) -> !fil.tensor<[], real>
  %1 = fil.map mul(%x, %0) : (!fil.tensor<[], real>, !fil.tensor<[], real>) -> !fil.tensor<[], real>
  fil.return %1 : !fil.tensor<[], real>
}

// -----
fil.dims {B, T, S}
fil.variable param trained @w : !fil.tensor<[], real> init <constant, 1.0, 0.0> site "w" declared [] loops []
fil.func entry "train" @train(%x: !fil.tensor<[T], real> {fil.name = "x"}, %past: !fil.tensor<[S], real> {fil.name = "past"}) -> (!fil.tensor<[], real> {fil.name = "loss"}) {
  %w = fil.read @w : <[], real>
  %0 = fil.map mul(%x, %w) : (!fil.tensor<[T], real>, !fil.tensor<[], real>) -> !fil.tensor<[T], real>
  // expected-error @+1 {{with a past belongs to decoding and has no gradient}}
  %1 = fil.cache %0 past %past "T" to "S" : (!fil.tensor<[T], real>, !fil.tensor<[S], real>) -> !fil.tensor<[S], real>
  %2 = fil.reduce sum %1 over ["S"] : (!fil.tensor<[S], real>) -> !fil.tensor<[], real>
  fil.return %2 : !fil.tensor<[], real>
}
