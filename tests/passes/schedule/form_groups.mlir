// RUN: %fil-opt %s --fil-schedule-form-groups | FileCheck %s
// A row's maps and reductions are one group; a contraction begins one of its own and what follows elementwise is its epilogue.

fil.dims {B, Y, D = "64", F = "48", k = "3", "D/16" = "4", "F/16" = "3", "F/4" = "12", one = "1"}

// CHECK-LABEL: fil.func @softmax
// CHECK-NEXT: fil.group
// CHECK: fil.reduce max
// CHECK: fil.reduce sum
// CHECK: fil.map div
// CHECK-NOT: fil.group
// CHECK: fil.return
fil.func @softmax(%x: !fil.tensor<[B,D], f64>) -> !fil.tensor<[B,D], f64> {
  %0 = fil.reduce max %x over ["D"] : (!fil.tensor<[B,D], f64>) -> !fil.tensor<[B], f64>
  %1 = fil.map sub(%x, %0) : (!fil.tensor<[B,D], f64>, !fil.tensor<[B], f64>) -> !fil.tensor<[B,D], f64>
  %2 = fil.map exp(%1) : (!fil.tensor<[B,D], f64>) -> !fil.tensor<[B,D], f64>
  %3 = fil.reduce sum %2 over ["D"] : (!fil.tensor<[B,D], f64>) -> !fil.tensor<[B], f64>
  %4 = fil.map div(%2, %3) : (!fil.tensor<[B,D], f64>, !fil.tensor<[B], f64>) -> !fil.tensor<[B,D], f64>
  fil.return %4 : !fil.tensor<[B,D], f64>
}

// CHECK-LABEL: fil.func @epilogue
// CHECK-NEXT: fil.group
// CHECK: fil.contract {{.*}}fil.tiled
// CHECK: fil.map tanh
// CHECK-NOT: fil.group
// CHECK: fil.return
fil.func @epilogue(%x: !fil.tensor<[B,D], f64>, %w: !fil.tensor<[D,F], f64>, %b: !fil.tensor<[F], f64>) -> !fil.tensor<[B,F], f64> {
  %0 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[D,F], f64>) -> !fil.tensor<[B,F], f64>
  %1 = fil.map add(%0, %b) : (!fil.tensor<[B,F], f64>, !fil.tensor<[F], f64>) -> !fil.tensor<[B,F], f64>
  %2 = fil.map tanh(%1) : (!fil.tensor<[B,F], f64>) -> !fil.tensor<[B,F], f64>
  fil.return %2 : !fil.tensor<[B,F], f64>
}

// What only shares rows with an epilogue that reads it is computed there; not where a reader stands between.
// CHECK-LABEL: fil.func @shared
// CHECK-NEXT: fil.group
// CHECK: fil.map exp
// CHECK: fil.contract {{.*}}fil.tiled
// CHECK-NOT: fil.group
// CHECK: fil.return
fil.func @shared(%x: !fil.tensor<[B,D], f64>, %w: !fil.tensor<[D,F], f64>, %g: !fil.tensor<[B,F], f64>) -> (!fil.tensor<[B,F], f64>, !fil.tensor<[B,F], f64>) {
  %0 = fil.map exp(%g) : (!fil.tensor<[B,F], f64>) -> !fil.tensor<[B,F], f64>
  %1 = fil.map mul(%0, %g) : (!fil.tensor<[B,F], f64>, !fil.tensor<[B,F], f64>) -> !fil.tensor<[B,F], f64>
  %2 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[D,F], f64>) -> !fil.tensor<[B,F], f64>
  %3 = fil.map mul(%2, %0) : (!fil.tensor<[B,F], f64>, !fil.tensor<[B,F], f64>) -> !fil.tensor<[B,F], f64>
  fil.return %1, %3 : !fil.tensor<[B,F], f64>, !fil.tensor<[B,F], f64>
}
// CHECK-LABEL: fil.func @operand
// CHECK: fil.group
// CHECK: fil.map exp
// CHECK: fil.group
// CHECK: fil.contract {{.*}}fil.tiled
fil.func @operand(%x: !fil.tensor<[B,D], f64>, %w: !fil.tensor<[D,F], f64>, %g: !fil.tensor<[B,F], f64>, %v: !fil.tensor<[D,F], f64>) -> (!fil.tensor<[B,D], f64>, !fil.tensor<[B,F], f64>) {
  %0 = fil.map exp(%g) : (!fil.tensor<[B,F], f64>) -> !fil.tensor<[B,F], f64>
  %1 = fil.contract %0, %v over ["F"] : (!fil.tensor<[B,F], f64>, !fil.tensor<[D,F], f64>) -> !fil.tensor<[B,D], f64>
  %2 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[D,F], f64>) -> !fil.tensor<[B,F], f64>
  %3 = fil.map mul(%2, %0) : (!fil.tensor<[B,F], f64>, !fil.tensor<[B,F], f64>) -> !fil.tensor<[B,F], f64>
  fil.return %1, %3 : !fil.tensor<[B,D], f64>, !fil.tensor<[B,F], f64>
}

// A mask that products leave granules out by is in their groups: before the product, or behind it. The narrow one makes an operand in memory.
// CHECK-LABEL: fil.func @granules
// CHECK: fil.group
// CHECK: fil.mask
// CHECK-NEXT: fil.contract {{.*}}fil.tiled
// CHECK: fil.group
// CHECK: fil.contract {{.*}}fil.tiled
// CHECK-NEXT: fil.mask {{.*}}fil.kept
// CHECK: fil.group
// CHECK: fil.mask {{.*}}fil.kept
// CHECK: fil.group
// CHECK-NOT: fil.mask
// CHECK: fil.contract {{.*}}fil.tiled
fil.func @granules(%x: !fil.tensor<[B,D], f64>, %dy: !fil.tensor<[B,F], f64>, %w: !fil.tensor<[D,F], f64>, %m: !fil.tensor<["D/16","F/16"], bool>, %n: !fil.tensor<[D,"F/4"], bool>) -> (!fil.tensor<[B,F], f64>, !fil.tensor<[D,F], f64>, !fil.tensor<[B,F], f64>) {
  %0 = fil.mask %w by %m granules ["D", "D/16", "F", "F/16"] kept [3, 12] : (!fil.tensor<[D,F], f64>, !fil.tensor<["D/16","F/16"], bool>) -> !fil.tensor<[D,F], f64>
  %1 = fil.contract %x, %0 over ["D"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[D,F], f64>) -> !fil.tensor<[B,F], f64>
  %2 = fil.contract %x, %dy over ["B"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[B,F], f64>) -> !fil.tensor<[D,F], f64>
  %3 = fil.mask %2 by %m granules ["D", "D/16", "F", "F/16"] kept [3, 12] : (!fil.tensor<[D,F], f64>, !fil.tensor<["D/16","F/16"], bool>) -> !fil.tensor<[D,F], f64>
  %4 = fil.mask %w by %n granules ["F", "F/4"] : (!fil.tensor<[D,F], f64>, !fil.tensor<[D,"F/4"], bool>) -> !fil.tensor<[D,F], f64>
  %5 = fil.contract %x, %4 over ["D"] : (!fil.tensor<[B,D], f64>, !fil.tensor<[D,F], f64>) -> !fil.tensor<[B,F], f64>
  fil.return %1, %3, %5 : !fil.tensor<[B,F], f64>, !fil.tensor<[D,F], f64>, !fil.tensor<[B,F], f64>
}

// Of windows that overlap a product packs what stands in memory, whether all of it is there or what a mask leaves; windows themselves do not stand there. Windows of one element read each
// once, so it is computed there.
// CHECK-LABEL: fil.func @windows
// CHECK: fil.group
// CHECK: fil.map exp{{.*}}fil.kept
// CHECK: fil.group
// CHECK-NOT: fil.window {{.*}}fil.kept
// CHECK: fil.window
// CHECK-NEXT: fil.mask {{.*}} zeros
// CHECK-NEXT: fil.contract {{.*}}fil.tiled
// CHECK: fil.group
// CHECK: fil.map exp
// CHECK-NEXT: fil.window
// CHECK-NEXT: fil.contract {{.*}}fil.tiled
fil.func @windows(%x: !fil.tensor<[B,Y,D], f64>, %z: !fil.tensor<[B,Y,D], f64>, %m: !fil.tensor<[B,"D/16"], bool>, %w: !fil.tensor<[D,F,k], f64>, %v: !fil.tensor<[D,F,one], f64>) -> (!fil.tensor<[B,Y,F], f64>, !fil.tensor<[B,Y,F], f64>) {
  %0 = fil.map exp(%x) : (!fil.tensor<[B,Y,D], f64>) -> !fil.tensor<[B,Y,D], f64>
  %1 = fil.window %0 [#fil.window_dim<"Y" by "k" to "Y" stride 1 before 1>] : (!fil.tensor<[B,Y,D], f64>) -> !fil.tensor<[B,Y,D,k], f64>
  %2 = fil.mask %1 by %m granules ["D", "D/16"] kept [2, 4] chosen zeros : (!fil.tensor<[B,Y,D,k], f64>, !fil.tensor<[B,"D/16"], bool>) -> !fil.tensor<[B,Y,D,k], f64>
  %3 = fil.contract %2, %w over ["D", "k"] : (!fil.tensor<[B,Y,D,k], f64>, !fil.tensor<[D,F,k], f64>) -> !fil.tensor<[B,Y,F], f64>
  %4 = fil.map exp(%z) : (!fil.tensor<[B,Y,D], f64>) -> !fil.tensor<[B,Y,D], f64>
  %5 = fil.window %4 [#fil.window_dim<"Y" by "one" to "Y" stride 1 before 0>] : (!fil.tensor<[B,Y,D], f64>) -> !fil.tensor<[B,Y,D,one], f64>
  %6 = fil.contract %5, %v over ["D", "one"] : (!fil.tensor<[B,Y,D,one], f64>, !fil.tensor<[D,F,one], f64>) -> !fil.tensor<[B,Y,F], f64>
  fil.return %3, %6 : !fil.tensor<[B,Y,F], f64>, !fil.tensor<[B,Y,F], f64>
}
