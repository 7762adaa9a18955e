// SPDX-License-Identifier: Apache-2.0
// What a program is written with: dims with their sizes, the values in scope with their dims, and the lines so far.
#pragma once
#include "tests/programs/generator.h"
#include <deque>
#include <functional>
#include <random>
#include <vector>

namespace fil::programs {

struct Axis {
  std::string name, base; ///< `Y/2` of `Y`; two axes of one base never meet
  int size;
  bool symbolic = false;
  bool declared = true;   ///< on a `dims` line
  std::string formula{};  ///< `2*D`
  bool used = false;
};
using Axes = std::vector<Axis *>;

enum class Kind { Real, Bool, Int, Index };
struct Value {
  std::string name;
  Axes axes;
  Kind kind = Kind::Real;
  Axis *indexed = nullptr;
  bool rebindable = false; ///< a `let` of the function's body
  bool used = false;
};

/// A body: its values are seen by the bodies inside it.
struct Scope {
  Scope *outer = nullptr;          ///< null at a function's body
  std::deque<Value> values;
  std::vector<std::string> params; ///< that an `aux` may train
  std::string indent;
  int depth = 0;                   ///< of loops
  bool model = false;              ///< inputs can be added
};

class Writer {
public:
  explicit Writer(uint64_t seed);
  Generated finish();

protected:
  std::mt19937_64 random;
  std::deque<Axis> axes;
  Generated out;
  std::vector<std::string> functions; ///< fn and block declarations
  std::vector<std::string> lines;     ///< of the body at hand
  std::vector<std::pair<std::string, std::string>> inputs;
  std::string loss;
  Axes target;

  // ---- chance ----
  int below(int n) { return int(random() % uint64_t(n)); }
  bool chance(int percent) { return below(100) < percent; }
  template <class T> T &any(std::vector<T> &v) { return v[size_t(below(int(v.size())))]; }
  template <class T> const T &any(const std::vector<T> &v) { return v[size_t(below(int(v.size())))]; }
  std::string word(std::initializer_list<const char *> list) { return *(list.begin() + below(int(list.size()))); }
  void feature(const char *f) { out.features.insert(f); }
  std::string fresh(const char *stem) { return stem + std::to_string(counter++); }

  // ---- dims ----
  Axis *dim(const std::string &name);                 ///< of the universe
  Axis *made(const std::string &name, const Axis *of, int size); ///< `Y/2` of Y; null: of nothing
  Axis *otherDim(const Axes &none);                   ///< a static dim that meets none of these
  static bool has(const Axes &, const Axis *);
  static bool meet(const Axes &, const Axes &);       ///< no two axes of one base
  static int64_t elements(const Axes &);
  static Axes unite(Axes, const Axes &);
  static Axes without(const Axes &, const Axes &gone);
  static std::string list(const Axes &, const char *comma = ",");
  std::string side(const Axes &);                     ///< of a map: `D`, `(H, N)`, `()`
  std::string type(const Axes &axes) { return "[" + list(axes) + "]"; }

  // ---- values ----
  using Wanted = std::function<bool(const Value &)>;
  Value *find(Scope &, const Wanted &);               ///< a random one, marked as used; null if there is none
  Value *real(Scope &s, const Wanted &w = [](const Value &) { return true; });
  Value *partner(Scope &, const Value &);             ///< a real value that can be combined with this one
  void line(Scope &s, const std::string &text) { lines.push_back(s.indent + text); }
  Value &let(Scope &, const std::string &expression, Axes, Kind = Kind::Real, Axis *indexed = nullptr);
  std::string param(Scope &, const std::string &type, const char *init = "");
  std::string input(const char *stem, const std::string &type);
  Value &inputValue(Scope &, const char *stem, Axes, Kind = Kind::Real, Axis *indexed = nullptr);
  /// All that is not yet used, as terms that have no dims but these: `+ 0.3*mean(v, over X)`.
  std::string rest(Scope &, const Axes &);
  /// An elementwise expression of bounded size over these texts.
  std::string function(const std::string &a, const std::string &b);
  std::string function(const std::string &a);

  int counter = 1;
  static constexpr int64_t mostElements = 400, mostTerms = 6000;
};

} // namespace fil::programs
