// RUN: %fil-errors %s
// What the verifiers of body ops refuse.

fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f() {
  // expected-error @+1 {{value 2.500000e+00 is none of}}
  %0 = fil.constant 2.5 : <[], int>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f() {
  // expected-error @+1 {{is no scalar}}
  %0 = fil.constant 2.0 : <[D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f() {
  // expected-error @+1 {{size is no formula: 3+}}
  %0 = fil.size "3+" : <[], int>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f() {
  // expected-error @+1 {{is no scalar number}}
  %0 = fil.size "B" : <[], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f() {
  // expected-error @+1 {{has dims [T], its operands give [D]}}
  %0 = fil.iota "D" : <[T], int>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%q: !fil.tensor<[], real>, %k: !fil.tensor<[], int>) {
  // expected-error @+1 {{seed and step are int scalars}}
  %0 = fil.random "p" seed %q step %k : (!fil.tensor<[], real>, !fil.tensor<[], int>) -> !fil.tensor<[B], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%k: !fil.tensor<[], int>) {
  // expected-error @+1 {{stream names 1 loops, but there are 0 turns}}
  %0 = fil.random "l[0..3].p" seed %k step %k : (!fil.tensor<[], int>, !fil.tensor<[], int>) -> !fil.tensor<[B], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{add takes 2 operands, not 1}}
  %0 = fil.map add(%x) : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %y: !fil.tensor<[B,F], real>) {
  // expected-error @+1 {{has dims [B,D], its operands give [B,D,F]}}
  %0 = fil.map add(%x, %y) : (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %n: !fil.tensor<[B,D], int>) {
  // expected-error @+1 {{combines}}
  %0 = fil.map add(%x, %n) : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], int>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{condition is}}
  %0 = fil.map select(%x, %x, %x) : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%n: !fil.tensor<[B,D], int>) {
  // expected-error @+1 {{exp does not take}}
  %0 = fil.map exp(%n) : (!fil.tensor<[B,D], int>) -> !fil.tensor<[B,D], int>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{takes bools, not}}
  %0 = fil.map not(%x) : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{has element}}
  %0 = fil.map gt(%x, %x) : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{casts to a real or an int}}
  %0 = fil.map cast(%x) : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{operand has no dim `F`}}
  %0 = fil.reduce sum %x over ["F"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{reduces over 2 dims}}
  %0 = fil.reduce argmax %x over ["B", "D"] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[], index<B>>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%c: !fil.tensor<[B,D], bool>) {
  // expected-error @+1 {{reduces no}}
  %0 = fil.reduce sum %c over ["D"] : (!fil.tensor<[B,D], bool>) -> !fil.tensor<[B], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,F], real>) {
  // expected-error @+1 {{dim `D` must either be summed or be in the result}}
  %0 = fil.contract %x, %w over [] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,F], real>) {
  // expected-error @+1 {{no operand has it}}
  %0 = fil.contract %x, %w over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,T,F], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D,F], real>) {
  // expected-error @+1 {{which no operand has}}
  %0 = fil.contract %x, %w over ["D", "T"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D,F], real>) -> !fil.tensor<[B,F], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%v: !fil.tensor<[D,V], real>, %x: !fil.tensor<[B,D], real>, %d: !fil.tensor<[B,D,V,"s#0"], real>, %s: !fil.subset<V per [B], "s#0">) {
  // expected-error @+1 {{has an operand over both `V` and `s#0`}}
  %0 = fil.contract %d, %x through %s over ["D"] : (!fil.tensor<[B,D,V,"s#0"], real>, !fil.tensor<[B,D], real>, !fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,V,"s#0"], real>
  fil.return
}

// -----
fil.dims {B, V = "7", "s#0" = "2", points = "2*B + 8"}
fil.func @f(%s: !fil.subset<V per [B], "s#0">) {
  // expected-error @+1 {{has not a place for each position and point}}
  %0 = fil.roster %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[points], int>
  fil.return
}

// -----
fil.dims {B, D = "4", V = "7", "s#0" = "2", points = "2*B + 9"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %w: !fil.tensor<[D], real>, %s: !fil.subset<V per [B], "s#0">) {
  %0 = fil.roster %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[points], int>
  // expected-error @+1 {{is sorted by one subset, not by 0}}
  %1 = fil.contract %x, %w sorted %0 over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[D], real>, !fil.tensor<[points], int>) -> !fil.tensor<[B], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %i: !fil.tensor<[B], index<V>>) {
  // expected-error @+1 {{operand has no dim `V`}}
  %0 = fil.gather %x at %i in "V" : (!fil.tensor<[B,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %i: !fil.tensor<[B], index<V>>) {
  // expected-error @+1 {{is none of dim `D`}}
  %0 = fil.gather %x at %i in "D" : (!fil.tensor<[B,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%v: !fil.tensor<[D,V], real>, %i: !fil.tensor<[B], index<V>>) {
  // expected-error @+1 {{has dims [D], its operands give [D,B]}}
  %0 = fil.gather %v at %i in "V" : (!fil.tensor<[D,V], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %i: !fil.tensor<[B], index<V>>) {
  // expected-error @+1 {{result has no dim `V`}}
  %0 = fil.scatter %x at %i in "V" : (!fil.tensor<[B,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %i: !fil.tensor<[B], index<V>>) {
  // expected-error @+1 {{result has dim `T`, no operand has it}}
  %0 = fil.scatter %x at %i in "V" : (!fil.tensor<[B,D], real>, !fil.tensor<[B], index<V>>) -> !fil.tensor<[B,T,D,V], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%z: !fil.tensor<[B,V], real>) {
  // expected-error @+1 {{selects for each [T], the score has [B]}}
  %0 = fil.topk %z over "V" : (!fil.tensor<[B,V], real>) -> !fil.subset<V per [T], "s#0">
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%z: !fil.tensor<[B,V], real>) {
  // expected-error @+1 {{selects over `D`}}
  %0 = fil.topk %z over "D" : (!fil.tensor<[B,V], real>) -> !fil.subset<V per [B], "s#0">
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%s: !fil.subset<V per [B], "s#0">) {
  // expected-error @+1 {{has dims [B], its operands give [B,s#0]}}
  %0 = fil.present %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[B], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%s: !fil.subset<V per [B], "s#0">) {
  // expected-error @+1 {{has element}}
  %0 = fil.member %s : (!fil.subset<V per [B], "s#0">) -> !fil.tensor<[B,"s#0"], index<D>>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{has stride 0 and padding 1}}
  %0 = fil.window %x [#fil.window_dim<"D" by "ky" to "F" stride 0 before 1>] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,F,ky], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{operand has no dim `T`}}
  %0 = fil.window %x [#fil.window_dim<"T" by "ky" to "F" stride 1 before 1>] : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,F,ky], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %y: !fil.tensor<[B,F], real>) {
  // expected-error @+1 {{joins 2 operands along 1 dims}}
  %0 = fil.concat (%x, %y) ["D"] into "V" : (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,V], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %y: !fil.tensor<[B,F], real>) {
  // expected-error @+1 {{operand has no dim `T`}}
  %0 = fil.concat (%x, %y) ["D", "T"] into "V" : (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,V], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{size is no formula: -}}
  %0 = fil.slice %x "D" from "-" into "lo" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,lo], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{has dims [B,hi], its operands give [B,lo]}}
  %0 = fil.slice %x "D" from "0" into "lo" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,hi], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{operand has dim `B` already}}
  %0 = fil.rename %x "D" to "B" : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{result lacks dim `D`}}
  %0 = fil.broadcast %x : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,T], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", ky = "3", lo = "1", hi = "3", "s#0" = "2", "r#0" = "2", "l#0" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %y: !fil.tensor<[B,F], real>) {
  // expected-error @+1 {{past has type}}
  %0 = fil.cache %x past %y "D" to "V" : (!fil.tensor<[B,D], real>, !fil.tensor<[B,F], real>) -> !fil.tensor<[B,V], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", "D/2" = "2", "D/3" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %n: !fil.tensor<[B,D], int>, %m: !fil.tensor<[T], bool>, %b: !fil.tensor<["D/3"], bool>) {
  // expected-error @+1 {{chooses over `D`, and the count depends on it}}
  %0 = fil.highest %x count %n over ["D"] : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], int>) -> !fil.tensor<[B,D], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", "D/2" = "2", "D/3" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %n: !fil.tensor<[B,D], int>, %m: !fil.tensor<[T], bool>, %b: !fil.tensor<["D/3"], bool>) {
  // expected-error @+1 {{chooses over `T`, which the score lacks}}
  %0 = fil.highest %x count %n over ["T"] : (!fil.tensor<[B,D], real>, !fil.tensor<[B,D], int>) -> !fil.tensor<[B,D], bool>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", "D/2" = "2", "D/3" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %n: !fil.tensor<[B,D], int>, %m: !fil.tensor<[T], bool>, %b: !fil.tensor<["D/3"], bool>) {
  // expected-error @+1 {{mask has dim `T`, the operand has not}}
  %0 = fil.mask %x by %m granules [] : (!fil.tensor<[B,D], real>, !fil.tensor<[T], bool>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, T, D = "4", F = "3", V = "7", "D/2" = "2", "D/3" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %n: !fil.tensor<[B,D], int>, %m: !fil.tensor<[T], bool>, %b: !fil.tensor<["D/3"], bool>) {
  // expected-error @+1 {{`D/3` does not cut `D` into equal parts}}
  %0 = fil.mask %x by %b granules ["D", "D/3"] : (!fil.tensor<[B,D], real>, !fil.tensor<["D/3"], bool>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, D = "300", "D/128" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{makes 'f32' of '!fil.real'}}
  %0 = fil.quantize %x : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], f32>
  fil.return
}

// -----
fil.dims {B, D = "300", "D/128" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], real>, %s: !fil.tensor<[B,"D/128"], real>) {
  // expected-error @+1 {{`D/128` does not count tiles of 64 of `D`}}
  %0 = fil.quantize %x scale %s tiles ["D", "D/128"] [64] : (!fil.tensor<[B,D], real>, !fil.tensor<[B,"D/128"], real>) -> !fil.tensor<[B,D], bf16>
  fil.return
}

// -----
fil.dims {B, D = "300", "D/128" = "3"}
fil.func @f(%x: !fil.tensor<[B,D], bf16>) {
  // expected-error @+1 {{has dims [B], its operand [B,D]}}
  %0 = fil.dequantize %x : (!fil.tensor<[B,D], bf16>) -> !fil.tensor<[B], real>
  fil.return
}

// -----
fil.dims {B, D = "300", H = "100"}
fil.func @f(%x: !fil.tensor<[B,H], i8>) {
  // expected-error @+1 {{`H` does not count bytes of `D`}}
  %0 = fil.unpack %x "D" from "H" bits 4 : (!fil.tensor<[B,H], i8>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, D = "300", H = "100"}
fil.func @f(%x: !fil.tensor<[B,H], i8>) {
  // expected-error @+1 {{has numbers of 3 bits, which are no part of a byte}}
  %0 = fil.unpack %x "D" from "H" bits 3 : (!fil.tensor<[B,H], i8>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, D = "300", H = "150"}
fil.func @f(%x: !fil.tensor<[B,H], bf16>) {
  // expected-error @+1 {{makes '!fil.real' of 'bf16'}}
  %0 = fil.unpack %x "D" from "H" bits 4 : (!fil.tensor<[B,H], bf16>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, D = "300"}
fil.func @f(%x: !fil.tensor<[B,D], real>) {
  // expected-error @+1 {{has element 'bf16', its operands give 'i16'}}
  %0 = fil.part low %x : (!fil.tensor<[B,D], real>) -> !fil.tensor<[B,D], bf16>
  fil.return
}

// -----
fil.dims {B, D = "300"}
fil.func @f(%x: !fil.tensor<[B,D], bf16>) {
  // expected-error @+1 {{makes}}
  %0 = fil.join %x, %x : (!fil.tensor<[B,D], bf16>, !fil.tensor<[B,D], bf16>) -> !fil.tensor<[B,D], real>
  fil.return
}

// -----
fil.dims {B, "D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:2" = "2", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
fil.func @f(%v: !fil.tensor<["D/4","D/4:2",F], real>, %p: !fil.tensor<["D/4",F], i8>) {
  // expected-error @+1 {{has dims}}
  %0 = fil.expand %v by %p "D" from ["D/4", "D/2:2"] granules [] : (!fil.tensor<["D/4","D/4:2",F], real>, !fil.tensor<["D/4",F], i8>) -> !fil.tensor<[D,F], real>
  fil.return
}

// -----
fil.dims {B, "D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:2" = "2", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
fil.func @f(%v: !fil.tensor<["D/4","D/4:2",F], real>, %p: !fil.tensor<["D/4",F], int>) {
  // expected-error @+1 {{a pattern of bits is whole numbers of 8, without granules}}
  %0 = fil.expand %v by %p "D" from ["D/4", "D/4:2"] granules [] : (!fil.tensor<["D/4","D/4:2",F], real>, !fil.tensor<["D/4",F], int>) -> !fil.tensor<[D,F], real>
  fil.return
}

// -----
fil.dims {B, "D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:2" = "2", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
fil.func @f(%w: !fil.tensor<[D,F], real>, %p: !fil.tensor<["D/4",F], i8>) {
  // expected-error @+1 {{a dim of the whole is two of the values}}
  %0 = fil.compress %w by %p "D/4" into ["D/4", "D/4:2"] granules [] : (!fil.tensor<[D,F], real>, !fil.tensor<["D/4",F], i8>) -> !fil.tensor<["D/4","D/4:2",F], real>
  fil.return
}

// -----
fil.dims {B, "D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:2" = "2", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
fil.func @f(%v: !fil.tensor<["D/2:2","D%2",F], real>, %s: !fil.tensor<["D/2","F/3"], int>, %p: !fil.tensor<["D/2:2","F/3"], int>) {
  // expected-error @+1 {{granules are pairs of dims, the thinned one first}}
  %0 = fil.expand %v by %s places %p "D" from ["D/2:2", "D%2"] granules ["F", "F/3"] : (!fil.tensor<["D/2:2","D%2",F], real>, !fil.tensor<["D/2","F/3"], int>, !fil.tensor<["D/2:2","F/3"], int>) -> !fil.tensor<[D,F], real>
  fil.return
}

// -----
fil.dims {B, "D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:2" = "2", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
fil.func @f(%v: !fil.tensor<["D/2:2","D%2",F], real>, %s: !fil.tensor<["D/2","F/3"], int>, %p: !fil.tensor<["D/2:2","F/3"], int>) {
  // expected-error @+1 {{granules are not of the length of `D%2`}}
  %0 = fil.expand %v by %s places %p "D" from ["D/2:2", "D%2"] granules ["D", "D/4", "F", "F/3"] : (!fil.tensor<["D/2:2","D%2",F], real>, !fil.tensor<["D/2","F/3"], int>, !fil.tensor<["D/2:2","F/3"], int>) -> !fil.tensor<[D,F], real>
  fil.return
}

// -----
fil.dims {B, "D/4" = "2", "D/4:2" = "2", "D/2" = "4", "D/2:2" = "2", "D%2" = "2", "F/3" = "2", D = "8", F = "6"}
fil.func @f(%v: !fil.tensor<["D/2:2","D%2",F], real>, %s: !fil.tensor<["D/2","F/3"], int>, %p: !fil.tensor<["D/2:2","F/3"], bool>) {
  // expected-error @+1 {{slots and places are}}
  %0 = fil.expand %v by %s places %p "D" from ["D/2:2", "D%2"] granules ["D", "D/2", "F", "F/3"] : (!fil.tensor<["D/2:2","D%2",F], real>, !fil.tensor<["D/2","F/3"], int>, !fil.tensor<["D/2:2","F/3"], bool>) -> !fil.tensor<[D,F], real>
  fil.return
}
