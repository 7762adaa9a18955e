// RUN: %fil-errors %s --fil-sparsity-add-gates

fil.dims {B, D = "32", F = "64"}
// expected-error @+1 {{P0446: nothing is gated: no other map sums what `w` gives}}
fil.site "w" [#fil.gate<keep 0.5 rank 4 granule 16 hysteresis 0.0>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "w" declared ["D", "F"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,F], real>) {
  %w = fil.read @w : <[D,F], real>
  %1 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return %1 : !fil.tensor<[B,F], real>
}

// -----
fil.dims {B, D = "32", F = "64"}
// expected-error @+1 {{P0447: `w` and `v` make the same neurons, and the plan does not gate them alike}}
fil.site "w" [#fil.gate<keep 0.5 rank 4 granule 16 hysteresis 0.0>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "w" declared ["D", "F"] loops []
fil.variable param trained map 1 @v : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "v" declared ["D", "F"] loops []
fil.variable param trained map 1 @u : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "u" declared ["F", "D"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) {
  %w = fil.read @w : <[D,F], real>
  %v = fil.read @v : <[D,F], real>
  %u = fil.read @u : <[D,F], real>
  %1 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %2 = fil.contract %x, %v over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %3 = fil.map add(%1, %2) : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.contract %3, %u over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
  fil.return %4 : !fil.tensor<[B,D], real>
}

// -----
fil.dims {B, D = "32", F = "64"}
// expected-error @+1 {{P0448: granules of 24 do not divide `F`, which is 64}}
fil.site "w" [#fil.gate<keep 0.5 rank 4 granule 24 hysteresis 0.0>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "w" declared ["D", "F"] loops []
fil.variable param trained map 1 @u : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "u" declared ["F", "D"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) {
  %w = fil.read @w : <[D,F], real>
  %u = fil.read @u : <[D,F], real>
  %1 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.contract %1, %u over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
  fil.return %4 : !fil.tensor<[B,D], real>
}

// -----
fil.dims {B, D = "32", F = "64"}
// expected-error @+1 {{P0457: `w` gives no channels of samples: its values have no dim `N`, which counts samples unless `batch` names another}}
fil.site "w" [#fil.gate<keep 0.5 rank 0 granule 16 hysteresis 0.0 samples "N">]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "w" declared ["D", "F"] loops []
fil.variable param trained map 1 @u : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "u" declared ["F", "D"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) {
  %w = fil.read @w : <[D,F], real>
  %u = fil.read @u : <[D,F], real>
  %1 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.contract %1, %u over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
  fil.return %4 : !fil.tensor<[B,D], real>
}

// -----
fil.dims {B, Y, F = "64", k = "3"}
// expected-error @+1 {{P0457: `w` reads no channels: it is over windows alone, so there is nothing to squeeze}}
fil.site "w" [#fil.gate<keep 0.5 rank 0 granule 16 hysteresis 0.0 samples "B">]
fil.variable param trained map 1 @w : !fil.tensor<[F,k], real> init <normal, 0.0, 0.1> site "w" declared ["k", "F"] loops []
fil.variable param trained map 1 @u : !fil.tensor<[F], real> init <normal, 0.0, 0.1> site "u" declared ["F"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,Y], real>) -> (!fil.tensor<[B,Y], real>) {
  %w = fil.read @w : <[F,k], real>
  %u = fil.read @u : <[F], real>
  %0 = fil.window %x [#fil.window_dim<"Y" by "k" to "Y" stride 1 before 1>] : (!fil.tensor<[B,Y], real>) -> !fil.tensor<[B,Y,k], real>
  %1 = fil.contract %0, %w over ["k"] : (!fil.tensor<[B,Y,k], real>, !fil.tensor<[F,k], real>) -> !fil.tensor<[B,Y,F], real>
  %4 = fil.contract %1, %u over ["F"] : (!fil.tensor<[B,Y,F], real>, !fil.tensor<[F], real>) -> !fil.tensor<[B,Y], real>
  fil.return %4 : !fil.tensor<[B,Y], real>
}
