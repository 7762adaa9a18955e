// RUN: %fil-errors %s
// What a group's verifier refuses.

fil.dims {B, D = "4"}
fil.func @f(%x: !fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
  // expected-error @+1 {{yields a value that is not kept}}
  %0 = fil.group rows ["B"] (%y = %x) : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
    %1 = fil.reduce sum %y over ["D"] : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32>
    fil.yield %1 : !fil.tensor<[B], f32>
  }
  fil.return %0 : !fil.tensor<[B], f32>
}

// -----
fil.dims {B, D = "4"}
fil.func @f(%x: !fil.tensor<[B,D], f32>) -> !fil.tensor<[B,D], f32> {
  // expected-error @+1 {{yields other types than those of its results}}
  %0 = fil.group rows ["B"] (%y = %x) : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B,D], f32> {
    %1 = fil.reduce sum %y over ["D"] {fil.kept} : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32>
    fil.yield %1 : !fil.tensor<[B], f32>
  }
  fil.return %0 : !fil.tensor<[B,D], f32>
}

// -----
fil.dims {B, D = "4"}
fil.func @f(%x: !fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
  // expected-error @+1 {{keeps '!fil.tensor<[B], f32>', which has no dim `D` of the rows}}
  %0 = fil.group rows ["B", "D"] (%y = %x) : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32> {
    %1 = fil.reduce sum %y over ["D"] {fil.kept} : (!fil.tensor<[B,D], f32>) -> !fil.tensor<[B], f32>
    fil.yield %1 : !fil.tensor<[B], f32>
  }
  fil.return %0 : !fil.tensor<[B], f32>
}
