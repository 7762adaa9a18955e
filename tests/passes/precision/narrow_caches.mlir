// RUN: %fil-opt %s --fil-precision-narrow-caches="formats=bf16,vs=e4m3" | FileCheck %s
// What is appended is rounded, kept in its format and made wide where it is read; 8 bits have a scale for each position. Of a cache that decoding keeps the past is narrow too, in its loop.
// CHECK: fil.variable cache @"l[0..2].ks" : !fil.tensor<[B,S,N,L], bf16>
// CHECK: fil.variable cache @"l[0..2].vs" : !fil.tensor<[B,S,N,L], f8E4M3FN>
// CHECK-NEXT: fil.variable cache @"l[0..2].vs#scale" : !fil.tensor<[B,S,L], real> {{.*}}declared ["B", "S"] loops ["L"]
// CHECK-LABEL: fil.func entry "run"
// CHECK: %[[Q:.*]] = fil.quantize %{{.*}} -> !fil.tensor<[B,T,N], bf16>
// CHECK: %[[K:.*]] = fil.cache %[[Q]] "T" to "S"
// CHECK: %[[WIDE:.*]] = fil.dequantize %[[K]]
// CHECK: fil.contract %{{.*}}, %[[WIDE]]
// CHECK: %[[V:.*]] = fil.cache %{{.*}} "T" to "S"
// CHECK: %[[SV:.*]] = fil.cache %{{.*}} "T" to "S"
// CHECK: fil.dequantize %[[V]] scale %[[SV]]
// CHECK-LABEL: fil.func entry "decode"
// CHECK-DAG: %[[PS:.*]] = fil.read @"l[0..2].vs#scale" {{.*}}<[B,S,L], real>
// CHECK-DAG: %[[PV:.*]] = fil.read @"l[0..2].vs" {{.*}}<[B,S,N,L], f8E4M3FN>
// CHECK-DAG: %[[PK:.*]] = fil.read @"l[0..2].ks" {{.*}}<[B,S,N,L], bf16>
// CHECK-NOT: fil.read
// CHECK: %[[LOOP:.*]]:4 = fil.layers {{.*}}stacked(%[[BK:.*]] = %[[PK]], %[[BV:.*]] = %[[PV]], %[[BS:.*]] = %[[PS]])
// CHECK: %[[QK:.*]] = fil.quantize
// CHECK: %[[NK:.*]] = fil.cache %[[QK]] past %[[BK]] "T" to "S"
// CHECK: %[[QV:.*]] = fil.quantize %{{.*}} scale %[[SCALE:[a-z0-9]+]]
// CHECK-DAG: %[[NV:.*]] = fil.cache %[[QV]] past %[[BV]]
// CHECK-DAG: %[[NS:.*]] = fil.cache %[[SCALE]] past %[[BS]]
// CHECK: fil.dequantize %[[NV]] scale %[[NS]]
// CHECK: fil.yield %{{.*}}, %[[NK]], %[[NV]], %[[NS]]
// CHECK-DAG: fil.write @"l[0..2].ks", %[[LOOP]]#1
// CHECK-DAG: fil.write @"l[0..2].vs", %[[LOOP]]#2
// CHECK-DAG: fil.write @"l[0..2].vs#scale", %[[LOOP]]#3
fil.dims {B, T, S, N = "5", L = "2"}
fil.variable cache @"l[0..2].ks" : !fil.tensor<[B,S,N,L], real> init <constant, 0.0, 0.0> site "l[0..2].ks" declared ["B", "S", "N"] loops ["L"]
fil.variable cache @"l[0..2].vs" : !fil.tensor<[B,S,N,L], real> init <constant, 0.0, 0.0> site "l[0..2].vs" declared ["B", "S", "N"] loops ["L"]
fil.func entry "run" @run(%x: !fil.tensor<[B,T,N], real> {fil.name = "x"}) -> (!fil.tensor<[B,T,S,N], real> {fil.name = "y"}) {
  %k = fil.cache %x "T" to "S" {site = "l[0..2].ks"} : (!fil.tensor<[B,T,N], real>) -> !fil.tensor<[B,S,N], real>
  %y = fil.contract %x, %k over ["N"] {site = "l[0..2]"} : (!fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N], real>) -> !fil.tensor<[B,T,S], real>
  %v = fil.cache %x "T" to "S" {site = "l[0..2].vs"} : (!fil.tensor<[B,T,N], real>) -> !fil.tensor<[B,S,N], real>
  %z = fil.contract %y, %v over [] {site = "l[0..2]"} : (!fil.tensor<[B,T,S], real>, !fil.tensor<[B,S,N], real>) -> !fil.tensor<[B,T,S,N], real>
  fil.return %z : !fil.tensor<[B,T,S,N], real>
}
fil.func entry "decode" @decode(%x: !fil.tensor<[B,T,N], real> {fil.name = "x"}) -> (!fil.tensor<[B,T,N], real> {fil.name = "y"}) {
  %pk = fil.read @"l[0..2].ks" {site = "l[0..2].ks"} : <[B,S,N,L], real>
  %pv = fil.read @"l[0..2].vs" {site = "l[0..2].vs"} : <[B,S,N,L], real>
  %r:3 = fil.layers %t = l 0 to 2 dim "L" carried(%a = %x) stacked(%ik = %pk, %iv = %pv) shared() : (!fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N,L], real>, !fil.tensor<[B,S,N,L], real>) -> (!fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N,L], real>, !fil.tensor<[B,S,N,L], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N], real>, !fil.tensor<[B,S,N], real>) -> () {
    %k = fil.cache %a past %ik "T" to "S" {site = "l[0..2].ks"} : (!fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N], real>) -> !fil.tensor<[B,S,N], real>
    %v = fil.cache %a past %iv "T" to "S" {site = "l[0..2].vs"} : (!fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N], real>) -> !fil.tensor<[B,S,N], real>
    %p = fil.contract %a, %k over ["N"] {site = "l[0..2]"} : (!fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N], real>) -> !fil.tensor<[B,T,S], real>
    %n = fil.contract %p, %v over ["S"] {site = "l[0..2]"} : (!fil.tensor<[B,T,S], real>, !fil.tensor<[B,S,N], real>) -> !fil.tensor<[B,T,N], real>
    fil.yield %n, %k, %v : !fil.tensor<[B,T,N], real>, !fil.tensor<[B,S,N], real>, !fil.tensor<[B,S,N], real>
  } {site = "l[0..2]"}
  fil.write @"l[0..2].ks", %r#1 {site = "l[0..2].ks", role = #fil.role<update>} : !fil.tensor<[B,S,N,L], real>
  fil.write @"l[0..2].vs", %r#2 {site = "l[0..2].vs", role = #fil.role<update>} : !fil.tensor<[B,S,N,L], real>
  fil.return %r#0 : !fil.tensor<[B,T,N], real>
}
