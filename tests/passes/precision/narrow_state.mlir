// RUN: %fil-opt %s --fil-precision-narrow-state="master=split moments=bf16,m=e4m3" | FileCheck %s
// A trained param is two parts, its forward readers have the high one and the optimizer both; `m` has 8 bits and scales, `v` 16, rounded at random.
// CHECK: fil.variable param trained map 1 @w : !fil.tensor<[D,F], bf16>
// CHECK: fil.variable optimizer @"w#low" : !fil.tensor<[D,F], i16> {{.*}}site "w#low"
// CHECK: fil.variable optimizer @"w#m" : !fil.tensor<[D,F], f8E4M3FN>
// CHECK: fil.variable optimizer @"w#m.scale" : !fil.tensor<[D,"F/128"], real> {{.*}}declared ["D", "F/128"]
// CHECK: fil.variable optimizer @"w#v" : !fil.tensor<[D,F], bf16>
// A param that nothing trains is left alone.
// CHECK: fil.variable param @g : !fil.tensor<[F], real>
// CHECK-LABEL: fil.func entry "step"
// CHECK-SAME: %[[STEP:[a-z0-9]+]]: !fil.tensor<[], int> {fil.name = "step"}
// CHECK: %[[HIGH:.*]] = fil.read @w {{.*}}bf16>
// CHECK: %[[WIDE:.*]] = fil.dequantize %[[HIGH]]
// CHECK: %[[LOW:.*]] = fil.read @"w#low"
// CHECK: %[[WHOLE:.*]] = fil.join %[[HIGH]], %[[LOW]]
// CHECK: %[[M:.*]] = fil.read @"w#m"
// CHECK: %[[S:.*]] = fil.read @"w#m.scale"
// CHECK: fil.dequantize %[[M]] scale %[[S]] tiles ["F", "F/128"] [128]
// CHECK: fil.map mul(%{{.*}}, %[[WIDE]])
// CHECK: %[[NEXT:.*]] = fil.map sub(%[[WHOLE]]
// CHECK: fil.random "w#m.rounding" seed %{{.*}} step %[[STEP]]
// CHECK: %[[Q:.*]] = fil.quantize %{{.*}} scale %[[NEW:.*]] tiles ["F", "F/128"] [128] random
// CHECK: fil.write @"w#m.scale", %[[NEW]]
// CHECK: fil.write @"w#m", %[[Q]]
// CHECK: %[[REST:.*]] = fil.part low %[[NEXT]]
// CHECK: fil.write @"w#low", %[[REST]]
// CHECK: %[[PART:.*]] = fil.part %[[NEXT]]
// CHECK: fil.write @w, %[[PART]]
fil.dims {D = "5", F = "300"}
fil.variable param trained map 1 @w : !fil.tensor<[D,F], real> init <normal, 0.0, 1.0> site "w" declared ["D", "F"] loops []
fil.variable optimizer @"w#m" : !fil.tensor<[D,F], real> init <constant, 0.0, 0.0> site "w#m" declared ["D", "F"] loops []
fil.variable optimizer @"w#v" : !fil.tensor<[D,F], real> init <constant, 0.0, 0.0> site "w#v" declared ["D", "F"] loops []
fil.variable param @g : !fil.tensor<[F], real> init <constant, 1.0, 0.0> site "g" declared ["F"] loops []
fil.func entry "step" @step(%x: !fil.tensor<[D,F], real> {fil.name = "x"}, %t: !fil.tensor<[], int> {fil.name = "step"}) -> (!fil.tensor<[D,F], real> {fil.name = "y"}) {
  %w = fil.read @w {site = "w"} : <[D,F], real>
  %g = fil.read @g {site = "g"} : <[F], real>
  %m = fil.read @"w#m" {role = #fil.role<update>, site = "w#m"} : <[D,F], real>
  %v = fil.read @"w#v" {role = #fil.role<update>, site = "w#v"} : <[D,F], real>
  %y = fil.map mul(%x, %w) {site = ""} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %n = fil.map add(%m, %x) {role = #fil.role<update>, site = "w"} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %u = fil.map add(%v, %x) {role = #fil.role<update>, site = "w"} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  %d = fil.map sub(%w, %n) {role = #fil.role<update>, site = "w"} : (!fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[D,F], real>
  fil.write @"w#m", %n {role = #fil.role<update>, site = "w#m"} : <[D,F], real>
  fil.write @"w#v", %u {role = #fil.role<update>, site = "w#v"} : <[D,F], real>
  fil.write @w, %d {role = #fil.role<update>, site = "w"} : <[D,F], real>
  fil.return %y : !fil.tensor<[D,F], real>
}
