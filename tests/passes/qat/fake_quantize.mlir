// RUN: %fil-opt %s --fil-qat-fake-quantize | FileCheck %s
// RUN: %fil-opt %s --fil-qat-fake-quantize --mlir-print-op-generic > /dev/null

fil.dims {B, V = "9", D = "32", F = "64", L = "4", "l#0" = "4"}
// CHECK: fil.site "" [] consumed [#fil.consumed<#fil.qat<bits 4 acts 8 per channel steps 0 warm 2.500000e-01> by "fil-qat-fake-quantize">]
fil.site "" [#fil.qat<bits 4 acts 8 per channel steps 0 warm 0.25>]
// Of two lines the innermost holds.
fil.site "emb" [#fil.qat<bits 8 acts 0 per tensor steps 0 warm 0.0>]
fil.variable param trained map 1 @w : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.1> site "l[0..4].w" declared ["D", "F"] loops ["l#0"] optimizer @"optim#map"
// CHECK: fil.variable state @"l[0..4].w.qat_scale" : !fil.tensor<[F,"l#0"], real> init <constant, 0.000000e+00, 0.000000e+00> {{.*}} declared ["F"] loops ["l#0"]
// CHECK: fil.variable param trained @"l[0..4].w.qat_gain" : !fil.tensor<[F,"l#0"], real> {{.*}} optimizer @"optim#plain"
// CHECK: fil.variable state @"l[0..4].w.qat_in_scale" : !fil.tensor<["l#0"], real>
// CHECK: fil.variable param trained @"l[0..4].w.qat_in_gain" : !fil.tensor<["l#0"], real>
fil.variable param trained map 1 @emb : !fil.tensor<[V,D], real> init <normal, 0.0, 0.1> site "emb" declared ["V", "D"] loops [] optimizer @"optim#map"
// CHECK: fil.variable state @emb.qat_scale : !fil.tensor<[], real>
// CHECK-NOT: emb.qat_in
// No variables of a frozen map; none of an adapter.
fil.variable param map 1 @frozen : !fil.tensor<[D,F], real> init <normal, 0.0, 0.1> site "frozen" declared ["F", "D"] loops []
fil.variable param trained adapter 2.0 map 1 @a : !fil.tensor<[V,F], real> init <normal, 0.0, 0.1> site "w.lora_A" declared ["V", "F"] loops []
// CHECK-NOT: frozen.qat
// CHECK-NOT: lora_A.qat

// CHECK-LABEL: fil.func entry "train" @train
// CHECK-SAME: {fil.name = "progress"}
// The scale is found where the share of the run is over, and stays; the first values are 0, and -1 is "not yet".
// CHECK: %[[FIRST:.*]] = fil.read @"l[0..4].w.qat_scale"
// CHECK: %[[DUE:.*]] = fil.map ge(%{{.*}}, %{{.*}})
// CHECK: %[[HEAD:.*]] = fil.map select(%{{.*}}, %[[FIRST]], %{{.*}})
// CHECK: %[[FOUND:.*]] = fil.map select(%{{.*}}, %{{.*}}, %[[HEAD]])
// A table's rows are whole numbers times its scale.
// CHECK: %[[E:.*]] = fil.map round(%{{.*}}) {site = "emb"} : (!fil.tensor<[V,D], real>)
// CHECK: %[[ES:.*]] = fil.map mul(%{{.*}}, %{{.*}}) {site = "emb"} : (!fil.tensor<[V,D], real>, !fil.tensor<[], real>)
// CHECK: fil.gather %[[ES]]
// Of a product the scales of both sides come behind it; what the input's scale began with leaves the loop.
// CHECK: fil.layers
// CHECK: %[[W:.*]] = fil.map round(%{{.*}}) {site = "l[0..4].w"} : (!fil.tensor<[D,F], real>)
// CHECK: %[[WS:.*]] = fil.map select(%{{.*}}, %[[W]], %{{.*}})
// CHECK: %[[X:.*]] = fil.map round(%{{.*}}) {site = "l[0..4].w"} : (!fil.tensor<[B,D], real>)
// CHECK: %[[XS:.*]] = fil.map select(%{{.*}}, %[[X]], %{{.*}})
// CHECK: %[[Y:.*]] = fil.contract %[[XS]], %[[WS]] over ["D"]
// CHECK: %[[S:.*]] = fil.map mul(%[[Y]], %{{.*}}) {{.*}} : (!fil.tensor<[B,F], real>, !fil.tensor<[F], real>)
// What a map that is not trained is multiplied by has a scale for each row.
// CHECK: fil.reduce sum %{{.*}} over ["F"] {site = "frozen"} : (!fil.tensor<[B,F], real>) -> !fil.tensor<[B], real>
// CHECK: fil.contract %{{.*}}, %{{.*}} over ["F"]
// CHECK: fil.yield
// CHECK-DAG: fil.write @"l[0..4].w.qat_scale"
// CHECK-DAG: fil.write @"l[0..4].w.qat_in_scale"
fil.func entry "train" @train(%t: !fil.tensor<[B], index<V>> {fil.name = "t"}) -> (!fil.tensor<[B,D], real>) {
  %w = fil.read @w : <[D,F,"l#0"], real>
  %e = fil.read @emb : <[V,D], real>
  %f = fil.read @frozen : <[D,F], real>
  %x = fil.gather %e at %t in "V" : (!fil.tensor<[V,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B,D], real>
  %y = fil.layers %turn = l 0 to 4 dim "l#0" carried(%c = %x) stacked(%g = %w) shared(%d = %f) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>, !fil.tensor<[D,F], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>, !fil.tensor<[D,F], real>) -> () {
    %1 = fil.contract %c, %g over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %o = fil.contract %1, %d over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    fil.yield %o : !fil.tensor<[B,D], real>
  }
  fil.return %y : !fil.tensor<[B,D], real>
}

// What is left out in each row is seen between the product and its scale.
// CHECK-LABEL: fil.func entry "run" @run
// CHECK-NOT: progress
// CHECK: %[[P:.*]] = fil.contract
// CHECK-NEXT: %[[M:.*]] = fil.mask %[[P]] by
// CHECK-NEXT: fil.map mul(%[[M]], %{{.*}})
// CHECK-NOT: fil.write
fil.func entry "run" @run(%x: !fil.tensor<[B,F], real>, %m: !fil.tensor<[B,D], bool>) -> (!fil.tensor<[B,D], real>) {
  %f = fil.read @frozen : <[D,F], real>
  %1 = fil.contract %x, %f over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
  %2 = fil.mask %1 by %m granules [] kept [4, 32] chosen : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], bool>) -> !fil.tensor<[B,D], real>
  fil.return %2 : !fil.tensor<[B,D], real>
}
