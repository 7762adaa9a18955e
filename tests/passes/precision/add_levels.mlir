// RUN: %fil-opt %s --fil-precision-add-levels | FileCheck %s
// Each trained param that is multiplied in a narrow format gets two states for each turn: not what is f32, an adapter, frozen, of whole numbers or not multiplied. `step` gets a copy.
// CHECK: fil.site "" [#fil.format<bf16 {{.*}}>] consumed [#fil.consumed<#fil.adapt<every 50> by "fil-precision-add-levels">]
// CHECK: fil.variable param trained map 1 @"l[0..2].w"
// CHECK-NEXT: fil.variable state @"l[0..2].w#level" : !fil.tensor<[L], int> init <constant, 0.000000e+00, 0.000000e+00> site "l[0..2].w#level" declared [] loops ["L"]
// CHECK-NEXT: fil.variable state @"l[0..2].w#steady" : !fil.tensor<[L], int>
// CHECK-NEXT: fil.variable param trained map 1 @u
// CHECK-NEXT: fil.variable param trained adapter {{.*}} map 1 @a
// CHECK-NEXT: fil.variable param map 1 @frozen
// CHECK-NEXT: fil.variable param trained map 1 @q
// CHECK-NEXT: fil.variable param trained map 1 @unread
// CHECK-NOT: fil.variable
// CHECK: fil.func entry "init" @init
// CHECK-DAG: fil.write @"l[0..2].w#level", %{{.*}} {role = #fil.role<update>
// CHECK-DAG: fil.write @"l[0..2].w#steady"
// CHECK: fil.func entry "observe" @observe(%{{.*}} {fil.name = "x"}) -> ({{.*}} {fil.name = "loss"})
// CHECK: fil.func entry "step" @step
fil.dims {B, D = "5", L = "2"}
fil.site "" [#fil.format<bf16 dgrad bf16 wgrad bf16 out bf16 activations [0, 0] weights [0, 0]>, #fil.adapt<every 50>]
fil.site "u" [#fil.format<f32 dgrad f32 wgrad f32 out f32 activations [0, 0] weights [0, 0]>]
fil.variable param trained map 1 @"l[0..2].w" : !fil.tensor<[D,L], real> init <normal, 0.0, 1.0> site "l[0..2].w" declared ["D"] loops ["L"]
fil.variable param trained map 1 @u : !fil.tensor<[D], real> init <normal, 0.0, 1.0> site "u" declared ["D"] loops []
fil.variable param trained adapter 2.0 map 1 @a : !fil.tensor<[D], real> init <normal, 0.0, 1.0> site "a" declared ["D"] loops []
fil.variable param map 1 @frozen : !fil.tensor<[D], real> init <normal, 0.0, 1.0> site "frozen" declared ["D"] loops []
fil.variable param trained map 1 @q : !fil.tensor<[D], real> init <normal, 0.0, 1.0> site "q" declared ["D"] loops [] {fil.qat_bits = 4}
fil.variable param trained map 1 @unread : !fil.tensor<[D], real> init <normal, 0.0, 1.0> site "unread" declared ["D"] loops []
fil.func entry "init" @init() -> () {
  fil.return
}
fil.func entry "step" @step(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B,L], real> {fil.name = "loss"}) {
  %w = fil.read @"l[0..2].w" {site = "l[0..2].w"} : <[D,L], real>
  %y = fil.contract %x, %w over ["D"] {site = "l[0..2].w"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,L], real>) -> !fil.tensor<[B,L], real>
  %u = fil.read @u {site = "u"} : <[D], real>
  %1 = fil.contract %x, %u over ["D"] {site = "u"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B], real>
  %a = fil.read @a {site = "a"} : <[D], real>
  %2 = fil.contract %x, %a over ["D"] {site = "a"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B], real>
  %f = fil.read @frozen {site = "frozen"} : <[D], real>
  %3 = fil.contract %x, %f over ["D"] {site = "frozen"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B], real>
  %q = fil.read @q {site = "q"} : <[D], real>
  %4 = fil.contract %x, %q over ["D"] {site = "q"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B], real>
  %5 = fil.map add(%y, %1) {site = "u"} : (!fil.tensor<[B,L], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,L], real>
  %6 = fil.map add(%5, %2) {site = "u"} : (!fil.tensor<[B,L], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,L], real>
  %7 = fil.map add(%6, %3) {site = "u"} : (!fil.tensor<[B,L], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,L], real>
  %8 = fil.map add(%7, %4) {site = "u"} : (!fil.tensor<[B,L], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,L], real>
  fil.return %8 : !fil.tensor<[B,L], real>
}
