// RUN: %fil-opt %s --fil-precision-round-operands --cse | FileCheck %s
// Products of the map `l[0..2].w` are in tiles of e4m3, the gradient of data in bf16, what it gives is bf16; all others are of the program's bf16.
// CHECK: fil.site "" [] consumed [#fil.consumed<#fil.format<bf16
// CHECK: fil.site "l[0..2].w" [] consumed
// CHECK-LABEL: fil.func entry "step"
// The map is rounded before its loop, for all turns: one scale for each 2 x 3 of it.
// CHECK: %[[W:.*]] = fil.read @"l[0..2].w"
// CHECK: %[[NARROW:.*]] = fil.quantize %[[W]] {{.*}}-> !fil.tensor<[D,F,L], bf16>
// CHECK: fil.window {{.*}}"F" by "F%3" to "F/3" stride 3 before 0>, #fil.window_dim<"D" by "D%2" to "D/2" stride 2 before 0>
// CHECK: fil.reduce max %{{.*}} over ["F%3", "D%2"]
// CHECK: fil.constant 0.0022321428571428
// CHECK: %[[SCALE:.*]] = fil.map pow2ceil
// CHECK: %[[MAP:.*]] = fil.quantize %[[W]] scale %[[SCALE]] tiles ["F", "F/3", "D", "D/2"] [3, 2] {{.*}}-> !fil.tensor<[D,F,L], f8E4M3FN>
// The forward loop: operands in e4m3; what the map gives is bf16 for all its readers, and so it is saved.
// CHECK: %[[LOOP:.*]]:3 = fil.layers {{.*}}%[[M:.*]] = %[[MAP]], %[[S:.*]] = %[[SCALE]]) shared()
// CHECK: fil.dequantize %[[M]] scale %[[S]] tiles ["F", "F/3", "D", "D/2"] [3, 2]
// CHECK: fil.window {{.*}}"D" by "D%3" to "D/3" stride 3
// CHECK: %[[X:.*]] = fil.dequantize %{{.*}} scale %{{.*}} tiles ["D", "D/3"] [3] {{.*}}f8E4M3FN>
// CHECK: %[[Y:.*]] = fil.contract %[[X]], %{{.*}} over ["D"]
// CHECK: %[[OUT:.*]] = fil.quantize %[[Y]] {{.*}}-> !fil.tensor<[B,F], bf16>
// CHECK: %[[WIDE:.*]] = fil.dequantize %[[OUT]]
// CHECK: fil.reduce sum %[[WIDE]]
// CHECK: fil.yield %{{.*}}, %{{.*}}, %[[OUT]]
// The gradient of data: bf16, without scales.
// CHECK: fil.layers {{.*}} reverse {{.*}}%[[SAVED:[a-z0-9]+]] = %[[LOOP]]#2, %{{.*}} = %[[NARROW]])
// CHECK: fil.dequantize %[[SAVED]]
// CHECK-NOT: scale
// CHECK: fil.contract {{.*}}dgrad
// CHECK: fil.return
fil.dims {B, D = "5", F = "7", L = "2"}
fil.site "" [#fil.format<bf16 dgrad bf16 wgrad f32 out bf16 activations [0, 0] weights [0, 0]>]
fil.site "l[0..2].w" [#fil.format<e4m3 dgrad bf16 wgrad f32 out bf16 activations [1, 3] weights [3, 2]>]
fil.variable param trained map 1 @"l[0..2].w" : !fil.tensor<[D,F,L], real> init <normal, 0.0, 1.0> site "l[0..2].w" declared ["D", "F"] loops ["L"]
fil.func entry "step" @step(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,D], real> {fil.name = "y"}, !fil.tensor<[B,D], real> {fil.name = "dx"}) {
  %w = fil.read @"l[0..2].w" {site = "l[0..2].w"} : <[D,F,L], real>
  %r:2 = fil.layers %t = l 0 to 2 dim "L" carried(%a = %x) stacked(%v = %w) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,L], real>) -> (!fil.tensor<[B,D], real>, !fil.tensor<[B,F,L], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> () {
    %y = fil.contract %a, %v over ["D"] {site = "l[0..2].w"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %s = fil.reduce sum %y over ["F"] {site = "l[0..2]"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B], real>
    %n = fil.map add(%a, %s) {site = "l[0..2]"} : (!fil.tensor<[B,D], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,D], real>
    fil.yield %n, %y : !fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>
  } {site = "l[0..2]"}
  %g = fil.layers %t = l 0 to 2 dim "L" reverse carried(%d = %x) stacked(%v = %w, %y = %r#1) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,L], real>, !fil.tensor<[B,F,L], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>, !fil.tensor<[B,F], real>) -> () {
    %e = fil.map mul(%y, %y) {role = #fil.role<dgrad>, site = "l[0..2]"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
    %b = fil.contract %e, %v over ["F"] {role = #fil.role<dgrad>, site = "l[0..2].w"} : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    %n = fil.map add(%d, %b) {role = #fil.role<dgrad>, site = "l[0..2]"} : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
    fil.yield %n : !fil.tensor<[B,D], real>
  } {site = "l[0..2]", role = #fil.role<dgrad>}
  fil.return %r#0, %g : !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>
}
// A gate's zeros are there before the rounding, and are seen behind it: products of few rows leave them out.
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[H:.*]] = fil.dequantize %{{.*}} tiles ["F", "F/3"] [3]
// CHECK: %[[Z:.*]] = fil.mask %[[H]] by %{{.*}} granules [] kept [3, 7] chosen zeros
// CHECK: fil.contract %[[Z]], %{{.*}} over ["F"]
fil.func entry "run" @run(%h: !fil.tensor<[B,F], real> {fil.name = "h"}, %c: !fil.tensor<[B,F], bool> {fil.name = "c"}) -> (!fil.tensor<[B,D,L], real> {fil.name = "y"}) {
  %w = fil.read @"l[0..2].w" {site = "l[0..2].w"} : <[D,F,L], real>
  %z = fil.mask %h by %c granules [] kept [3, 7] chosen zeros {site = "l[0..2].w"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], bool>) -> !fil.tensor<[B,F], real>
  %y = fil.contract %z, %w over ["F"] {site = "l[0..2].w"} : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F,L], real>) -> !fil.tensor<[B,D,L], real>
  fil.return %y : !fil.tensor<[B,D,L], real>
}
