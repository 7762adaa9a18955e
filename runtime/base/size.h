// SPDX-License-Identifier: Apache-2.0
// Exact arithmetic on sizes: a sum of monomials in named dims with rational coefficients, always in normal form, so that
// equal sizes compare equal (`4*(8*C)` is `32*C`, `Y/2/2` is `Y/4`). Shared by the checker, the dialect, the plan of
// buffers in an Executable and the runtime that binds them. Rounding and choice are opaque atoms: `floor(3/10*Out)`.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fil {

/// An exact fraction num/den, den > 0, lowest terms. Overflow of 64 bits throws std::overflow_error.
struct Rational {
  int64_t num = 0, den = 1;
  Rational() = default;
  Rational(int64_t n, int64_t d = 1);
  bool isWhole() const { return den == 1; }
  double value() const { return double(num) / double(den); }
  Rational floor() const;
  Rational ceil() const;
  std::string str() const;
  friend bool operator==(const Rational &, const Rational &) = default;
};
Rational operator+(Rational, Rational);
Rational operator-(Rational, Rational);
Rational operator*(Rational, Rational);
Rational operator/(Rational, Rational); ///< throws std::domain_error when dividing by 0
bool operator<(Rational, Rational);

class Size {
public:
  /// Symbol or atom name → exponent (not 0). The empty monomial is 1.
  using Monomial = std::map<std::string, int>;

  Size() = default; ///< 0
  Size(int64_t value) : Size(Rational(value)) {}
  Size(Rational value);
  static Size symbol(const std::string &name);
  static Size floor(const Size &);
  static Size ceil(const Size &);
  static Size min(const Size &, const Size &);
  static Size max(const Size &, const Size &);
  /// Parses what str() prints: names, whole numbers, + - * / ^INT, parentheses, floor ceil min max.
  static std::optional<Size> parse(std::string_view);

  bool isConstant() const;
  std::optional<Rational> constant() const; ///< the value, where no symbol is left
  std::vector<std::string> symbols() const; ///< sorted; those within atoms included
  std::string str() const;                  ///< canonical text; equal sizes print equal

  /// Replaces symbols by sizes; a symbol for which `with` has none stays.
  Size substitute(const std::function<std::optional<Size>(const std::string &)> &with) const;
  /// The value for bound symbols; none where a symbol is unbound.
  std::optional<Rational> eval(const std::function<std::optional<int64_t>(const std::string &)> &bound) const;

  const std::map<Monomial, Rational> &terms() const { return terms_; }
  friend bool operator==(const Size &, const Size &) = default;
  friend Size operator+(const Size &, const Size &);
  friend Size operator-(const Size &, const Size &);
  friend Size operator*(const Size &, const Size &);
  /// Exact quotient. A divisor with several terms becomes an atom `inv(..)`; dividing by 0 throws std::domain_error.
  friend Size operator/(const Size &, const Size &);
  Size pow(int exponent) const;

private:
  std::map<Monomial, Rational> terms_; // no zero coefficients
  void add(const Monomial &, Rational);
};

} // namespace fil
