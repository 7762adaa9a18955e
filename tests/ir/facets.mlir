// RUN: %fil-opt %s | FileCheck %s
// Every kind of facet in the site table.

// CHECK: fil.site "" [#fil.format<e4m3 dgrad e5m2 wgrad bf16 out bf16 activations[1, 128] weights[128, 128]>, #fil.replica<{axis = "dp", dim = "B"}>, #fil.shard<{axis = "tp", dim = "F"}>, #fil.stage<{}>, #fil.wire<{}>, #fil.distill<{}>, #fil.order<{}>, #fil.adapt<every 200>, #fil.qat<bits 4 acts 8 per tensor steps 2000 warm 2.000000e-01>]
fil.site "" [#fil.format<e4m3 dgrad e5m2 wgrad bf16 out bf16 activations[1, 128] weights[128, 128]>, #fil.replica<{axis = "dp", dim = "B"}>, #fil.shard<{axis = "tp", dim = "F"}>, #fil.stage<{}>, #fil.wire<{}>, #fil.distill<{}>, #fil.order<{}>, #fil.adapt<every 200>, #fil.qat<bits 4 acts 8 per tensor steps 2000 warm 2.000000e-01>]
// CHECK: fil.site "l[0..4].MLA.s*" [#fil.gather<block 64>]
fil.site "l[0..4].MLA.s*" [#fil.gather<block 64>]
// CHECK: fil.site "l[0..4].MoE.e*" [#fil.grouped<capacity 1.250000e+00>]
fil.site "l[0..4].MoE.e*" [#fil.grouped<capacity 1.25>]
// CHECK: fil.site "w" [#fil.topology<rigl density 2.000000e-01 every 100 alpha 3.000000e-01 until 7.500000e-01 granule 1 16>, #fil.gate<keep 5.000000e-01 rank 16 granule 16 hysteresis 0.000000e+00>, #fil.blocks<2 of 4 density 0.000000e+00 granule 4 1>, #fil.remat<{}>, #fil.lora<rank 8 alpha 0.000000e+00 init zero variant dora merge never>]
fil.site "w" [#fil.topology<rigl density 2.000000e-01 every 100 alpha 3.000000e-01 until 7.500000e-01 granule 1 16>, #fil.gate<keep 5.000000e-01 rank 16 granule 16 hysteresis 0.0>, #fil.blocks<2 of 4 density 0.000000e+00 granule 4 1>, #fil.remat<{}>, #fil.lora<rank 8 alpha 0.0 init zero variant dora merge never>]
// CHECK: fil.site "v" [#fil.whole<bits 4 acts 0 per channel>]
fil.site "v" [#fil.whole<bits 4 acts 0 per channel>]
