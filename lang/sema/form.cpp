// SPDX-License-Identifier: Apache-2.0
#include "lang/sema/form.h"

namespace fil::sema {

static std::vector<Size> monomials(const Size &s) {
  std::vector<Size> out;
  for (int constant = 0; constant < 2; ++constant)
    for (auto &[m, c] : s.terms()) {
      if (m.empty() != (constant == 1)) continue;
      Size t(c);
      for (auto &[name, e] : m) t = t * Size::symbol(name).pow(e);
      out.push_back(t);
    }
  return out;
}
Form::Form(const Size &s) {
  for (const Size &t : monomials(s)) append(t);
}
void Form::append(const Size &t) {
  if (t == Size()) return;
  for (size_t i = 0; i < terms_.size(); ++i) {
    bool same = terms_[i].terms().begin()->first == t.terms().begin()->first;
    bool constant = t.isConstant() && terms_[i].isConstant();
    if (!same || (i + 1 < terms_.size() && !constant && !(terms_[i] + t == Size()))) continue;
    terms_[i] = terms_[i] + t;
    if (terms_[i] == Size()) terms_.erase(terms_.begin() + long(i));
    return;
  }
  terms_.push_back(t);
}
Size Form::size() const {
  Size s;
  for (const Size &t : terms_) s = s + t;
  return s;
}
std::string Form::name() const {
  std::string out;
  for (const Size &t : terms_) {
    std::string s = t.str();
    out += (out.empty() || s[0] == '-' ? "" : "+") + s;
  }
  return out.empty() ? "0" : out;
}
Form operator+(const Form &a, const Form &b) {
  Form r = a;
  for (const Size &t : b.terms_) r.append(t);
  return r;
}
Form operator-(const Form &a, const Form &b) { return a + b * Form(-1); }
Form operator*(const Form &a, const Form &b) {
  Form r;
  for (const Size &s : a.terms_)
    for (const Size &t : b.terms_)
      for (const Size &m : monomials(s * t)) r.append(m);
  return r;
}
Form operator/(const Form &a, const Form &b) {
  Form r;
  Size d = b.size();
  for (const Size &s : a.terms_)
    for (const Size &m : monomials(s / d)) r.append(m);
  if (a.terms_.empty()) (void)(Size(1) / d); // 0/0 is an error too
  return r;
}
Form Form::pow(int e) const {
  Form r(1);
  for (int i = 0; i < (e < 0 ? -e : e); ++i) r = r * *this;
  return e < 0 ? Form(1) / r : r;
}
} // namespace fil::sema
