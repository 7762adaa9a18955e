// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_NORMALIZE_TD
#define FIL_NORMALIZE_TD
include "mlir/Pass/PassBase.td"

def SimplifyPass : Pass<"fil-normalize-simplify", "::mlir::ModuleOp"> {
  let summary = "constants are computed, identities removed, unused ops and operands of loops dropped";
  let description = [{
    What: functions of constants are folded; x^2 is x*x, x^1 is x; x+0, x*1, x/1, x-0, a choice under the same condition, a repetition
    to the same dims, names changed there and back, a slice of the whole go. Only identities that keep every bit of finite
    results (x*0 stays).
    Why here: elaborated functions bring constants for their defaults; every later pass sees fewer ops. Runs again after autodiff.
  }];
}

def HoistInvariantsPass : Pass<"fil-normalize-hoist-invariants", "::mlir::ModuleOp"> {
  let summary = "what every turn of a loop computes alike is computed before it";
  let description = [{
    Ops of a loop's body whose operands are the same in each turn move in front of the loop, if their result is a real tensor
    (tables of positions, products of shared operands); the body gets it as a shared operand. Scalars and conditions stay:
    they cost less than the memory.
  }];
}

def ContractSumsPass : Pass<"fil-normalize-contract-sums", "::mlir::ModuleOp"> {
  let summary = "a sum of products that has rows and columns is a contraction";
  let description = [{
    What: `sum(x * w, over D)`, where x and w both have D and each of them 16 rows or columns of its own, is `dot(x, w, over D)`: no value of the product is kept for
    the gradient, and tiles multiply. What has no rows or no columns, as a weighted sum, stays: it is computed row by row. So does a factor that elementwise
    functions make of less than it is, as of all pairs of two vectors: a contraction would have it in memory.
    Why here: gradients, adapters and formats are of contractions.
  }];
}

def GatherProductsPass : Pass<"fil-normalize-gather-products", "::mlir::ModuleOp"> {
  let summary = "products of members' rows become rows of the product, where these are fewer";
  let description = [{
    What: `c[s*] @ w` becomes `(c @ w)[s*]` where each of the positions that c keeps chooses members of them, so that members are more often gathered
    than there are rows: fewer multiplications, and no product of the members of all points in memory. Elements keep their bits.
    What stays: where sizes that are not known decide. In `decode`, which has few positions, absorb-products takes it back.
    Why here: adapters, masks and formats see the product as it is done.
  }];
}

def NameProductsPass : Pass<"fil-normalize-name-products", "::mlir::ModuleOp"> {
  let summary = "the product of a param gets the param's site";
  let description = [{
    What: a contraction one of whose operands is a param, as it is or renamed, is of the site of this param and no longer of the block that says it.
    Why here: its gradients take the site over, so that formats, costs and explanations of a param find all its products, whatever becomes of the param.
  }];
}
#endif
