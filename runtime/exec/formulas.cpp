// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/formulas.h"
#include "runtime/base/status.h"
#include <numeric>

namespace fil {
namespace {
int64_t times(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) throw std::overflow_error("size does not fit 64 bits");
  return r;
}
int64_t plus(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) throw std::overflow_error("size does not fit 64 bits");
  return r;
}
/// A name without parentheses is a symbol, with them the canonical text of an atom.
bool isAtom(const std::string &name) { return name.find('(') != std::string::npos; }
} // namespace

int Formulas::symbol(const std::string &name) {
  auto [it, isNew] = symbolNumbers_.emplace(name, int(symbols_.size()));
  if (isNew) symbols_.push_back(name);
  return it->second;
}

int Formulas::atom(const std::string &text) {
  if (auto it = atomNumbers_.find(text); it != atomNumbers_.end()) return it->second;
  const size_t open = text.find('(');
  const std::string name = text.substr(0, open), inner = text.substr(open + 1, text.size() - open - 2);
  size_t comma = inner.size();
  for (size_t i = 0, depth = 0; i < inner.size() && comma == inner.size(); ++i) {
    depth += (inner[i] == '(') - (inner[i] == ')');
    if (inner[i] == ',' && depth == 0) comma = i;
  }
  const std::map<std::string, Function> functions = {{"floor", Function::Floor}, {"ceil", Function::Ceil}, {"min", Function::Min}, {"max", Function::Max}, {"inv", Function::Inverse}};
  auto f = functions.find(name);
  auto a = Size::parse(inner.substr(0, comma)), b = comma < inner.size() ? Size::parse(inner.substr(comma + 1)) : Size(0);
  if (f == functions.end() || !a || !b) throw Error(Exit::Internal, "E0702", fmt::format("`{}` is no size", text));
  const int x = add(*a), y = add(*b);
  atoms_.push_back({f->second, x, y});
  return atomNumbers_[text] = int(atoms_.size()) - 1;
}

int Formulas::add(const Size &size) {
  const std::string text = size.str();
  if (auto it = formulaNumbers_.find(text); it != formulaNumbers_.end()) return it->second;
  std::vector<std::pair<int64_t, std::vector<Factor>>> terms;
  int64_t denominator = 1;
  for (auto &[m, c] : size.terms()) denominator = times(denominator / std::gcd(denominator, c.den), c.den);
  for (auto &[m, c] : size.terms()) {
    std::vector<Factor> factors;
    for (auto &[name, e] : m) factors.push_back({isAtom(name) ? ~atom(name) : symbol(name), e}); // may add formulas
    terms.push_back({times(c.num, denominator / c.den), std::move(factors)});
  }
  Formula f{uint32_t(terms_.size()), 0, uint32_t(factors_.size()), denominator, text};
  for (auto &[c, factors] : terms) {
    factors_.insert(factors_.end(), factors.begin(), factors.end());
    terms_.push_back({c, uint32_t(factors_.size())});
  }
  f.lastTerm = uint32_t(terms_.size());
  formulas_.push_back(std::move(f));
  evaluated_.push_back(0), values_.push_back({});
  return formulaNumbers_[text] = int(formulas_.size()) - 1;
}

void Formulas::bind(const std::vector<int64_t> &values) {
  bound_ = values.data();
  ++epoch_;
}

Rational Formulas::atomValue(const Atom &a) {
  Rational x = value(a.a);
  switch (a.function) {
  case Function::Floor: return x.floor();
  case Function::Ceil: return x.ceil();
  case Function::Inverse: return Rational(1) / x;
  case Function::Min:
  case Function::Max: break;
  }
  Rational y = value(a.b);
  return (x < y) == (a.function == Function::Min) ? x : y;
}

Rational Formulas::compute(const Formula &f) {
  int64_t sum = 0;
  Rational rest; // of terms with a quotient
  uint32_t factor = f.firstFactor;
  for (uint32_t t = f.firstTerm; t < f.lastTerm; ++t) {
    int64_t n = terms_[t].coefficient, d = 1;
    for (; factor < terms_[t].factors; ++factor) {
      auto [slot, exponent] = factors_[factor];
      const Rational v = slot < 0 ? atomValue(atoms_[size_t(~slot)]) : [&] {
        Rational r;
        r.num = bound_[slot];
        return r;
      }();
      if (slot >= 0 && v.num == unbound)
        throw Error(Exit::Input, "E0516", fmt::format("the size {} is not known: no input says what {} is", f.text, symbols_[size_t(slot)]));
      for (int e = 0; e < exponent; ++e) n = times(n, v.num), d = times(d, v.den);
      for (int e = 0; e > exponent; --e) n = times(n, v.den), d = times(d, v.num);
    }
    if (d == 1) sum = plus(sum, n);
    else rest = rest + Rational(n, d);
  }
  if (rest.num == 0 && sum % f.denominator == 0) {
    Rational r;
    r.num = sum / f.denominator;
    return r;
  }
  return (Rational(sum) + rest) / Rational(f.denominator);
}

Rational Formulas::value(int i) {
  const size_t formula = size_t(i);
  if (evaluated_[formula] != epoch_) {
    try {
      values_[formula] = compute(formulas_[formula]);
    } catch (const Error &) {
      throw;
    } catch (const std::exception &e) { // overflow, division by 0
      refuse(i, std::string("cannot be computed: ") + e.what());
    }
    evaluated_[formula] = epoch_;
  }
  return values_[formula];
}

void Formulas::refuse(int formula, const std::string &why) const {
  throw Error(Exit::Input, "E0517", fmt::format("the size {} {}", formulas_[size_t(formula)].text, why), "choose dims that divide, or round in the program: `floor(..)`, `ceil(..)`");
}
int64_t Formulas::whole(int formula) {
  const Rational v = value(formula);
  if (!v.isWhole()) refuse(formula, "is " + v.str() + ", which is not whole");
  return v.num;
}
int64_t Formulas::size(int formula) {
  const int64_t v = whole(formula);
  if (v < 0) refuse(formula, "is " + std::to_string(v) + ", which is no size");
  return v;
}

} // namespace fil
