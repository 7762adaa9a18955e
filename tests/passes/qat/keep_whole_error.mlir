// RUN: %fil-errors %s --fil-qat-keep-whole

fil.dims {B, D = "32", F = "64"}
// expected-error @+1 {{P0453: `w` is trained, and the plan keeps it as whole numbers}}
fil.site "w" [#fil.whole<bits 8 acts 0 per tensor>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "w" declared ["D", "F"] loops []
fil.func entry "step" @step(%x: !fil.tensor<[D,F], real>) -> () {
  fil.write @w, %x : !fil.tensor<[D,F], real>
  fil.return
}
