// RUN: %fil-opt %s | FileCheck %s
// How each op of a body is written.

fil.dims {B, T, D = "4", F = "2*D", V = "7", S, Y = "6", ky = "3", "Y/2" = "3", "D/2" = "2", lo = "1", hi = "3", "D+F" = "12", "s#0" = "2", points = "9 + 2*B"}

// CHECK-LABEL: fil.func @sources
// CHECK: fil.constant 2.500000e+00 : <[], real>
// CHECK: fil.size "B*T" : <[], int>
// CHECK: fil.iota "T" : <[T], int>
// CHECK: fil.random normal "l[0..3].Drop" seed %{{.*}} step %{{.*}} turns(%{{.*}}) {site = "Drop"}
fil.func @sources(%seed: !fil.tensor<[], int>, %step: !fil.tensor<[], int>, %turn: !fil.tensor<[], int>) -> (!fil.tensor<[], real>, !fil.tensor<[], int>, !fil.tensor<[T], int>, !fil.tensor<[B,D], real>) {
  %0 = fil.constant 2.5 : <[], real>
  %1 = fil.size "B*T" : <[], int>
  %2 = fil.iota "T" : <[T], int>
  %3 = fil.random normal "l[0..3].Drop" seed %seed step %step turns (%turn) {site = "Drop"} : (!fil.tensor<[], int>, !fil.tensor<[], int>, !fil.tensor<[], int>) -> !fil.tensor<[B,D], real>
  fil.return %0, %1, %2, %3 : !fil.tensor<[], real>, !fil.tensor<[], int>, !fil.tensor<[T], int>, !fil.tensor<[B,D], real>
}

// CHECK-LABEL: fil.func @arithmetic
// CHECK: fil.map add(%{{.*}}, %{{.*}}) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
// CHECK: fil.map gt(%{{.*}}, %{{.*}}) : {{.*}} -> !fil.tensor<[B,D], bool>
// CHECK: fil.map not(%{{.*}})
// CHECK: fil.map select(%{{.*}}, %{{.*}}, %{{.*}})
// CHECK: fil.map cast(%{{.*}}) : (!fil.tensor<[B,D], bool>) -> !fil.tensor<[B,D], real>
// CHECK: fil.reduce sum %{{.*}} over ["B", "D"]
// CHECK: fil.reduce argmax %{{.*}} over ["D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B], index<D>>
// CHECK: fil.contract %{{.*}}, %{{.*}} over ["D"] {role = #fil.role<dgrad>, site = "q"}
fil.func @arithmetic(%x: !fil.tensor<[B,D], real>, %g: !fil.tensor<[D], real>, %w: !fil.tensor<[D,F], real>) -> (!fil.tensor<[], real>, !fil.tensor<[B], index<D>>, !fil.tensor<[B,F], real>, !fil.tensor<[B,D], real>) {
  %0 = fil.map add(%x, %g) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], real>
  %1 = fil.map gt(%x, %g) : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> !fil.tensor<[B,D], bool>
  %2 = fil.map not(%1) : (!fil.tensor<[B,D], bool>) -> !fil.tensor<[B,D], bool>
  %3 = fil.map select(%2, %0, %x) : (!fil.tensor<[B,D], bool>, !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  %4 = fil.map cast(%2) : (!fil.tensor<[B,D], bool>) -> !fil.tensor<[B,D], real>
  %5 = fil.reduce sum %3 over ["B", "D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[], real>
  %6 = fil.reduce argmax %3 over ["D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B], index<D>>
  %7 = fil.contract %3, %w over ["D"] {site = "q", role = #fil.role<dgrad>} : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return %5, %6, %7, %4 : !fil.tensor<[], real>, !fil.tensor<[B], index<D>>, !fil.tensor<[B,F], real>, !fil.tensor<[B,D], real>
}

// CHECK-LABEL: fil.func @choices
// CHECK: fil.gather %{{.*}} at %{{.*}} in "V" : (!fil.tensor<[D,V], real>, !fil.tensor<[B,T], index<V>>) -> !fil.tensor<[B,T,D], real>
// CHECK: fil.topk %{{.*}} mask %{{.*}} over "V" : (!fil.tensor<[B,V], real>, !fil.tensor<[V], bool>) -> !fil.subset<V per [B], "s#0">
// CHECK: fil.gather %{{.*}} at %{{.*}} in "V" : (!fil.tensor<[D,V], real>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,D,"s#0"], real>
// CHECK: fil.present %{{.*}} : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], bool>
// CHECK: fil.member %{{.*}} : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], index<V>>
// CHECK: fil.scatter %{{.*}} at %{{.*}} in "V"
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{.*}} over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,V], real>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], real>
fil.func @choices(%w: !fil.tensor<[D,V], real>, %i: !fil.tensor<[B,T], index<V>>, %score: !fil.tensor<[B,V], real>, %m: !fil.tensor<[V], bool>, %x: !fil.tensor<[B,D], real>) -> (!fil.tensor<[B,T,D], real>, !fil.tensor<[B,"s#0"], bool>, !fil.tensor<[B,"s#0"], index<V>>, !fil.tensor<[B,D,V], real>, !fil.tensor<[B,"s#0"], real>) {
  %0 = fil.gather %w at %i in "V" : (!fil.tensor<[D,V], real>, !fil.tensor<[B,T], index<V>>) -> !fil.tensor<[B,T,D], real>
  %s = fil.topk %score mask %m over "V" : (!fil.tensor<[B,V], real>, !fil.tensor<[V], bool>) -> !fil.subset<V per [B], "s#0">
  %1 = fil.gather %w at %s in "V" : (!fil.tensor<[D,V], real>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,D,"s#0"], real>
  %2 = fil.present %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], bool>
  %3 = fil.member %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], index<V>>
  %4 = fil.scatter %1 at %s in "V" : (!fil.tensor<[B,D,"s#0"], real>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,D,V], real>
  %5 = fil.contract %x, %w through %s over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,V], real>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], real>
  fil.return %0, %2, %3, %4, %5 : !fil.tensor<[B,T,D], real>, !fil.tensor<[B,"s#0"], bool>, !fil.tensor<[B,"s#0"], index<V>>, !fil.tensor<[B,D,V], real>, !fil.tensor<[B,"s#0"], real>
}

// CHECK-LABEL: fil.func @masked
// CHECK: fil.highest %{{.*}} count %{{.*}} over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[B], int>) -> !fil.tensor<[B,D], bool>
// CHECK: fil.mask %{{.*}} by %{{.*}} granules ["D", "D/2"] kept [1, 2] : (!fil.tensor<[B,D], real>, !fil.tensor<["D/2"], bool>) -> !fil.tensor<[B,D], real>
fil.func @masked(%x: !fil.tensor<[B,D], real>, %n: !fil.tensor<[B], int>, %m: !fil.tensor<["D/2"], bool>) -> (!fil.tensor<[B,D], bool>, !fil.tensor<[B,D], real>) {
  %0 = fil.highest %x count %n over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[B], int>) -> !fil.tensor<[B,D], bool>
  %1 = fil.mask %x by %m granules ["D", "D/2"] kept [1, 2] : (!fil.tensor<[B,D], real>, !fil.tensor<["D/2"], bool>) -> !fil.tensor<[B,D], real>
  fil.return %0, %1 : !fil.tensor<[B,D], bool>, !fil.tensor<[B,D], real>
}

// CHECK-LABEL: fil.func @sorted
// CHECK: %[[R:.*]] = fil.roster %{{.*}} : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[points], int>
// CHECK: fil.contract %{{.*}}, %{{.*}} through %{{.*}} sorted %[[R]] over ["D"]
fil.func @sorted(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,F,V], real>, %s: !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,F,"s#0"], real> {
  %r = fil.roster %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[points], int>
  %0 = fil.contract %x, %w through %s sorted %r over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F,V], real>, !fil.subset<V per [B], "s#0">, !fil.tensor<[points], int>) -> !fil.tensor<[B,F,"s#0"], real>
  fil.return %0 : !fil.tensor<[B,F,"s#0"], real>
}

// CHECK-LABEL: fil.func @views
// CHECK: fil.window %{{.*}} [#fil.window_dim<"Y" by "ky" to "Y/2" stride 2 before 1>] : (!fil.tensor<[B,Y], real>) -> !fil.tensor<[B,ky,"Y/2"], real>
// CHECK: fil.unwindow %{{.*}} [#fil.window_dim<"Y" by "ky" to "Y/2" stride 2 before 1>]
// CHECK: fil.slice %{{.*}} "D" from "0" into "lo"
// CHECK: fil.unslice %{{.*}} "D" from "0" into "lo"
// CHECK: fil.slice %{{.*}} "D" from "2" into "" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B], real>
// CHECK: fil.concat(%{{.*}}, %{{.*}}) ["D", "F"] into "D+F"
// CHECK: fil.rename %{{.*}} "T" to "S"
// CHECK: fil.broadcast %{{.*}} : (!fil.tensor<[B], real>) -> !fil.tensor<[B,T], real>
// CHECK: fil.stopgrad %{{.*}}
// CHECK: fil.cache %{{.*}} past %{{.*}} "T" to "S"
fil.func @views(%y: !fil.tensor<[B,Y], real>, %x: !fil.tensor<[B,D], real>, %z: !fil.tensor<[B,F], real>, %t: !fil.tensor<[B,T], real>, %past: !fil.tensor<[B,S], real>) -> (!fil.tensor<[B,Y], real>, !fil.tensor<[B,D], real>, !fil.tensor<[B,"D+F"], real>, !fil.tensor<[B,S], real>, !fil.tensor<[B,T], real>, !fil.tensor<[B,S], real>) {
  %0 = fil.window %y [#fil.window_dim<"Y" by "ky" to "Y/2" stride 2 before 1>] : (!fil.tensor<[B,Y], real>) -> !fil.tensor<[B,ky,"Y/2"], real>
  %1 = fil.unwindow %0 [#fil.window_dim<"Y" by "ky" to "Y/2" stride 2 before 1>] : (!fil.tensor<[B,ky,"Y/2"], real>) -> !fil.tensor<[B,Y], real>
  %2 = fil.slice %x "D" from "0" into "lo" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,lo], real>
  %3 = fil.unslice %2 "D" from "0" into "lo" : (!fil.tensor<[B,lo], real>) -> !fil.tensor<[B,D], real>
  %4 = fil.slice %x "D" from "2" into "" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B], real>
  %5 = fil.concat (%x, %z) ["D", "F"] into "D+F" : (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,"D+F"], real>
  %6 = fil.rename %t "T" to "S" : (!fil.tensor<[B,T], real>) -> !fil.tensor<[B,S], real>
  %7 = fil.broadcast %4 : (!fil.tensor<[B], real>) -> !fil.tensor<[B,T], real>
  %8 = fil.stopgrad %7 : (!fil.tensor<[B,T], real>) -> !fil.tensor<[B,T], real>
  %9 = fil.cache %8 past %past "T" to "S" : (!fil.tensor<[B,T], real>, !fil.tensor<[B,S], real>) -> !fil.tensor<[B,S], real>
  fil.return %1, %3, %5, %6, %8, %9 : !fil.tensor<[B,Y], real>, !fil.tensor<[B,D], real>, !fil.tensor<[B,"D+F"], real>, !fil.tensor<[B,S], real>, !fil.tensor<[B,T], real>, !fil.tensor<[B,S], real>
}
