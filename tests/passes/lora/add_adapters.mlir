// RUN: %fil-opt %s --fil-lora-add-adapters | FileCheck %s
// Two products beside the one that the weight has, in a loop as outside; a sum where there is no product; nothing else is trained.

fil.dims {B, V = "9", D = "6", F = "4", "l#0" = "3"}
// CHECK: fil.dims {B, V = "9", D = "6", F = "4", "l#0" = "3", rank2 = "2"}
// CHECK: fil.site "l[0..3].w" [] consumed [#fil.consumed<#fil.lora<rank 2 alpha 8.000000e+00 init gauss variant plain merge auto> by "fil-lora-add-adapters">]
fil.site "l[0..3].w" [#fil.lora<rank 2 alpha 8.0 init gauss variant plain merge auto>]
fil.site "emb" [#fil.lora<rank 2 alpha 0.0 init zero variant plain merge never>]

// CHECK: fil.variable param map 1 @"l[0..3].w"
// CHECK: fil.variable param trained adapter 4.000000e+00 map 1 @"l[0..3].w.lora_A" : !fil.tensor<[D,"l#0",rank2], real> init <normal, 0.000000e+00, 0.408{{[0-9]+}}> site "l[0..3].w.lora_A" declared ["D", "rank2"] loops ["l#0"] optimizer @"optim#map"
// CHECK: fil.variable param trained adapter 4.000000e+00 map 1 @"l[0..3].w.lora_B" : !fil.tensor<[F,"l#0",rank2], real> init <constant, 0.000000e+00, 0.000000e+00> site "l[0..3].w.lora_B" declared ["rank2", "F"] loops ["l#0"] optimizer @"optim#map"
fil.variable param trained map 1 @"l[0..3].w" : !fil.tensor<[D,F,"l#0"], real> init <normal, 0.0, 0.5> site "l[0..3].w" declared ["D", "F"] loops ["l#0"] optimizer @"optim#map"
// CHECK: fil.variable param @bias
fil.variable param trained @bias : !fil.tensor<[F], real> init <constant, 0.0, 0.0> site "bias" declared ["F"] loops [] optimizer @"optim#plain"
// CHECK: fil.variable param trained adapter 1.000000e+00 map 1 @emb.lora_A : !fil.tensor<[V,rank2], real> init <constant
// CHECK: fil.variable param trained adapter 1.000000e+00 map 1 @emb.lora_B : !fil.tensor<[D,rank2], real> init <normal, 0.000000e+00, 0.707{{[0-9]+}}>
fil.variable param trained map 1 @emb : !fil.tensor<[V,D], real> init <normal, 0.0, 0.5> site "emb" declared ["V", "D"] loops [] optimizer @"optim#map"

// The embedding is gathered: so are the rows of its A. Read as a tensor, it is the sum.
// CHECK-LABEL: fil.func entry "eval"
// CHECK-DAG: %[[EMB:.*]] = fil.read @emb {site = "emb"}
// CHECK-DAG: %[[EA:.*]] = fil.read @emb.lora_A
// CHECK-DAG: %[[EB:.*]] = fil.read @emb.lora_B
// CHECK: %[[PRODUCT:.*]] = fil.contract %[[EA]], %[[EB]] over ["rank2"]
// CHECK: %[[SUM:.*]] = fil.map add(%[[EMB]],
// CHECK-DAG: %[[W:.*]] = fil.read @"l[0..3].w" {site
// CHECK-DAG: %[[A:.*]] = fil.read @"l[0..3].w.lora_A"
// CHECK-DAG: %[[B:.*]] = fil.read @"l[0..3].w.lora_B"
// CHECK: %[[H:.*]] = fil.gather %[[EMB]] at
// CHECK: %[[ROWS:.*]] = fil.gather %[[EA]] at
// CHECK: %[[PART:.*]] = fil.contract %{{.*}}, %[[EB]] over ["rank2"]
// CHECK: %[[X:.*]] = fil.map add(%[[H]], %[[PART]])
// CHECK: fil.map tanh(%[[SUM]])
// CHECK: fil.layers {{.*}} carried(%[[C:.*]] = %[[X]]) stacked(%[[TW:[a-z0-9]+]] = %[[W]], %[[TA:[a-z0-9]+]] = %[[A]], %[[TB:[a-z0-9]+]] = %[[B]])
// CHECK: %[[Y:.*]] = fil.contract %[[C]], %[[TW]] over ["D"]
// CHECK: %[[INNER:.*]] = fil.contract %[[C]], %[[TA]] over ["D"] {site = "l[0..3].w.lora_A"}
// CHECK: %[[SCALE:.*]] = fil.constant 4.000000e+00
// CHECK: %[[SCALED:.*]] = fil.map mul(%[[INNER]], %[[SCALE]])
// CHECK: %[[MORE:.*]] = fil.contract %[[SCALED]], %[[TB]] over ["rank2"]
// CHECK: %[[ALL:.*]] = fil.map add(%[[Y]], %[[MORE]])
// CHECK: fil.contract %[[ALL]], %[[TW]] over ["F"]
// CHECK: fil.contract %[[ALL]], %[[TB]] over ["F"]
// CHECK: fil.contract %{{.*}}, %[[TA]] over ["rank2"]
fil.func entry "eval" @eval(%tok: !fil.tensor<[B], index<V>> {fil.name = "tok"}) -> (!fil.tensor<[B,D], real> {fil.name = "y"}, !fil.tensor<[V,D], real> {fil.name = "z"}) {
  %emb = fil.read @emb {site = "emb"} : <[V,D], real>
  %w = fil.read @"l[0..3].w" {site = "l[0..3].w"} : <[D,F,"l#0"], real>
  %h = fil.gather %emb at %tok in "V" : (!fil.tensor<[V,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B,D], real>
  %z = fil.map tanh(%emb) : (!fil.tensor<[V,D], real>) -> !fil.tensor<[V,D], real>
  %y = fil.layers %turn = l 0 to 3 dim "l#0" carried(%c = %h) stacked(%tw = %w) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> () {
    %0 = fil.contract %c, %tw over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
    %1 = fil.contract %0, %tw over ["F"] : (!fil.tensor<[B,F], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D], real>
    fil.yield %1 : !fil.tensor<[B,D], real>
  } {site = "l[0..3]"}
  fil.return %y, %z : !fil.tensor<[B,D], real>, !fil.tensor<[V,D], real>
}

// Where nothing is trained there is one weight, unless the facet says never.
// CHECK-LABEL: fil.func entry "run"
// CHECK: %[[W:.*]] = fil.read @"l[0..3].w" {site
// CHECK: %[[A:.*]] = fil.read @"l[0..3].w.lora_A"
// CHECK: %[[B:.*]] = fil.read @"l[0..3].w.lora_B"
// CHECK: %[[AB:.*]] = fil.contract %[[A]], %[[B]] over ["rank2"]
// CHECK: %[[SCALED:.*]] = fil.map mul(%[[AB]],
// CHECK: %[[SUM:.*]] = fil.map add(%[[W]], %[[SCALED]])
// CHECK: fil.map tanh(%[[SUM]])
// CHECK: fil.gather %{{.*}} at
// CHECK: fil.gather %{{.*}} at
fil.func entry "run" @run(%tok: !fil.tensor<[B], index<V>> {fil.name = "tok"}) -> (!fil.tensor<[D,F,"l#0"], real> {fil.name = "y"}, !fil.tensor<[B,D], real> {fil.name = "z"}) {
  %w = fil.read @"l[0..3].w" {site = "l[0..3].w"} : <[D,F,"l#0"], real>
  %emb = fil.read @emb {site = "emb"} : <[V,D], real>
  %0 = fil.map tanh(%w) : (!fil.tensor<[D,F,"l#0"], real>) -> !fil.tensor<[D,F,"l#0"], real>
  %1 = fil.gather %emb at %tok in "V" : (!fil.tensor<[V,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B,D], real>
  fil.return %0, %1 : !fil.tensor<[D,F,"l#0"], real>, !fil.tensor<[B,D], real>
}
fil.func @"optim#map"() {
  fil.return
}
fil.func @"optim#plain"() {
  fil.return
}
