// SPDX-License-Identifier: Apache-2.0
// The sizes of a program in a form that is quick to evaluate: each distinct formula once, symbols by number, terms in one array.
// `Size` is exact and easy to compare but a tree of maps; a decoding step has another S each time and evaluates all of them.
#pragma once
#include "runtime/base/size.h"
#include <map>

namespace fil {

class Formulas {
public:
  static constexpr int64_t unbound = INT64_MIN;

  /// The number of a symbol, a new one if need be.
  int symbol(const std::string &name);
  const std::vector<std::string> &symbols() const { return symbols_; }
  /// The number of a formula; equal sizes have equal numbers.
  int add(const Size &);
  size_t size() const { return formulas_.size(); }

  /// From now on symbols have these values (one each, or `unbound`), which must stay where they are. Nothing is evaluated yet.
  void bind(const std::vector<int64_t> &values);
  /// Evaluated once for each bind(). Error E0516 where a symbol is unbound, E0517 where the value does not fit 64 bits.
  Rational value(int formula);
  /// Error E0517 unless it is a whole number, as a size() not below 0.
  int64_t whole(int formula);
  int64_t size(int formula);

private:
  struct Factor { int slot, exponent; };                 ///< of a symbol; ~slot of an atom
  struct Term { int64_t coefficient; uint32_t factors; }; ///< end of its factors
  struct Formula {
    uint32_t firstTerm, lastTerm, firstFactor;
    int64_t denominator; ///< of all coefficients
    std::string text;
  };
  enum class Function { Floor, Ceil, Min, Max, Inverse };
  struct Atom { Function function; int a, b; };

  std::vector<std::string> symbols_;
  std::vector<Factor> factors_;
  std::vector<Term> terms_;
  std::vector<Formula> formulas_;
  std::vector<Atom> atoms_;
  std::map<std::string, int> symbolNumbers_, formulaNumbers_, atomNumbers_;

  const int64_t *bound_ = nullptr;
  uint64_t epoch_ = 0;
  std::vector<uint64_t> evaluated_; ///< epoch
  std::vector<Rational> values_;

  int atom(const std::string &text);
  Rational atomValue(const Atom &);
  Rational compute(const Formula &);
  [[noreturn]] void refuse(int formula, const std::string &why) const;
};

} // namespace fil
