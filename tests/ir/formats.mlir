// RUN: %fil-opt %s | %fil-opt | FileCheck %s
// CHECK-LABEL: fil.func entry "run"
fil.dims {B, D = "300", "D/128" = "3", "D/4:bytes" = "75"}
fil.func entry "run" @run(%x: !fil.tensor<[B,D], real> {fil.name = "x"}, %s: !fil.tensor<[B,"D/128"], real> {fil.name = "s"}, %u: !fil.tensor<[B,D], real> {fil.name = "u"}, %7: !fil.tensor<[B,"D/4:bytes"], real> {fil.name = "b"}) -> (!fil.tensor<[B,D], real> {fil.name = "y"}) {
// CHECK: fil.quantize %{{.*}} : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bf16>
  %0 = fil.quantize %x : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bf16>
// CHECK: fil.dequantize %{{.*}} : (!fil.tensor<[B,D], bf16>) -> !fil.tensor<[B,D], real>
  %1 = fil.dequantize %0 : (!fil.tensor<[B,D], bf16>) -> !fil.tensor<[B,D], real>
// CHECK: fil.quantize %{{.*}} scale %{{.*}} tiles ["D", "D/128"] [128] random %{{.*}} f8E4M3FN>
  %2 = fil.quantize %1 scale %s tiles ["D", "D/128"] [128] random %u : (!fil.tensor<[B,D], real>, !fil.tensor<[B,"D/128"], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], f8E4M3FN>
// CHECK: fil.dequantize %{{.*}} scale %{{.*}} tiles ["D", "D/128"] [128]
  %3 = fil.dequantize %2 scale %s tiles ["D", "D/128"] [128] : (!fil.tensor<[B,D], f8E4M3FN>, !fil.tensor<[B,"D/128"], real>) -> !fil.tensor<[B,D], real>
// CHECK: fil.part %{{.*}} : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bf16>
  %4 = fil.part %3 : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bf16>
// CHECK: fil.part low %{{.*}} -> !fil.tensor<[B,D], i16>
  %5 = fil.part low %3 : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], i16>
// CHECK: fil.join %{{.*}}, %{{.*}} -> !fil.tensor<[B,D], real>
  %6 = fil.join %4, %5 : (!fil.tensor<[B,D], bf16>, !fil.tensor<[B,D], i16>) -> !fil.tensor<[B,D], real>
// CHECK: fil.quantize %{{.*}} : (!fil.tensor<[B,"D/4:bytes"], real>) -> !fil.tensor<[B,"D/4:bytes"], i8>
  %8 = fil.quantize %7 : (!fil.tensor<[B,"D/4:bytes"], real>) -> !fil.tensor<[B,"D/4:bytes"], i8>
// CHECK: fil.unpack %{{.*}} "D" from "D/4:bytes" bits 2 : (!fil.tensor<[B,"D/4:bytes"], i8>) -> !fil.tensor<[B,D], real>
  %9 = fil.unpack %8 "D" from "D/4:bytes" bits 2 : (!fil.tensor<[B,"D/4:bytes"], i8>) -> !fil.tensor<[B,D], real>
  fil.return %9 : !fil.tensor<[B,D], real>
}
