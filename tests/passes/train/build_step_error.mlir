// RUN: %fil-errors %s --fil-train-build-step
// A variable without an optimizer, one that is not there, and one that gives back what it did not take.

fil.dims {D = "4"}
// expected-error @+1 {{is trained, but has no optimizer}}
fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.0, 0.0> site "w" declared ["D"] loops []
fil.func entry "grad" @train(%x: !fil.tensor<[D], real> {fil.name = "x"}, %l: !fil.tensor<[], real> {fil.name = "l"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[D], real> {fil.grad = @w}) {
  fil.return %l, %x : !fil.tensor<[], real>, !fil.tensor<[D], real>
}

// -----
fil.dims {D = "4"}
// expected-error @+1 {{names no function: @adam}}
fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.0, 0.0> site "w" declared ["D"] loops [] optimizer @adam
fil.func entry "grad" @train(%x: !fil.tensor<[D], real> {fil.name = "x"}, %l: !fil.tensor<[], real> {fil.name = "l"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[D], real> {fil.grad = @w}) {
  fil.return %l, %x : !fil.tensor<[], real>, !fil.tensor<[D], real>
}

// -----
fil.dims {D = "4"}
fil.variable param trained @w : !fil.tensor<[D], real> init <constant, 1.0, 0.0> site "w" declared ["D"] loops [] optimizer @odd
fil.func entry "grad" @train(%x: !fil.tensor<[D], real> {fil.name = "x"}, %l: !fil.tensor<[], real> {fil.name = "l"}) -> (!fil.tensor<[], real> {fil.name = "loss"}, !fil.tensor<[D], real> {fil.grad = @w}) {
  fil.return %l, %x : !fil.tensor<[], real>, !fil.tensor<[D], real>
}
// expected-error @+1 {{returns `q`, which it does not take}}
fil.func @odd(%p: !fil.tensor<[D], real> {fil.name = "p"}) -> (!fil.tensor<[D], real> {fil.name = "q"}) {
  fil.return %p : !fil.tensor<[D], real>
}
