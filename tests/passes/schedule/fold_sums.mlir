// RUN: %fil-opt %s --fil-schedule-fold-sums | FileCheck %s
// RUN: %fil-opt %s --fil-schedule-fold-sums --fil-schedule-form-groups | FileCheck %s --check-prefix=GROUP
// A sum over rows is one of blocks of rows and one over the blocks; the first joins the group that goes by these rows. Short rows, few rows and sums over
// what is not outside stay as they are.

// CHECK: fil.dims {B, "T#blocks" = "ceil({{.*}}T{{.*}})", "T#block" = "64", T, "R#blocks" = "7", "R#block" = "64", R = "400", X = "96", Y = "8"}
fil.dims {B, T, R = "400", X = "96", Y = "8"}

// CHECK-LABEL: fil.func @gain
// CHECK: %[[P:.*]] = fil.map mul
// CHECK: %[[W:.*]] = fil.window %[[P]] [#fil.window_dim<"R" by "R#block" to "R#blocks" stride 64 before 0>]
// CHECK: %[[S:.*]] = fil.reduce sum %[[W]] over ["R#block"] {fil.fold{{.*}}-> !fil.tensor<["R#blocks",X], f32>
// CHECK: fil.reduce sum %[[S]] over ["R#blocks"] {{.*}}-> !fil.tensor<[X], f32>
// GROUP-LABEL: fil.func @gain
// GROUP: fil.group rows ["R"]
// GROUP: fil.map tanh
// GROUP: fil.reduce sum %{{.*}} over ["R#block"]
// GROUP: fil.group rows ["X"]
fil.func @gain(%x: !fil.tensor<[R,X], f32>, %y: !fil.tensor<[R,X], f32>) -> (!fil.tensor<[R,X], f32>, !fil.tensor<[X], f32>) {
  %0 = fil.map tanh(%x) : (!fil.tensor<[R,X], f32>) -> !fil.tensor<[R,X], f32>
  %1 = fil.map mul(%0, %y) : (!fil.tensor<[R,X], f32>, !fil.tensor<[R,X], f32>) -> !fil.tensor<[R,X], f32>
  %2 = fil.reduce sum %1 over ["R"] : (!fil.tensor<[R,X], f32>) -> !fil.tensor<[X], f32>
  fil.return %0, %2 : !fil.tensor<[R,X], f32>, !fil.tensor<[X], f32>
}

// CHECK-LABEL: fil.func @two
// CHECK: fil.reduce sum %{{.*}} over ["T#block"] {fil.fold{{.*}}-> !fil.tensor<[B,"T#blocks",X], f32>
// CHECK: fil.reduce sum %{{.*}} over ["B", "T#blocks"] {{.*}}-> !fil.tensor<[X], f32>
fil.func @two(%x: !fil.tensor<[B,T,X], f32>) -> !fil.tensor<[X], f32> {
  %0 = fil.reduce sum %x over ["B", "T"] : (!fil.tensor<[B,T,X], f32>) -> !fil.tensor<[X], f32>
  fil.return %0 : !fil.tensor<[X], f32>
}

// CHECK-LABEL: fil.func @others
// CHECK-NOT: fil.fold
// CHECK: fil.return
fil.func @others(%x: !fil.tensor<[R,X], f32>, %y: !fil.tensor<[R,Y], f32>, %z: !fil.tensor<[X,Y], f32>) -> (!fil.tensor<[R], f32>, !fil.tensor<[Y], f32>, !fil.tensor<[Y], f32>) {
  %0 = fil.reduce sum %x over ["X"] : (!fil.tensor<[R,X], f32>) -> !fil.tensor<[R], f32>
  %1 = fil.reduce sum %y over ["R"] : (!fil.tensor<[R,Y], f32>) -> !fil.tensor<[Y], f32>
  %2 = fil.reduce sum %z over ["X"] : (!fil.tensor<[X,Y], f32>) -> !fil.tensor<[Y], f32>
  fil.return %0, %1, %2 : !fil.tensor<[R], f32>, !fil.tensor<[Y], f32>, !fil.tensor<[Y], f32>
}
