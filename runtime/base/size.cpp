// SPDX-License-Identifier: Apache-2.0
// Normal-form sizes. An atom (floor, ceil, min, max, inv) is a symbol whose name is its canonical text; evaluation and
// substitution parse that text again, so that no second tree of expressions is needed.
#include "runtime/base/size.h"
#include <cctype>
#include <numeric>
#include <set>
#include <stdexcept>

namespace fil {
namespace {

int64_t narrow(__int128 v) {
  if (v > INT64_MAX || v < INT64_MIN) throw std::overflow_error("size does not fit 64 bits");
  return int64_t(v);
}
Rational make(__int128 n, __int128 d) {
  if (d == 0) throw std::domain_error("division by 0");
  if (d < 0) n = -n, d = -d;
  __int128 a = n < 0 ? -n : n, b = d;
  while (b) { __int128 t = a % b; a = b, b = t; }
  if (a > 1) n /= a, d /= a;
  Rational r;
  r.num = narrow(n), r.den = narrow(d);
  return r;
}
bool isAtom(const std::string &s) { return s.find('(') != std::string::npos; }

/// Recursive descent over canonical text.
struct Parser {
  std::string_view text;
  size_t at = 0;
  int depth = 0;
  bool ok = true;

  char peek() {
    while (at < text.size() && text[at] == ' ') ++at;
    return at < text.size() ? text[at] : '\0';
  }
  bool take(char c) { return peek() == c ? (++at, true) : false; }
  Size fail() { ok = false; return Size(); }

  Size sum() {
    if (++depth > 200) return fail();
    Size s = take('-') ? Size() - product() : product();
    while (ok) {
      if (take('+')) s = s + product();
      else if (take('-')) s = s - product();
      else break;
    }
    --depth;
    return s;
  }
  Size product() {
    Size p = power();
    while (ok) {
      if (take('*')) p = p * power();
      else if (take('/')) p = p / power();
      else break;
    }
    return p;
  }
  Size power() {
    Size base = primary();
    if (!take('^')) return base;
    bool neg = take('-');
    int e = 0;
    if (!std::isdigit((unsigned char)peek())) return fail();
    while (std::isdigit((unsigned char)peek())) e = e * 10 + (text[at++] - '0');
    if (e > 1000) return fail();
    return base.pow(neg ? -e : e);
  }
  Size primary() {
    char c = peek();
    if (take('(')) {
      Size s = sum();
      return take(')') ? s : fail();
    }
    if (std::isdigit((unsigned char)c)) {
      __int128 v = 0;
      while (at < text.size() && std::isdigit((unsigned char)text[at])) v = narrow(v * 10 + (text[at++] - '0'));
      return Size(int64_t(v));
    }
    size_t start = at;
    while (at < text.size() && (std::isalnum((unsigned char)text[at]) || text[at] == '_' || text[at] == '#' ||
                                text[at] == '\'' || text[at] == '.' || text[at] == '@'))
      ++at;
    std::string name(text.substr(start, at - start));
    if (name.empty()) return fail();
    if (!take('(')) return Size::symbol(name);
    Size a = sum();
    if (name == "floor" || name == "ceil" || name == "inv") {
      if (!take(')')) return fail();
      return name == "floor" ? Size::floor(a) : name == "ceil" ? Size::ceil(a) : Size(1) / a;
    }
    if ((name != "min" && name != "max") || !take(',')) return fail();
    Size b = sum();
    if (!take(')')) return fail();
    return name == "min" ? Size::min(a, b) : Size::max(a, b);
  }
};

std::string monomialText(const Size::Monomial &m, Rational c) {
  std::string up = c.num == 1 || c.num == -1 ? "" : std::to_string(c.num < 0 ? -c.num : c.num), down;
  for (auto &[name, e] : m) {
    std::string f = name + (e > 1 ? "^" + std::to_string(e) : e < -1 ? "^" + std::to_string(-e) : "");
    if (e > 0) up += (up.empty() ? "" : "*") + f;
    else down += "/" + f;
  }
  if (up.empty()) up = "1";
  return up + (c.den == 1 ? "" : "/" + std::to_string(c.den)) + down;
}
} // namespace

Rational::Rational(int64_t n, int64_t d) { *this = d == 1 ? (num = n, den = 1, *this) : make(n, d); }
Rational Rational::floor() const {
  int64_t q = num / den;
  return Rational(q - (num % den < 0));
}
Rational Rational::ceil() const {
  int64_t q = num / den;
  return Rational(q + (num % den > 0));
}
std::string Rational::str() const { return std::to_string(num) + (den == 1 ? "" : "/" + std::to_string(den)); }
Rational operator+(Rational a, Rational b) { return make((__int128)a.num * b.den + (__int128)b.num * a.den, (__int128)a.den * b.den); }
Rational operator-(Rational a, Rational b) { return make((__int128)a.num * b.den - (__int128)b.num * a.den, (__int128)a.den * b.den); }
Rational operator*(Rational a, Rational b) { return make((__int128)a.num * b.num, (__int128)a.den * b.den); }
Rational operator/(Rational a, Rational b) { return make((__int128)a.num * b.den, (__int128)a.den * b.num); }
bool operator<(Rational a, Rational b) { return (__int128)a.num * b.den < (__int128)b.num * a.den; }

Size::Size(Rational v) {
  if (v.num) terms_[{}] = v;
}
Size Size::symbol(const std::string &name) {
  Size s;
  s.terms_[{{name, 1}}] = 1;
  return s;
}
static Size round(const Size &s, const char *name, Rational (Rational::*f)() const) {
  if (auto c = s.constant()) return Size(((*c).*f)());
  return Size::symbol(std::string(name) + "(" + s.str() + ")");
}
Size Size::floor(const Size &s) { return round(s, "floor", &Rational::floor); }
Size Size::ceil(const Size &s) { return round(s, "ceil", &Rational::ceil); }
static Size choose(const Size &a, const Size &b, const char *name, bool least) {
  if (a == b) return a;
  auto x = a.constant(), y = b.constant();
  if (x && y) return ((*x < *y) == least) ? a : b;
  std::string s = a.str(), t = b.str();
  if (t < s) std::swap(s, t);
  return Size::symbol(std::string(name) + "(" + s + "," + t + ")");
}
Size Size::min(const Size &a, const Size &b) { return choose(a, b, "min", true); }
Size Size::max(const Size &a, const Size &b) { return choose(a, b, "max", false); }

std::optional<Size> Size::parse(std::string_view text) {
  Parser p{text};
  try {
    Size s = p.sum();
    if (p.ok && p.peek() == '\0') return s;
  } catch (const std::exception &) {
  }
  return std::nullopt;
}

bool Size::isConstant() const { return terms_.empty() || (terms_.size() == 1 && terms_.begin()->first.empty()); }
std::optional<Rational> Size::constant() const {
  if (!isConstant()) return std::nullopt;
  return terms_.empty() ? Rational(0) : terms_.begin()->second;
}
std::vector<std::string> Size::symbols() const {
  std::set<std::string> all;
  substitute([&](const std::string &n) {
    all.insert(n);
    return std::optional<Size>();
  });
  return {all.begin(), all.end()};
}
std::string Size::str() const {
  if (terms_.empty()) return "0";
  std::string out;
  for (int pass = 0; pass < 2; ++pass) // the constant last
    for (auto &[m, c] : terms_)
      if (m.empty() == (pass == 1)) out += (c.num < 0 ? "-" : out.empty() ? "" : "+") + monomialText(m, c);
  return out;
}

Size Size::substitute(const std::function<std::optional<Size>(const std::string &)> &with) const {
  Size out;
  for (auto &[m, c] : terms_) {
    Size t(c);
    for (auto &[name, e] : m) {
      Size base = symbol(name);
      if (isAtom(name)) {
        Parser p{name};
        size_t open = name.find('(');
        std::string f = name.substr(0, open);
        p.at = open + 1;
        Size a = p.sum().substitute(with);
        if (f == "floor") base = floor(a);
        else if (f == "ceil") base = ceil(a);
        else if (f == "inv") base = Size(1) / a;
        else {
          p.take(',');
          Size b = p.sum().substitute(with);
          base = f == "min" ? min(a, b) : max(a, b);
        }
      } else if (auto r = with(name)) {
        base = *r;
      }
      t = t * base.pow(e);
    }
    out = out + t;
  }
  return out;
}
std::optional<Rational> Size::eval(const std::function<std::optional<int64_t>(const std::string &)> &bound) const {
  return substitute([&](const std::string &n) -> std::optional<Size> {
           if (auto v = bound(n)) return Size(*v);
           return std::nullopt;
         })
      .constant();
}

void Size::add(const Monomial &m, Rational c) {
  Rational r = terms_[m] + c;
  if (r.num) terms_[m] = r;
  else terms_.erase(m);
}
Size operator+(const Size &a, const Size &b) {
  Size s = a;
  for (auto &[m, c] : b.terms_) s.add(m, c);
  return s;
}
Size operator-(const Size &a, const Size &b) {
  Size s = a;
  for (auto &[m, c] : b.terms_) s.add(m, Rational(0) - c);
  return s;
}
Size operator*(const Size &a, const Size &b) {
  Size s;
  for (auto &[m, c] : a.terms_)
    for (auto &[n, d] : b.terms_) {
      Size::Monomial mn = m;
      for (auto &[name, e] : n)
        if (!(mn[name] += e)) mn.erase(name);
      s.add(mn, c * d);
    }
  return s;
}
Size operator/(const Size &a, const Size &b) {
  if (b.terms_.empty()) throw std::domain_error("division by 0");
  if (b.terms_.size() > 1) return a == b ? Size(1) : a * Size::symbol("inv(" + b.str() + ")");
  auto &[m, c] = *b.terms_.begin();
  Size inv;
  Size::Monomial n;
  for (auto &[name, e] : m) n[name] = -e;
  inv.terms_[n] = Rational(1) / c;
  return a * inv;
}
Size Size::pow(int e) const {
  Size base = e < 0 ? Size(1) / *this : *this, r(1);
  for (int i = 0; i < std::abs(e); ++i) r = r * base;
  return r;
}
} // namespace fil
