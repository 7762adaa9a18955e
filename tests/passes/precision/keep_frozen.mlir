// RUN: %fil-opt %s --fil-precision-keep-frozen | FileCheck %s
// The frozen map that all readers round to bf16 is kept as bf16; one that is read as it is too, and one that a step writes, are not.
// CHECK: fil.variable param map 1 @w : !fil.tensor<[D,F], bf16>
// CHECK: fil.variable param map 1 @u : !fil.tensor<[D,F], real>
// CHECK: fil.variable param trained map 1 @t : !fil.tensor<[D,F], real>
// CHECK-LABEL: fil.func entry "run"
// CHECK: %[[W:.*]] = fil.read @w {{.*}}bf16>
// CHECK: fil.dequantize %[[W]]
// CHECK: %[[U:.*]] = fil.read @u
// CHECK: fil.quantize %[[U]]
// CHECK-LABEL: fil.func entry "init"
// CHECK: %[[Q:.*]] = fil.quantize
// CHECK: fil.write @w, %[[Q]]
fil.dims {B, D = "5", F = "7"}
fil.variable param map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 1.0> site "w" declared ["D", "F"] loops []
fil.variable param map 1 @u : !fil.tensor<[D,F], real> init <normal, 0.0, 1.0> site "u" declared ["D", "F"] loops []
fil.variable param trained map 1 @t : !fil.tensor<[D,F], real> init <normal, 0.0, 1.0> site "t" declared ["D", "F"] loops []
fil.func entry "run" @run() -> (!fil.tensor<[D,F], real> {fil.name = "y"}) {
  %w = fil.read @w {site = "w"} : <[D,F], real>
  %a = fil.quantize %w {site = "w"} : (!fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], bf16>
  %b = fil.dequantize %a {site = "w"} : (!fil.tensor<[D,F], bf16>) -> !fil.tensor<[D,F], real>
  %u = fil.read @u {site = "u"} : <[D,F], real>
  %c = fil.quantize %u {site = "u"} : (!fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], bf16>
  %d = fil.dequantize %c {site = "u"} : (!fil.tensor<[D,F], bf16>) -> !fil.tensor<[D,F], real>
  %t = fil.read @t {site = "t"} : <[D,F], real>
  %e = fil.quantize %t {site = "t"} : (!fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], bf16>
  %f = fil.dequantize %e {site = "t"} : (!fil.tensor<[D,F], bf16>) -> !fil.tensor<[D,F], real>
  %g = fil.map add(%b, %d) {site = ""} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %h = fil.map add(%g, %f) {site = ""} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %i = fil.map add(%h, %u) {site = ""} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  fil.return %i : !fil.tensor<[D,F], real>
}
fil.func entry "step" @step(%s: !fil.tensor<[D,F], real> {fil.name = "s"}) {
  fil.write @t, %s {role = #fil.role<update>, site = "t"} : <[D,F], real>
  fil.return
}
fil.func entry "init" @init(%s: !fil.tensor<[D,F], real> {fil.name = "s"}) {
  fil.write @w, %s {role = #fil.role<update>, site = "w"} : <[D,F], real>
  fil.write @u, %s {role = #fil.role<update>, site = "u"} : <[D,F], real>
  fil.write @t, %s {role = #fil.role<update>, site = "t"} : <[D,F], real>
  fil.return
}
