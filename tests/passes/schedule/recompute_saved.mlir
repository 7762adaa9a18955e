// RUN: %fil-opt %s --fil-schedule-recompute-saved | FileCheck %s
// RUN: %fil-opt %s --fil-schedule-recompute-saved=rule=none | FileCheck %s --check-prefix=NONE
// RUN: %fil-opt %s --fil-schedule-recompute-saved=rule=attn | FileCheck %s --check-prefix=ATTN
// RUN: %fil-opt %s --fil-schedule-recompute-saved=rule=all | FileCheck %s --check-prefix=ALL
// RUN: %fil-opt %s --fil-schedule-recompute-saved=sites=l.b | FileCheck %s --check-prefix=SITE
// RUN: %fil-opt %s --fil-schedule-recompute-saved="rule=none reductions" | FileCheck %s --check-prefix=REDUCED
// The reverse loop computes tanh again from the carried value, which is saved anyway; the sum stays saved.

fil.dims {B, T, S, H = "4", N = "16", D = "24", L = "2", "l#0" = "2"}

// CHECK-LABEL: fil.func @step
// CHECK: %[[F:[0-9]+]]:3 = fil.layers %{{.*}} = l 0 to 2 dim "l#0" carried(%[[H:[a-z0-9]+]] = %{{.*}})
// CHECK: %[[SUM:[0-9]+]] = fil.reduce sum
// CHECK: fil.yield %{{[0-9]+}}, %[[H]], %[[SUM]] :
// CHECK: fil.layers %{{.*}} = l 0 to 2 dim "l#0" reverse carried(%[[G:[a-z0-9]+]] = %[[F]]#0) stacked(%[[SAVED:[a-z0-9]+]] = %[[F]]#1, %{{.*}} = %[[F]]#2)
// CHECK: %[[AGAIN:[0-9]+]] = fil.map tanh(%[[SAVED]])
// CHECK: fil.map mul(%[[G]], %[[AGAIN]])
// With `reductions` the sum is made again, of tanh, which `none` keeps.
// REDUCED-LABEL: fil.func @step
// REDUCED: %[[TANH:[0-9]+]] = fil.map tanh
// REDUCED: fil.yield %{{[a-z0-9]+}}, %{{[a-z0-9]+}}, %[[TANH]] :
// REDUCED: reverse {{.*}} stacked(%{{.*}}, %[[KEPT:[a-z0-9]+]] = %{{[0-9]+}}#2)
// REDUCED: %[[SUM:[0-9]+]] = fil.reduce sum %[[KEPT]]
// REDUCED: fil.map mul(%{{[0-9]+}}, %[[SUM]])
fil.func @step(%x: !fil.tensor<[B], f64>, %w: !fil.tensor<["l#0"], f64>) -> !fil.tensor<[B], f64> {
  %0:4 = fil.layers %t = l 0 to 2 dim "l#0" carried(%h = %x) stacked(%v = %w) shared() : (!fil.tensor<[B], f64>, !fil.tensor<["l#0"], f64>) -> (!fil.tensor<[B], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<["l#0"], f64>) body (!fil.tensor<[], int>, !fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> () {
    %1 = fil.map tanh(%h) : (!fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
    %2 = fil.reduce sum %1 over ["B"] : (!fil.tensor<[B], f64>) -> !fil.tensor<[], f64>
    %3 = fil.map mul(%1, %v) : (!fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> !fil.tensor<[B], f64>
    fil.yield %3, %h, %1, %2 : !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[], f64>
  }
  %4 = fil.layers %t = l 0 to 2 dim "l#0" reverse carried(%g = %0#0) stacked(%h = %0#1, %y = %0#2, %s = %0#3) shared() : (!fil.tensor<[B], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<[B,"l#0"], f64>, !fil.tensor<["l#0"], f64>) -> !fil.tensor<[B], f64> body (!fil.tensor<[], int>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> () {
    %1 = fil.map mul(%g, %y) : (!fil.tensor<[B], f64>, !fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
    %2 = fil.map mul(%1, %s) : (!fil.tensor<[B], f64>, !fil.tensor<[], f64>) -> !fil.tensor<[B], f64>
    %3 = fil.map add(%2, %h) : (!fil.tensor<[B], f64>, !fil.tensor<[B], f64>) -> !fil.tensor<[B], f64>
    fil.yield %3 : !fil.tensor<[B], f64>
  }
  fil.return %4 : !fil.tensor<[B], f64>
}

// Scores of many small products are computed again from what they are made of, which is saved instead.
// CHECK-LABEL: fil.func @scores
// CHECK: fil.layers %{{.*}} = l 0 to 2 dim "l#0" carried(%[[H:[a-z0-9]+]] = %{{.*}})
// CHECK: %[[SCORE:[0-9]+]] = fil.contract
// CHECK: fil.yield %{{[0-9]+}}, %[[H]] :
// CHECK: reverse
// CHECK: fil.contract {{.*}} over ["N"]
// CHECK: fil.reduce sum
fil.func @scores(%x: !fil.tensor<[B,T,N], f64>, %k: !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,N], f64> {
  %0:3 = fil.layers %t = l 0 to 2 dim "l#0" carried(%h = %x) stacked() shared(%c = %k) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S,"l#0"], f64>, !fil.tensor<[B,T,N,"l#0"], f64>) body (!fil.tensor<[], int>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> () {
    %1 = fil.contract %h, %c over ["N"] : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,S], f64>
    %2 = fil.contract %1, %c over ["S"] : (!fil.tensor<[B,T,S], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,N], f64>
    fil.yield %2, %1, %h : !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,N], f64>
  }
  %4 = fil.layers %t = l 0 to 2 dim "l#0" reverse carried(%g = %0#0) stacked(%y = %0#1, %h = %0#2) shared() : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S,"l#0"], f64>, !fil.tensor<[B,T,N,"l#0"], f64>) -> !fil.tensor<[B,T,N], f64> body (!fil.tensor<[], int>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,N], f64>) -> () {
    %1 = fil.reduce sum %y over ["S"] : (!fil.tensor<[B,T,S], f64>) -> !fil.tensor<[B,T], f64>
    %2 = fil.map mul(%g, %1) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T], f64>) -> !fil.tensor<[B,T,N], f64>
    %3 = fil.map add(%2, %h) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,N], f64>) -> !fil.tensor<[B,T,N], f64>
    fil.yield %3 : !fil.tensor<[B,T,N], f64>
  }
  fil.return %4 : !fil.tensor<[B,T,N], f64>
}

// A turn that projects what it begins with (a.q), makes scores of that (a) and an exp of these (b). `all` keeps what the turn begins with: the projection
// is done again, and the scores once for the turn and once for the gradient.
// CHECK-LABEL: @project
// CHECK: fil.yield %{{[0-9]+}}, %[[Q:[0-9]+]], %[[H:[a-z0-9]+]] :
// CHECK: reverse
// CHECK-NOT: over ["D"]
// CHECK: fil.contract {{.*}} over ["N"]
// CHECK: fil.map exp
// NONE: fil.saved = [
// NONE-SAME: {again = false, entry = "step", site = "l.b", turns = 2 : i64, type = !fil.tensor<[B,T,S], f64>, what = "map exp", why = "the plan has nothing computed again"}
// NONE-LABEL: @project
// NONE: fil.yield %{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}}, %{{.*}}, %{{.*}} :
// NONE: reverse
// NONE-NOT: fil.map exp
// NONE-NOT: fil.contract
// NONE: fil.return
// ATTN: fil.saved = [
// ATTN-SAME: {again = true, entry = "step", site = "l.b", turns = 2 : i64, type = !fil.tensor<[B,T,S], f64>, what = "map exp", why = "21 additions an element"}
// ATTN-SAME: {again = false, entry = "step", site = "l.c", turns = 2 : i64, type = !fil.tensor<[B,T,N], f64>, what = "map tanh", why = "the plan has scores computed again, and nothing else"}
// ALL: fil.saved = [
// ALL-SAME: {again = true, entry = "step", site = "l.a.q", turns = 2 : i64, type = !fil.tensor<[B,T,N], f64>, what = "contract", why = "the plan says so"}
// ALL-LABEL: @project
// ALL: fil.layers
// ALL: fil.yield %{{[0-9]+}}, %[[H:[a-z0-9]+]] :
// ALL: reverse {{.*}} stacked(%[[BEGIN:[a-z0-9]+]] = %{{[0-9]+}}#1)
// ALL: %[[Q:[0-9]+]] = fil.contract %[[BEGIN]], %{{.*}} over ["D"]
// ALL: fil.contract %[[Q]], %{{.*}} over ["N"] {fil.read
// SITE: fil.saved = [
// SITE-SAME: {again = false, entry = "step", site = "l.a.q", {{.*}}what = "contract", why = "a contraction, and not one whose result is larger than its operands"}
// SITE-SAME: {again = true, entry = "step", site = "l.b", {{.*}}why = "the plan says so"}
fil.func entry "step" @project(%x: !fil.tensor<[B,T,D], f64>, %k: !fil.tensor<[B,S,N], f64>, %w: !fil.tensor<[N,D], f64>) -> !fil.tensor<[B,T,D], f64> {
  %0:5 = fil.layers %t = l 0 to 2 dim "l#0" carried(%h = %x) stacked() shared(%c = %k, %p = %w) : (!fil.tensor<[B,T,D], f64>, !fil.tensor<[B,S,N], f64>, !fil.tensor<[N,D], f64>) -> (!fil.tensor<[B,T,D], f64>, !fil.tensor<[B,T,N,"l#0"], f64>, !fil.tensor<[B,T,S,"l#0"], f64>, !fil.tensor<[B,T,N,"l#0"], f64>, !fil.tensor<[B,T,D,"l#0"], f64>) body (!fil.tensor<[], int>, !fil.tensor<[B,T,D], f64>, !fil.tensor<[B,S,N], f64>, !fil.tensor<[N,D], f64>) -> () {
    %1 = fil.contract %h, %p over ["D"] {site = "l.a.q"} : (!fil.tensor<[B,T,D], f64>, !fil.tensor<[N,D], f64>) -> !fil.tensor<[B,T,N], f64>
    %2 = fil.contract %1, %c over ["N"] {site = "l.a"} : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,S], f64>
    %3 = fil.map exp(%2) {site = "l.b"} : (!fil.tensor<[B,T,S], f64>) -> !fil.tensor<[B,T,S], f64>
    %4 = fil.contract %3, %c over ["S"] {site = "l.a"} : (!fil.tensor<[B,T,S], f64>, !fil.tensor<[B,S,N], f64>) -> !fil.tensor<[B,T,N], f64>
    %5 = fil.map tanh(%4) {site = "l.c"} : (!fil.tensor<[B,T,N], f64>) -> !fil.tensor<[B,T,N], f64>
    %6 = fil.contract %5, %p over ["N"] {site = "l.a"} : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[N,D], f64>) -> !fil.tensor<[B,T,D], f64>
    fil.yield %6, %1, %3, %5, %h : !fil.tensor<[B,T,D], f64>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,D], f64>
  }
  %7 = fil.layers %t = l 0 to 2 dim "l#0" reverse carried(%g = %0#0) stacked(%q = %0#1, %e = %0#2, %y = %0#3) shared() : (!fil.tensor<[B,T,D], f64>, !fil.tensor<[B,T,N,"l#0"], f64>, !fil.tensor<[B,T,S,"l#0"], f64>, !fil.tensor<[B,T,N,"l#0"], f64>) -> !fil.tensor<[B,T,D], f64> body (!fil.tensor<[], int>, !fil.tensor<[B,T,D], f64>, !fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,S], f64>, !fil.tensor<[B,T,N], f64>) -> () {
    %1 = fil.reduce sum %e over ["S"] : (!fil.tensor<[B,T,S], f64>) -> !fil.tensor<[B,T], f64>
    %2 = fil.map mul(%q, %y) : (!fil.tensor<[B,T,N], f64>, !fil.tensor<[B,T,N], f64>) -> !fil.tensor<[B,T,N], f64>
    %3 = fil.reduce sum %2 over ["N"] : (!fil.tensor<[B,T,N], f64>) -> !fil.tensor<[B,T], f64>
    %4 = fil.map add(%1, %3) : (!fil.tensor<[B,T], f64>, !fil.tensor<[B,T], f64>) -> !fil.tensor<[B,T], f64>
    %5 = fil.map mul(%g, %4) : (!fil.tensor<[B,T,D], f64>, !fil.tensor<[B,T], f64>) -> !fil.tensor<[B,T,D], f64>
    fil.yield %5 : !fil.tensor<[B,T,D], f64>
  }
  fil.return %7 : !fil.tensor<[B,T,D], f64>
}

// Without a loop only scores are made again, where the gradient waits for other rows: `far` reads a sum of all heads, `own` goes row by row.
// CHECK-LABEL: fil.func @far
// CHECK: fil.contract
// CHECK-NEXT: %[[E:.*]] = fil.map exp
// CHECK-NEXT: %[[V:.*]] = fil.contract %[[E]]
// CHECK-NEXT: %[[SUM:.*]] = fil.reduce sum %[[V]] over ["H", "N"]
// CHECK-NEXT: %[[AGAIN:.*]] = fil.contract {{.*}} over ["N"] {fil.read
// CHECK-NEXT: %[[READ:.*]] = fil.map exp(%[[AGAIN]])
// CHECK-NEXT: fil.map mul(%[[READ]], %[[SUM]])
// NONE-LABEL: fil.func @far
// NONE-NOT: fil.read
// NONE: fil.return
// ATTN-LABEL: fil.func @far
// ATTN: fil.read
fil.func @far(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,S,H,N], f64> {
  %0 = fil.contract %q, %k over ["N"] {role = #fil.role<saved>} : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.map exp(%0) {role = #fil.role<saved>} : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %2 = fil.contract %1, %k over ["S"] : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,H,N], f64>
  %3 = fil.reduce sum %2 over ["H", "N"] : (!fil.tensor<[B,T,H,N], f64>) -> !fil.tensor<[B,T], f64>
  %4 = fil.map mul(%1, %3) {role = #fil.role<dgrad>} : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %5 = fil.contract %4, %q over ["T"] {role = #fil.role<dgrad>} : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H,N], f64>) -> !fil.tensor<[B,S,H,N], f64>
  fil.return %5 : !fil.tensor<[B,S,H,N], f64>
}
// CHECK-LABEL: fil.func @own
// CHECK-NOT: fil.read
// CHECK: fil.return
fil.func @own(%q: !fil.tensor<[B,T,H,N], f64>, %k: !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,S,H,N], f64> {
  %0 = fil.contract %q, %k over ["N"] {role = #fil.role<saved>} : (!fil.tensor<[B,T,H,N], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %1 = fil.map exp(%0) {role = #fil.role<saved>} : (!fil.tensor<[B,T,S,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %2 = fil.contract %1, %k over ["S"] : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,S,H,N], f64>) -> !fil.tensor<[B,T,H,N], f64>
  %3 = fil.reduce sum %2 over ["N"] : (!fil.tensor<[B,T,H,N], f64>) -> !fil.tensor<[B,T,H], f64>
  %4 = fil.map mul(%1, %3) {role = #fil.role<dgrad>} : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H], f64>) -> !fil.tensor<[B,T,S,H], f64>
  %5 = fil.contract %4, %q over ["T"] {role = #fil.role<dgrad>} : (!fil.tensor<[B,T,S,H], f64>, !fil.tensor<[B,T,H,N], f64>) -> !fil.tensor<[B,S,H,N], f64>
  fil.return %5 : !fil.tensor<[B,S,H,N], f64>
}
