// RUN: %fil-opt %s --fil-normalize-contract-sums | FileCheck %s
// A sum of products is a contraction where both factors have the summed dims, and each has rows or columns of its own besides.
fil.dims {B, D = "5", F = "70", H = "20", K = "10"}

// CHECK-LABEL: fil.func @product
// CHECK-NEXT: %[[R:.*]] = fil.contract %arg0, %arg1 over ["D"] {role = #fil.role<saved>, site = "Block"} : (!fil.tensor<[B,D,H], real>, !fil.tensor<[D,F,H], real>) -> !fil.tensor<[B,F,H], real>
// CHECK-NEXT: fil.return %[[R]]
fil.func @product(%x: !fil.tensor<[B,D,H], real>, %w: !fil.tensor<[D,F,H], real>) -> !fil.tensor<[B,F,H], real> {
  %0 = fil.map mul(%x, %w) {site = "Other"} : (!fil.tensor<[B,D,H], real>, !fil.tensor<[D,F,H], real>) -> !fil.tensor<[B,D,F,H], real>
  %1 = fil.reduce sum %0 over ["D"] {role = #fil.role<saved>, site = "Block"} : (!fil.tensor<[B,D,F,H], real>) -> !fil.tensor<[B,F,H], real>
  fil.return %1 : !fil.tensor<[B,F,H], real>
}

// No columns; a largest product; a product that is read besides; a summed dim that one factor lacks; whole numbers.
// CHECK-LABEL: fil.func @stays
// CHECK-NOT: fil.contract
// CHECK: fil.return
fil.func @stays(%x: !fil.tensor<[B,D], real>, %g: !fil.tensor<[D], real>, %w: !fil.tensor<[D,F], real>, %h: !fil.tensor<[F,H], real>, %i: !fil.tensor<[B,D], int>, %j: !fil.tensor<[D,F], int>)
    -> (!fil.tensor<[B], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,D,F], real>, !fil.tensor<[B,H], real>, !fil.tensor<[B,F], int>) {
  %0 = fil.map mul(%x, %g) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
  %1 = fil.reduce sum %0 over ["D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B], real>
  %2 = fil.map mul(%x, %w) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D,F], real>
  %3 = fil.reduce max %2 over ["D"] : (!fil.tensor<[B,D,F], real>) -> !fil.tensor<[B,F], real>
  %4 = fil.map mul(%w, %x) : (!fil.tensor<[D,F], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D,F], real>
  %5 = fil.reduce sum %4 over ["D"] : (!fil.tensor<[B,D,F], real>) -> !fil.tensor<[B,F], real>
  %6 = fil.map mul(%x, %w) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,D,F], real>
  %7 = fil.map add(%w, %h) : (!fil.tensor<[D,F], real>, !fil.tensor<[F,H], real>) -> !fil.tensor<[D,F,H], real>
  %8 = fil.map mul(%x, %7) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,H], real>) -> !fil.tensor<[B,D,F,H], real>
  %9 = fil.reduce sum %8 over ["D", "F"] : (!fil.tensor<[B,D,F,H], real>) -> !fil.tensor<[B,H], real>
  %10 = fil.map mul(%i, %j) : (!fil.tensor<[B,D], int>, !fil.tensor<[D,F], int>) -> !fil.tensor<[B,D,F], int>
  %11 = fil.reduce sum %10 over ["D"] : (!fil.tensor<[B,D,F], int>) -> !fil.tensor<[B,F], int>
  fil.return %1, %3, %5, %4, %9, %11 : !fil.tensor<[B], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,F], real>, !fil.tensor<[B,D,F], real>, !fil.tensor<[B,H], real>, !fil.tensor<[B,F], int>
}

// Few columns; a factor that is made of less than it is.
// CHECK-LABEL: fil.func @few
// CHECK-NOT: fil.contract
// CHECK: fil.return
fil.func @few(%x: !fil.tensor<[B,D], real>, %k: !fil.tensor<[D,K], real>, %c: !fil.tensor<[D,H], real>, %w: !fil.tensor<[D,F,H], real>) -> (!fil.tensor<[B,K], real>, !fil.tensor<[B,F], real>) {
  %0 = fil.map mul(%x, %k) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,K], real>) -> !fil.tensor<[B,D,K], real>
  %1 = fil.reduce sum %0 over ["D"] : (!fil.tensor<[B,D,K], real>) -> !fil.tensor<[B,K], real>
  %2 = fil.map sub(%x, %c) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,H], real>) -> !fil.tensor<[B,D,H], real>
  %3 = fil.map mul(%2, %2) : (!fil.tensor<[B,D,H], real>, !fil.tensor<[B,D,H], real>) -> !fil.tensor<[B,D,H], real>
  %4 = fil.map exp(%3) : (!fil.tensor<[B,D,H], real>) -> !fil.tensor<[B,D,H], real>
  %5 = fil.map mul(%4, %w) : (!fil.tensor<[B,D,H], real>, !fil.tensor<[D,F,H], real>) -> !fil.tensor<[B,D,F,H], real>
  %6 = fil.reduce sum %5 over ["D", "H"] : (!fil.tensor<[B,D,F,H], real>) -> !fil.tensor<[B,F], real>
  fil.return %1, %6 : !fil.tensor<[B,K], real>, !fil.tensor<[B,F], real>
}
