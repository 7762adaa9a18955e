// SPDX-License-Identifier: Apache-2.0
// fil-opt: runs any pass on a module of the fil dialect.
#include "ir/ir.h"
#include "passes/pipeline/pipeline.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<fil::ir::FilDialect>();
  mlir::registerTransformsPasses();
  fil::passes::registerAllPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Filigree optimizer driver\n", registry));
}
