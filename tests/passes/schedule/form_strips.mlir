// RUN: %fil-opt %s --fil-schedule-form-groups --fil-schedule-form-strips | FileCheck %s
// Scores, softmax and mixture are one group by strips of queries; sums over the strips too; what leaves the strips' sight stays apart.

fil.dims {B, T, S, H = "4", N = "32", R = "T-1", A = "1", I = "2", J = "40", "s#0" = "8"}

// CHECK-LABEL: fil.func @attention
// CHECK-NEXT: fil.group rows ["B", "H"]
// CHECK: fil.contract {{.*}} over ["N"]
// CHECK: fil.reduce max
// CHECK: fil.reduce sum
// CHECK: fil.contract {{.*}} over ["S"]
// CHECK: fil.yield %{{[0-9]+}} : !fil.tensor<[B,T,H,N], f64>
// CHECK-NEXT: } {fil.strip = "T"}
// CHECK-NEXT: fil.return
fil.func @attention(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>, %v: !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,H,N], f64> {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce max %0 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  %2 = fil.map sub(%0, %1) : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %3 = fil.map exp(%2) : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %4 = fil.reduce sum %3 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  %5 = fil.map div(%3, %4) : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %6 = fil.contract %5, %v over ["S"] : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,H,N], f64>
  fil.return %6 : !fil.tensor<[B,T,H,N], f64>
}

// The gradient of the keys is a sum over the strips.
// CHECK-LABEL: fil.func @gradient
// CHECK-NEXT: fil.group rows ["B", "H"]
// CHECK: fil.map tanh
// CHECK: fil.contract {{.*}} over ["T"]
// CHECK: } {fil.strip = "T"}
// CHECK-NEXT: fil.return
fil.func @gradient(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,S,H,N], f64> {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.map tanh(%0) : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %2 = fil.contract %1, %q over ["T"] : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H,N], f64>) -> !fil.tensor<[B,S,H,N], f64>
  fil.return %2 : !fil.tensor<[B,S,H,N], f64>
}

// Scores that leave the function are in memory anyway.
// CHECK-LABEL: fil.func @wanted
// CHECK-NOT: fil.strip
// CHECK: fil.return
fil.func @wanted(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.reduce sum %0 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  fil.return %0, %1 : !fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H], f64>
}

// Rows that are read a position further on may be those of another strip: the scores are in memory.
// CHECK-LABEL: fil.func @turned
// CHECK-NOT: fil.strip
// CHECK: fil.return
fil.func @turned(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,H], f64> {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.slice %0 "T" from "1" into "R" : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,S,H,R], f64>
  %2 = fil.slice %0 "T" from "0" into "A" : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,S,H,A], f64>
  %3 = fil.concat(%1, %2) ["R", "A"] into "T" : (!fil.tensor<[B,S,H,R], f64>, !fil.tensor<[B,S,H,A], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %4 = fil.map mul(%0, %3) : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %5 = fil.reduce sum %4 over ["S"] : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,H], f64>
  fil.return %5 : !fil.tensor<[B,T,H], f64>
}

// A few heads that are summed stay inside: a strip is of queries, each with both of its rows of scores. Of many heads a strip is of keys.
// CHECK-LABEL: fil.func @indexer
// CHECK: fil.contract {{.*}} over ["N"]
// CHECK: fil.reduce sum {{.*}} over ["I"]
// CHECK: } {fil.strip = "T"}
// CHECK: fil.reduce sum {{.*}} over ["J"]
// CHECK: } {fil.strip = "S"}
fil.func @indexer(%q: !fil.tensor<[B,T,N,I], f64>, %p: !fil.tensor<[B,T,N,J], f64>, %k: !fil.tensor<[B,S,N], f64>) -> (!fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,S], f64>) {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,N,I], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,S,I], f64>
  %1 = fil.map tanh(%0) : (!fil.tensor<[B,T,S,I], f64>) -> !fil.tensor<[B,T,S,I], f64>
  %2 = fil.reduce sum %1 over ["I"] : (!fil.tensor<[B,T,S,I], f64>) -> !fil.tensor<[B,T,S], f64>
  %3 = fil.contract %p, %k over ["N"] : (!fil.tensor<[B,T,N,J], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,S,J], f64>
  %4 = fil.map tanh(%3) : (!fil.tensor<[B,T,S,J], f64>) -> !fil.tensor<[B,T,S,J], f64>
  %5 = fil.reduce sum %4 over ["J"] : (!fil.tensor<[B,T,S,J], f64>) -> !fil.tensor<[B,T,S], f64>
  fil.return %2, %5 : !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,S], f64>
}

// What is chosen by scores is found where they are made: they are not in memory. So are sums of a few of them.
// CHECK-LABEL: fil.func @chosen
// CHECK: fil.group rows ["B"]
// CHECK: fil.contract {{.*}} over ["N"]
// CHECK: fil.reduce sum {{.*}} over ["I"]
// CHECK: fil.topk
// CHECK: fil.yield %{{[0-9]+}} : !fil.subset<S per [B,T], "s#0">
// CHECK-NEXT: } {fil.strip = "T"}
fil.func @chosen(%q: !fil.tensor<[B,T,N,I], f64>, %k: !fil.tensor<[B,S,N], f64>, %past: !fil.tensor<[T,S], bool>) -> !fil.tensor<[B,T,"s#0"], bool> {
  %0 = fil.contract %q, %k over ["N"] : (!fil.tensor<[B,T,N,I], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,S,I], f64>
  %1 = fil.reduce sum %0 over ["I"] : (!fil.tensor<[B,T,S,I], f64>) -> !fil.tensor<[B,T,S], f64>
  %2 = fil.topk %1 mask %past over "S" : (!fil.tensor<[B,T,S], f64>, !fil.tensor<[T,S], bool>) -> !fil.subset<S per [B,T], "s#0">
  %3 = fil.present %2 : (!fil.subset<S per [B,T], "s#0">) -> !fil.tensor<[B,T,"s#0"], bool>
  fil.return %3 : !fil.tensor<[B,T,"s#0"], bool>
}
