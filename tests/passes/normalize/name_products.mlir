// RUN: %fil-opt %s --fil-normalize-name-products | FileCheck %s
// The product of a map is of the param's site, also through a rename; that of two activations stays of the block.
// CHECK-LABEL: fil.func entry "run"
// CHECK: fil.contract {{.*}}site = "Block.w"
// CHECK: fil.contract {{.*}}site = "Block.w"
// CHECK: fil.contract {{.*}}site = "Block"}
fil.dims {B, D = "5", F = "7", G = "F"}
fil.variable param trained map 1 @"Block.w" : !fil.tensor<[D,F], real> init <normal, 0.0, 1.0> site "Block.w" declared ["D", "F"] loops []
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}) -> (!fil.tensor<[B], real> {fil.name = "y"}) {
  %w = fil.read @"Block.w" {site = "Block.w"} : <[D,F], real>
  %a = fil.contract %x, %w over ["D"] {site = "Block"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  %r = fil.rename %w "F" to "G" {site = "Block"} : (!fil.tensor<[D,F], real>) -> !fil.tensor<[D,G], real>
  %b = fil.contract %x, %r over ["D"] {site = "Block"} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,G], real>) -> !fil.tensor<[B,G], real>
  %c = fil.rename %b "G" to "F" {site = "Block"} : (!fil.tensor<[B,G], real>) -> !fil.tensor<[B,F], real>
  %d = fil.contract %a, %c over ["F"] {site = "Block"} : (!fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B], real>
  fil.return %d : !fil.tensor<[B], real>
}
