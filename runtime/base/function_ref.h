// SPDX-License-Identifier: Apache-2.0
// A callable by reference: two words, no allocation. It must not outlive what it refers to.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

namespace fil {

template <class> class FunctionRef;
template <class R, class... A> class FunctionRef<R(A...)> {
  const void *object_;
  R (*call_)(const void *, A...);

public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F &, A...>)
  FunctionRef(F &&f)
      : object_(std::addressof(f)), call_([](const void *o, A... a) -> R {
          return (*static_cast<std::remove_reference_t<F> *>(const_cast<void *>(o)))(
              std::forward<A>(a)...);
        }) {}
  R operator()(A... a) const { return call_(object_, std::forward<A>(a)...); }
};

} // namespace fil
