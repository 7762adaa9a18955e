// SPDX-License-Identifier: Apache-2.0
// A contraction as a kernel of three calls, for tests and benchmarks: pack B, pack A, and one block of k of a tile. `begin` and
// `end` of the kernel signature are the steps of k.
#pragma once
#include "codegen/cpu/image.h"
#include "codegen/cpu/tile.h"

namespace fil::test {

/// Which stride is the constant 1: of rows (A) or columns (B), of k, or none.
enum class Access { Outer, K, Strided };
enum class Form { Tile, PackedTile, Skinny };

struct ContractionSpec {
  TileShape shape;
  int registers = 16;
  Access a = Access::K, b = Access::Outer;
  Form form = Form::Tile;
};

/// Order of buffers and sizes in all three kernels.
enum Buffer { A, B, PanelsA, PanelsB, C, BufferCount };
enum SizeIndex { M, N, K, RowA, StepA, ColumnB, StepB, PanelA, PanelB, RowC, SizeCount };

/// B (all k) to PanelsB.
KernelModule packBKernel(std::string name, const ContractionSpec &, const Target &);
/// A, steps begin..end, to PanelsA, whose panels begin with step `begin`.
KernelModule packAKernel(std::string name, const ContractionSpec &, const Target &);
/// C over steps begin..end; continues C if begin > 0.
KernelModule tileKernel(std::string name, const ContractionSpec &, const Target &);

} // namespace fil::test
