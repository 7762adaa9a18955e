// SPDX-License-Identifier: Apache-2.0
#include "passes/pipeline/pipeline.h"
#include "mlir/Transforms/Passes.h"
#include "passes/autodiff/passes.h"
#include "passes/lora/passes.h"
#include "passes/normalize/passes.h"
#include "passes/precision/passes.h"
#include "passes/qat/passes.h"
#include "passes/schedule/passes.h"
#include "passes/sparsity/passes.h"
#include "passes/train/passes.h"

namespace fil::passes {

static void clean(mlir::OpPassManager &pm) {
  pm.addPass(createSimplifyPass());
  pm.addPass(mlir::createCSEPass()); // equal calls of library functions leave equal ops
  pm.addPass(createSimplifyPass());  // what nobody uses any more
}

void normalize(mlir::OpPassManager &pm) {
  clean(pm);
  pm.addPass(createContractSumsPass());
  pm.addPass(createHoistInvariantsPass()); // before autodiff, so that tables are not saved for each turn
  clean(pm);
  pm.addPass(createGatherProductsPass());
  pm.addPass(createNameProductsPass());
}
void lora(mlir::OpPassManager &pm) {
  pm.addPass(createAddAdaptersPass()); // on the program that the model says; behind it, a weight's use is three products
  clean(pm);
}
void sparsity(mlir::OpPassManager &pm, const PipelineOptions &o) {
  pm.addPass(createLimitMembersPass());
  pm.addPass(createAddGatesPass({o.neurons})); // on products of weights as they stand
  pm.addPass(createAddMasksPass()); // behind the adapters, whose products are not masked; before gradients, which are
  pm.addPass(createAddPatternsPass());
  pm.addPass(createGatherMembersPass()); // last: gates and masks know rows that are read as they stand
}
void qat(mlir::OpPassManager &pm) {
  pm.addPass(createFakeQuantizePass());
}
void autodiff(mlir::OpPassManager &pm) {
  pm.addPass(createDifferentiatePass());
  pm.addPass(createVerifyRolesPass());
}
void train(mlir::OpPassManager &pm, const PipelineOptions &o) {
  pm.addPass(createBuildStepPass({o.clip}));
  pm.addPass(createMakeDecodePass()); // from `run`, which exists without training too
  pm.addPass(createAbsorbProductsPass());
  pm.addPass(createMakeInitPass());   // last: now all variables exist
  clean(pm);
}
/// Which values loops save for their gradient, on whole expressions, before they are cut into groups.
static void chooseSaved(mlir::OpPassManager &pm, const PipelineOptions &o) {
  pm.addPass(createRecomputeSavedPass({o.remat, {o.rematSites.begin(), o.rematSites.end()}, o.saved != "f32"}));
  clean(pm);
}
void precision(mlir::OpPassManager &pm, const PipelineOptions &o) {
  pm.addPass(createKeepWholePass()); // what is whole numbers is not kept in two parts
  if (o.master != "f32" || !o.moments.empty()) pm.addPass(createNarrowStatePass({o.master, {o.moments.begin(), o.moments.end()}, o.nearest}));
  if (!o.caches.empty()) pm.addPass(createNarrowCachesPass({{o.caches.begin(), o.caches.end()}}));
  pm.addPass(createAddLevelsPass()); // a copy of the step, as it is optimized
  pm.addPass(createRoundOperandsPass());
  clean(pm);
  pm.addPass(createKeepFrozenPass());
  if (o.saved != "f32") {
    chooseSaved(pm, o); // which values are rounded depends on it
    pm.addPass(createNarrowSavedPass({o.saved}));
  }
  pm.addPass(createChooseFormatsPass({o.format}));
}
void schedule(mlir::OpPassManager &pm, const PipelineOptions &o) {
  if (o.saved == "f32") chooseSaved(pm, o);
  pm.addPass(createSortByMemberPass());
  pm.addPass(createWidenSubsetsPass());  // of the rest, before what is left of them is cut into point by point sums
  pm.addPass(createCompareIndicesPass());
  pm.addPass(mlir::createCSEPass());
  pm.addPass(createSplitSumsPass());     // before what is left of a sum is folded
  pm.addPass(createExposeResultsPass()); // so that each value that leaves a block has one place
  pm.addPass(createFoldSumsPass());      // so that a group of rows can take a part of a sum over them
  pm.addPass(createFormGroupsPass());
  pm.addPass(createFormStripsPass());
}

void registerAllPasses() {
  registerSimplifyPass(), registerContractSumsPass(), registerHoistInvariantsPass(), registerGatherProductsPass(), registerNameProductsPass();
  registerAddAdaptersPass(), registerLimitMembersPass(), registerAddGatesPass(), registerAddMasksPass(), registerAddPatternsPass(), registerGatherMembersPass();
  registerFakeQuantizePass(), registerKeepWholePass();
  registerDifferentiatePass(), registerVerifyRolesPass();
  registerBuildStepPass(), registerMakeInitPass(), registerMakeDecodePass(), registerAbsorbProductsPass();
  registerNarrowStatePass(), registerNarrowCachesPass(), registerNarrowSavedPass(), registerAddLevelsPass(), registerKeepFrozenPass(), registerRoundOperandsPass(), registerChooseFormatsPass();
  registerRecomputeSavedPass(), registerSortByMemberPass(), registerWidenSubsetsPass(), registerCompareIndicesPass(), registerSplitSumsPass(), registerExposeResultsPass(), registerFoldSumsPass(), registerFormGroupsPass(), registerFormStripsPass();
}

} // namespace fil::passes
