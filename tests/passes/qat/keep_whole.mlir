// RUN: %fil-opt %s --fil-qat-keep-whole | FileCheck %s
// RUN: %fil-opt %s --fil-qat-keep-whole --mlir-print-op-generic > /dev/null

fil.dims {B, D = "32", F = "64", L = "4", "l#0" = "4"}
// CHECK: fil.site "" [] consumed [#fil.consumed<#fil.whole<bits 4 acts 8 per channel> by "fil-qat-keep-whole">]
fil.site "" [#fil.whole<bits 4 acts 8 per channel>]
// CHECK: fil.variable param map 1 @w : !fil.tensor<[D,F,"l#0"], i8>
// CHECK: fil.variable param @"l[0..4].w.scale" : !fil.tensor<[F,"l#0"], real>
// CHECK: fil.variable param @"l[0..4].w.in_scale" : !fil.tensor<["l#0"], real>
fil.variable param map 1 @w : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].w" declared ["D", "F"] loops ["l#0"]

// The loop has the whole numbers, which are made reals where they are read.
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[N:.*]] = fil.read @w : <[D,F,"l#0"], i8>
// CHECK: fil.layers {{.*}} stacked({{.*}} = %[[N]]
// CHECK: %[[W:.*]] = fil.dequantize %{{.*}} : (!fil.tensor<[D,F], i8>) -> !fil.tensor<[D,F], real>
// CHECK: %[[X:.*]] = fil.map round
// CHECK: %[[XS:.*]] = fil.map select(%{{.*}}, %[[X]], %{{.*}})
// CHECK: %[[Y:.*]] = fil.contract %[[XS]], %[[W]] over ["D"]
// CHECK: fil.map mul(%[[Y]],
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) {
  %w = fil.read @w : <[D,F,"l#0"], real>
  %y = fil.layers %turn = l 0 to 4 dim "l#0" carried(%c = %x) stacked(%g = %w) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> () {
    %1 = fil.contract %c, %g over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %2 = fil.reduce sum %1 over ["F"] : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B], real>
    %3 = fil.map add(%c, %2) : (!fil.tensor<[B,D], real>, !fil.tensor<[B], real>) -> !fil.tensor<[B,D], real>
    fil.yield %3 : !fil.tensor<[B,D], real>
  }
  fil.return %y : !fil.tensor<[B,D], real>
}
// CHECK-LABEL: fil.func entry "init" @init
// CHECK: %[[MOST:.*]] = fil.reduce max %{{.*}} over ["D"]
// CHECK: %[[Q:.*]] = fil.quantize %{{.*}} -> !fil.tensor<[D,F,"l#0"], i8>
// CHECK: fil.write @w, %[[Q]]
// CHECK: fil.write @"l[0..4].w.scale"
// CHECK: fil.write @"l[0..4].w.in_scale"
fil.func entry "init" @init(%seed: !fil.tensor<[], int>) -> () {
  %c = fil.constant 0.5 : <[], real>
  %w = fil.broadcast %c : (!fil.tensor<[], real>) -> !fil.tensor<[D,F,"l#0"], real>
  fil.write @w, %w : !fil.tensor<[D,F,"l#0"], real>
  fil.return
}
