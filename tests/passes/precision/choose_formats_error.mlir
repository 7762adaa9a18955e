// RUN: %fil-errors %s --fil-precision-choose-formats="default=f16"
// A format that no target has.

// expected-error @+1 {{there is no format `f16` on this target; write f32 or f64}}
module {
  fil.dims {B}
}
