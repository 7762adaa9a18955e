// RUN: %fil-opt %s | FileCheck %s

fil.dims {"D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:1" = "1", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
// Of a dim what is there: two of each four, and granules of two by three.
// CHECK: fil.expand %{{.*}} by %{{.*}} "D" from ["D/4", "D/4:2"] granules [] : (!fil.tensor<["D/4","D/4:2",F], real>, !fil.tensor<["D/4",F], i8>) -> !fil.tensor<[D,F], real>
// CHECK: fil.compress %{{.*}} by %{{.*}} places %{{.*}} "D" into ["D/2:1", "D%2"] granules ["D", "D/2", "F", "F/3"] : (!fil.tensor<[D,F], real>, !fil.tensor<["D/2","F/3"], int>, !fil.tensor<["D/2:1","F/3"], int>) -> !fil.tensor<["D/2:1","D%2",F], real>
fil.func @thinned(%v: !fil.tensor<["D/4","D/4:2",F], real>, %p: !fil.tensor<["D/4",F], i8>, %s: !fil.tensor<["D/2","F/3"], int>, %q: !fil.tensor<["D/2:1","F/3"], int>) -> !fil.tensor<["D/2:1","D%2",F], real> {
  %0 = fil.expand %v by %p "D" from ["D/4", "D/4:2"] granules [] : (!fil.tensor<["D/4","D/4:2",F], real>, !fil.tensor<["D/4",F], i8>) -> !fil.tensor<[D,F], real>
  %1 = fil.compress %0 by %s places %q "D" into ["D/2:1", "D%2"] granules ["D", "D/2", "F", "F/3"] : (!fil.tensor<[D,F], real>, !fil.tensor<["D/2","F/3"], int>, !fil.tensor<["D/2:1","F/3"], int>) -> !fil.tensor<["D/2:1","D%2",F], real>
  fil.return %1 : !fil.tensor<["D/2:1","D%2",F], real>
}
