// RUN: %fil-opt %s --fil-qat-keep-whole | FileCheck %s
// RUN: %fil-opt %s --fil-qat-keep-whole --mlir-print-op-generic > /dev/null

fil.dims {B, D = "32", F = "64", O = "7", L = "4", "l#0" = "4"}
// CHECK: fil.site "" [] consumed [#fil.consumed<#fil.whole<bits 4 acts 8 per channel> by "fil-qat-keep-whole">]
fil.site "" [#fil.whole<bits 4 acts 8 per channel>]
// Two numbers of four bits have a byte, along the left side.
// CHECK: fil.variable param map 1 @w : !fil.tensor<["D/2:bytes",F,"l#0"], i8> {{.*}} declared ["D/2:bytes", "F"] loops ["l#0"] {fil.bits = 4 : i64, fil.together = 2 : i64}
// CHECK: fil.variable param @"l[0..4].w.scale" : !fil.tensor<[F,"l#0"], real>
// CHECK: fil.variable param @"l[0..4].w.in_scale" : !fil.tensor<["l#0"], real>
fil.variable param map 1 @w : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].w" declared ["D", "F"] loops ["l#0"]

// The loop has the whole numbers, which are made reals where they are read.
// CHECK-LABEL: fil.func entry "run" @run
// CHECK: %[[N:.*]] = fil.read @w : <["D/2:bytes",F,"l#0"], i8>
// CHECK: fil.layers {{.*}} stacked({{.*}} = %[[N]]
// CHECK: %[[W:.*]] = fil.unpack %{{.*}} "D" from "D/2:bytes" bits 4 {{.*}}: (!fil.tensor<["D/2:bytes",F], i8>) -> !fil.tensor<[D,F], real>
// CHECK: %[[X:.*]] = fil.map round
// CHECK: %[[XB:.*]] = fil.quantize %[[X]] {{.*}}-> !fil.tensor<[B,D], i8>
// CHECK: %[[XS:.*]] = fil.dequantize %[[XB]]
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
// CHECK: %[[CUT:.*]] = fil.window %{{.*}} [#fil.window_dim<"D" by "D/2:bytes%" to "D/2:bytes" stride 2 before 0>]
// CHECK: fil.reduce sum %{{.*}} over ["D/2:bytes%"]
// CHECK: %[[Q:.*]] = fil.quantize %{{.*}} -> !fil.tensor<["D/2:bytes",F,"l#0"], i8>
// CHECK: fil.write @w, %[[Q]]
// CHECK: fil.write @"l[0..4].w.scale"
// CHECK: fil.write @"l[0..4].w.in_scale"
fil.func entry "init" @init(%seed: !fil.tensor<[], int>) -> () {
  %c = fil.constant 0.5 : <[], real>
  %w = fil.broadcast %c : (!fil.tensor<[], real>) -> !fil.tensor<[D,F,"l#0"], real>
  fil.write @w, %w : !fil.tensor<[D,F,"l#0"], real>
  fil.return
}

// Of eight bits each has one, and so has each along an odd length, or one that is not known.
// CHECK-LABEL: fil.func entry "eval" @eval
// CHECK: fil.dequantize %{{.*}} : (!fil.tensor<[D,F], i8>) -> !fil.tensor<[D,F], real>
// CHECK: fil.unpack %{{.*}} "D" from "D/4:bytes" bits 2
// CHECK: fil.dequantize %{{.*}} : (!fil.tensor<[D,O], i8>) -> !fil.tensor<[D,O], real>
fil.site "v" [#fil.whole<bits 8 acts 0 per channel>]
fil.site "u" [#fil.whole<bits 2 acts 0 per channel>]
fil.variable param map 1 @v : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "v" declared ["D", "F"] loops []
fil.variable param map 1 @u : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "u" declared ["D", "F"] loops []
fil.variable param map 1 @o : !fil.tensor<[D,O], real> init <normal, 0.0, 0.1> site "o" declared ["O", "D"] loops []
fil.func entry "eval" @eval(%x: !fil.tensor<[B,D], real>, %z: !fil.tensor<[B,O], real>) -> (!fil.tensor<[B,F], real>, !fil.tensor<[B,D], real>) {
  %v = fil.read @v : <[D,F], real>
  %u = fil.read @u : <[D,F], real>
  %o = fil.read @o : <[D,O], real>
  %1 = fil.contract %x, %v over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %2 = fil.contract %x, %u over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %3 = fil.map add(%1, %2) : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.contract %z, %o over ["O"] : (!fil.tensor<[B,O], real>, !fil.tensor<[D,O], real>) -> !fil.tensor<[B,D], real>
  fil.return %3, %4 : !fil.tensor<[B,F], real>, !fil.tensor<[B,D], real>
}
