// SPDX-License-Identifier: Apache-2.0
// Static numbers of the language: a size that also remembers how it was put together, because a sum of dims is a
// concatenation and keeps its order (`N+R` is another dim than `R+N`, of the same size).
#pragma once
#include "runtime/base/size.h"
#include <vector>

namespace fil::sema {

class Form {
public:
  Form() = default;
  Form(Rational v) : Form(Size(v)) {}
  Form(int64_t v) : Form(Size(v)) {}
  explicit Form(const Size &s); ///< terms in the size's own order
  static Form symbol(const std::string &dim) { return Form(Size::symbol(dim)); }

  Size size() const;
  std::string name() const;                     ///< canonical text: equal names are the same dim
  bool isNumber() const { return size().isConstant(); }
  const std::vector<Size> &terms() const { return terms_; }

  friend Form operator+(const Form &, const Form &);
  friend Form operator-(const Form &, const Form &);
  friend Form operator*(const Form &, const Form &);
  friend Form operator/(const Form &, const Form &);
  Form pow(int e) const;

private:
  std::vector<Size> terms_; ///< one monomial each; neighbours with equal symbols are joined
  void append(const Size &monomial);
};
} // namespace fil::sema
