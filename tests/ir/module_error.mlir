// RUN: %fil-errors %s
// What the verifiers of tables, functions and loops refuse.

// expected-error @+1 {{names dim `D` twice}}
fil.dims {B, D = "4", D = "5"}

// -----
// expected-error @+1 {{size of `D` is no formula: 4+}}
fil.dims {B, D = "4+"}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
// expected-error @+1 {{has a type whose dims are unknown or not in the order of the module's table: '!fil.tensor<[D,B], real>'}}
fil.func @f(%x: !fil.tensor<[D,B], real>) {
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
// expected-error @+1 {{has a type whose dims are unknown or not in the order}}
fil.func @f(%x: !fil.tensor<[B,Nowhere], real>) {
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B], real>) -> !fil.tensor<[B,D], real> {
  // expected-error @+1 {{does not return the function's result types}}
  fil.return %x : !fil.tensor<[B], real>
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f() {
  // expected-error @+1 {{names no variable: @nu}}
  %0 = fil.read @nu : <[D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f() {
  // expected-error @+1 {{has type '!fil.tensor<[F], real>', the variable has '!fil.tensor<[D], real>'}}
  %0 = fil.read @mu : <[F], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[D], real>) {
  fil.write @mu, %x : <[D], real>
  // expected-error @+1 {{writes @mu a second time}}
  fil.write @mu, %x : <[D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,"l#0"], real>) {
  // expected-error @+1 {{has no turns}}
  %0 = fil.layers %t = l 3 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>) -> () {
    fil.yield %h : !fil.tensor<[B,D], real>
  }
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,"l#0"], real>) {
  // expected-error @+1 {{yields 0 values for 1 results}}
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>) -> () {
    fil.yield
  }
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,"l#0"], real>) {
  // expected-error @+1 {{carries values of changing type}}
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,D], real>) -> (!fil.tensor<[B,F], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>) -> () {
    fil.yield %h : !fil.tensor<[B,D], real>
  }
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,"l#0"], real>) {
  // expected-error @+1 {{stacked operand of type}}
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked(%g = %w) shared() : (!fil.tensor<[B,D], real>, !fil.tensor<[D,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D,"l#0"], real>) -> () {
    fil.yield %h : !fil.tensor<[B,D], real>
  }
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,"l#0"], real>) {
  // expected-error @+1 {{shared operand of type}}
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared(%g = %w) : (!fil.tensor<[B,D], real>, !fil.tensor<[D,"l#0"], real>) -> (!fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>, !fil.tensor<[D], real>) -> () {
    fil.yield %h : !fil.tensor<[B,D], real>
  }
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,"l#0"], real>) {
  // expected-error @+1 {{stacked result of type}}
  %0:2 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,D], real>) -> (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>) body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>) -> () {
    fil.yield %h, %h : !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>
  }
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.variable state @mu : !fil.tensor<[D], real> init <constant, 0.0, 0.0> site "mu" declared ["D"] loops []
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  %0 = fil.layers %t = l 0 to 3 dim "l#0" carried(%h = %x) stacked() shared() : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real> body (!fil.tensor<[], int>, !fil.tensor<[B,D], real>) -> () {
    // expected-error @+1 {{stands inside a loop; variables are read and written at a function's top level}}
    %1 = fil.read @mu : <[D], real>
    fil.yield %h : !fil.tensor<[B,D], real>
  }
  fil.return
}

// -----
// expected-error @+1 {{has what is no facet: "rigl"}}
fil.site "w" ["rigl"]

// -----
// expected-error @+1 {{has what is no consumed facet: #fil.remat<{rule = "all"}>}}
fil.site "w" [] consumed [#fil.remat<{rule = "all"}>]
