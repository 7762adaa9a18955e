// RUN: %fil-opt %s --fil-precision-narrow-saved="format=e4m3" | FileCheck %s
// RUN: %fil-opt %s --fil-precision-narrow-saved="format=bf16" | FileCheck %s --check-prefix=HALF
// RUN: %fil-opt %s --fil-precision-narrow-saved="format=e5m2" 2>&1 | FileCheck %s --check-prefix=FIVE
// What turns save is rounded where it is saved and made wide where the reverse reads it, in 8 bits with scales of 128 neighbours; a value of 16 bits becomes one of 8. Choices, what the
// program reads too, and what is small stay as they are.
// CHECK: fil.saved = [
// CHECK-SAME: again = false, entry = "step", scales = !fil.tensor<[B,"F/128"], real>, site = "l", turns = 2 : i64, type = !fil.tensor<[B,F], f8E4M3FN>, what = "map tanh", why = "kept, in e4m3"
// CHECK-SAME: again = true, entry = "step", site = "l", turns = 2 : i64, type = !fil.tensor<[B,F], real>, what = "map tanh"
// CHECK-LABEL: fil.func entry "step"
// CHECK: %[[F:[0-9]+]]:7 = fil.layers
// CHECK: %[[Y:[0-9]+]] = fil.map tanh
// CHECK: fil.window %{{.*}} [#fil.window_dim<"F" by "F%128" to "F/128" stride 128 before 0>]
// CHECK: %[[S:[0-9]+]] = fil.map pow2ceil(%{{.*}}) {{.*}} -> !fil.tensor<[B,"F/128"], real>
// CHECK: %[[Q:[0-9]+]] = fil.quantize %[[Y]] scale %[[S]] tiles ["F", "F/128"] [128] {{.*}} -> !fil.tensor<[B,F], f8E4M3FN>
// CHECK: %[[H:[0-9]+]] = fil.quantize %{{.*}} -> !fil.tensor<[B,F], bf16>
// CHECK: %[[WIDE:[0-9]+]] = fil.dequantize %[[H]]
// CHECK: %[[QH:[0-9]+]] = fil.quantize %[[WIDE]] scale %[[SH:[0-9]+]]
// CHECK: fil.yield %{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}}, %[[Q]], %[[S]], %[[QH]], %[[SH]] :
// CHECK: reverse {{.*}} stacked(%{{.*}} = %[[F]]#1, %{{.*}} = %[[F]]#2, %[[N:[a-z0-9]+]] = %[[F]]#3, %[[NS:[a-z0-9]+]] = %[[F]]#4, %[[M:[a-z0-9]+]] = %[[F]]#5, %[[MS:[a-z0-9]+]] = %[[F]]#6)
// CHECK-DAG: fil.dequantize %[[N]] scale %[[NS]] tiles ["F", "F/128"] [128]
// CHECK-DAG: %[[W:[0-9]+]] = fil.dequantize %[[M]] scale %[[MS]]
// CHECK-NOT: fil.dequantize
// CHECK: fil.map mul(%{{.*}}, %[[W]])
// HALF-LABEL: fil.func entry "step"
// HALF: %[[F:[0-9]+]]:5 = fil.layers
// HALF: %[[Q:[0-9]+]] = fil.quantize %{{.*}} -> !fil.tensor<[B,F], bf16>
// HALF: %[[H:[0-9]+]] = fil.quantize %{{.*}} -> !fil.tensor<[B,F], bf16>
// HALF: fil.yield %{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}}, %[[H]], %[[Q]] :
// FIVE: !fil.tensor<[B,F], f8E5M2>
// FIVE-NOT: warning
module attributes {fil.saved = [
  {again = false, entry = "step", site = "l", turns = 2 : i64, type = !fil.tensor<[B,F], real>, what = "map tanh", why = "kept"},
  {again = true, entry = "step", site = "l", turns = 2 : i64, type = !fil.tensor<[B,F], real>, what = "map tanh", why = "cheap"}]} {
fil.dims {B, F = "256", L = "2"}
fil.func entry "step" @step(%x: !fil.tensor<[B,F], real> {fil.name = "x"}) -> (!fil.tensor<[B,F], real> {fil.name = "g"}, !fil.tensor<[B,F,L], real> {fil.name = "e"}) {
  %0:5 = fil.layers %t = l 0 to 2 dim "L" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,F], real>) -> (!fil.tensor<[B,F], real>, !fil.tensor<[B,L], real>, !fil.tensor<[B,F,L], real>, !fil.tensor<[B,F,L], real>, !fil.tensor<[B,F,L], bf16>) body (!fil.tensor<[], int>, !fil.tensor<[B,F], real>) -> () {
    %y = fil.map tanh(%h) {site = "l"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %s = fil.reduce sum %y over ["F"] {site = "l"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B], real>
    %e = fil.map exp(%h) {site = "l"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %q = fil.quantize %y {site = "l"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], bf16>
    %d = fil.dequantize %q {site = "l"} : (!fil.tensor<[B,F], bf16>) -> !fil.tensor<[B,F], real>
    %n = fil.map add(%h, %d) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    fil.yield %n, %s, %e, %y, %q : !fil.tensor<[B,F], real>, !fil.tensor<[B], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], bf16>
  } {site = "l"}
  %1 = fil.layers %t = l 0 to 2 dim "L" reverse carried(%g = %0#0) stacked(%s = %0#1, %e = %0#2, %y = %0#3, %q = %0#4) shared() : (!fil.tensor<[B,F], real>, !fil.tensor<[B,L], real>, !fil.tensor<[B,F,L], real>, !fil.tensor<[B,F,L], real>, !fil.tensor<[B,F,L], bf16>) -> !fil.tensor<[B,F], real> body (!fil.tensor<[], int>, !fil.tensor<[B,F], real>, !fil.tensor<[B], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], bf16>) -> () {
    %d = fil.dequantize %q {site = "l"} : (!fil.tensor<[B,F], bf16>) -> !fil.tensor<[B,F], real>
    %a = fil.map mul(%g, %d) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %b = fil.map mul(%a, %y) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %c = fil.map mul(%b, %e) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %f = fil.map mul(%c, %s) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,F], real>
    fil.yield %f : !fil.tensor<[B,F], real>
  } {site = "l"}
  fil.return %1, %0#2 : !fil.tensor<[B,F], real>, !fil.tensor<[B,F,L], real>
}
// Random numbers stay: what is drawn by them is drawn alike for the gradient.
// CHECK-LABEL: fil.func @drawn
// CHECK: %[[U:[0-9]+]] = fil.random
// CHECK-NOT: fil.quantize %[[U]]
// CHECK: fil.yield %{{[0-9]+}}, %[[U]], %{{[0-9]+}}, %{{[0-9]+}} :
fil.func @drawn(%x: !fil.tensor<[B,F], real>, %seed: !fil.tensor<[], int>, %step: !fil.tensor<[], int>) -> !fil.tensor<[B,F], real> {
  %0:3 = fil.layers %t = l 0 to 2 dim "L" carried(%h = %x) stacked() shared(%a = %seed, %b = %step) : (!fil.tensor<[B,F], real>, !fil.tensor<[], int>, !fil.tensor<[], int>) -> (!fil.tensor<[B,F], real>, !fil.tensor<[B,F,L], real>, !fil.tensor<[B,F,L], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,F], real>, !fil.tensor<[], int>, !fil.tensor<[], int>) -> () {
    %u = fil.random "l[0..2].drop" seed %a step %b turns (%t) {site = "l"} : (!fil.tensor<[], int>, !fil.tensor<[], int>, !fil.tensor<[], int>) -> !fil.tensor<[B,F], real>
    %y = fil.map mul(%h, %u) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    fil.yield %y, %u, %y : !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>
  } {site = "l"}
  %1 = fil.layers %t = l 0 to 2 dim "L" reverse carried(%g = %0#0) stacked(%u = %0#1, %y = %0#2) shared() : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F,L], real>, !fil.tensor<[B,F,L], real>) -> !fil.tensor<[B,F], real> body (!fil.tensor<[], int>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> () {
    %a = fil.map mul(%g, %u) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %b = fil.map mul(%a, %y) {site = "l"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    fil.yield %b : !fil.tensor<[B,F], real>
  } {site = "l"}
  fil.return %1 : !fil.tensor<[B,F], real>
}
}
