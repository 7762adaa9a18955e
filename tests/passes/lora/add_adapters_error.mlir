// RUN: %fil-errors %s --fil-lora-add-adapters
// Several adapters where there is no product with rows of the batch.

module attributes {fil.adapters = [3, "B"]} {
  fil.dims {B, D = "6", F = "4"}
  // expected-error @+1 {{P0438: with several adapters `w` has no one weight, and here it is not a map of rows of `B`}}
  fil.site "w" [#fil.lora<rank 2 alpha 8.0 init gauss variant plain merge auto>]
  fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.5> site "w" declared ["D", "F"] loops [] optimizer @"optim#map"
  fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[D,F], real> {fil.name = "y"}) {
    %w = fil.read @w {site = "w"} : <[D,F], real>
    %0 = fil.map tanh(%w) : (!fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
    fil.return %0 : !fil.tensor<[D,F], real>
  }
  fil.func @"optim#map"() {
    fil.return
  }
}
