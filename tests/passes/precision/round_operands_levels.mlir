// RUN: %fil-opt %s --fil-precision-add-levels --fil-precision-round-operands --cse | FileCheck %s
// The level of a turn is brought into the loop beside the map, and chooses what the product reads; `observe` also tells what e4m3 and bf16 would do.
// CHECK: fil.func entry "observe" @observe
// CHECK-SAME: {fil.name = "y"}
// CHECK-SAME: !fil.tensor<[L], real> {fil.name = "l[0..2].w#out_snr.0.e4m3"}, !fil.tensor<[L], real> {fil.name = "l[0..2].w#snr.0.e4m3"}, !fil.tensor<[L], real> {fil.name = "l[0..2].w#underflow.0.e4m3"}, !fil.tensor<[L], real> {fil.name = "l[0..2].w#sat.0.e4m3"}
// CHECK-SAME: {fil.name = "l[0..2].w#out_snr.0.bf16"}
// CHECK-SAME: {fil.name = "l[0..2].w#amax.0.e4m3"}, !fil.tensor<[], real> {fil.name = "#ops"}, !fil.tensor<[], real> {fil.name = "l[0..2].w#ops"})
// CHECK: %[[LEVEL:.*]] = fil.read @"l[0..2].w#level"
// CHECK: fil.layers {{.*}} stacked({{.*}}%[[NOW:[a-z0-9]+]] = %[[LEVEL]]
// The product that the step goes on with.
// CHECK: %[[FIRST:.*]] = fil.map lt(%[[NOW]], %{{.*}})
// CHECK: %[[SECOND:.*]] = fil.map lt(%[[NOW]], %{{.*}})
// CHECK: fil.map select(%[[SECOND]], %{{.*}}, %{{.*}})
// CHECK: fil.map select(%[[FIRST]], %{{.*}}, %{{.*}})
// CHECK: fil.contract
// As it is, and as both formats would have it.
// CHECK-COUNT-3: fil.contract
// CHECK-NOT: fil.contract
// CHECK: fil.yield
// CHECK: fil.size "40*B"
// CHECK: fil.func entry "step" @step({{.*}}) -> (!fil.tensor<[B], real> {fil.name = "y"}) {
// CHECK-COUNT-1: fil.contract
// CHECK-NOT: fil.contract
fil.dims {B, D = "5", F = "2", L = "2"}
fil.site "" [#fil.format<e4m3 dgrad e5m2 wgrad e4m3 out f32 activations [1, 0] weights [0, 0]>, #fil.adapt<every 50>]
fil.variable param trained map 1 @"l[0..2].w" : !fil.tensor<[D,F,L], real> init <normal, 0.0, 1.0> site "l[0..2].w" declared ["D", "F"] loops ["L"]
fil.func entry "step" @step(%x: !fil.tensor<[B,D], real> {fil.name = "x"}, %s: !fil.tensor<[B], real> {fil.name = "s"}) -> (!fil.tensor<[B], real> {fil.name = "y"}) {
  %w = fil.read @"l[0..2].w" {site = "l[0..2].w"} : <[D,F,L], real>
  %r = fil.layers %t = l 0 to 2 dim "L" carried(%a = %s) stacked(%v = %w) shared(%z = %x) : (!fil.tensor<[B], real>, !fil.tensor<[D,F,L], real>, !fil.tensor<[B,D], real>) -> (!fil.tensor<[B], real>) body (!fil.tensor<[], int>, !fil.tensor<[B], real>, !fil.tensor<[D,F], real>, !fil.tensor<[B,D], real>) -> () {
    %y = fil.contract %z, %v over ["D"] {site = "l[0..2].w"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %s1 = fil.reduce sum %y over ["F"] {site = "l[0..2]"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B], real>
    %n = fil.map add(%a, %s1) {site = "l[0..2]"} : (!fil.tensor<[B], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B], real>
    fil.yield %n : !fil.tensor<[B], real>
  } {site = "l[0..2]"}
  fil.return %r : !fil.tensor<[B], real>
}
