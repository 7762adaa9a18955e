// SPDX-License-Identifier: Apache-2.0
// The one table of a plan's clauses: every key with the values it takes, its default, an example, and what comes of it:
// it acts, or it is refused under a stable code by the command that would have to act. The checker, the canonical order,
// docs/plans.md and the tests read this table; nothing else knows the keys.
#pragma once
#include "lang/diag/diag.h"
#include <optional>
#include <string>
#include <vector>

namespace fil::sema {

/// What a facet in `SITES: facet` is about; a pattern that names a block stands for these sites in it.
enum class About { Nothing, Any, Subsets, Blocks, Params, Maps };

/// One way to write one key. A key may have several rows; the first that fits holds.
///
/// `shape` is what follows the key, in order: `word`, KIND, `call(KIND name=KIND)`, `a|b`, `( .. )`, `?` optional, `+` one
/// or more with or without commas. `options` are name=KIND in any order, `!` for those that must be given, `:` before a default. Keys in
/// capitals stand for a name of that kind, and then belong to the shape; SITES is a line `PATH: facet`.
struct ClauseRow {
  const char *clause;               ///< the key around it: "" for a plan's own keys, `train`, `precision.adapt`
  const char *key, *shape, *options;
  const char *fallback;             ///< the default as it would be written behind the key; "" where there is none
  const char *example;              ///< a whole setting
  About about;
  std::optional<Msg> refused;       ///< none: it acts
  const char *command;              ///< the command that acts, or that would have to and refuses
  const char *approximates = "";    ///< of a clause that acts and does not compute what the model says: how its error is measured
  bool acts() const { return !refused; }
};
const std::vector<ClauseRow> &clauseTable();

/// Named values for shapes, with how each is called in a message.
struct KindRow { const char *name, *what; };
const std::vector<KindRow> &kindTable();

/// Where a key stands in the canonical order of its clause; keys that are names of things come last.
int placeOf(const std::string &clause, const std::string &key);
bool isClause(const std::string &clause);                 ///< has keys of its own
std::vector<const ClauseRow *> rowsOf(const std::string &clause, const std::string &key); ///< exact keys only
std::vector<const ClauseRow *> openRowsOf(const std::string &clause);                     ///< keys in capitals, without SITES
std::vector<std::string> keysOf(const std::string &clause);                               ///< exact keys

/// A shape or a list of options, parsed.
struct ValueShape {
  enum Kind { Sequence, Either, Optional, Repeat, Word, Value, Call, Arrow } kind = Sequence;
  std::string text;                 ///< Word; Value: the kind; Call: the callee
  std::vector<ValueShape> parts;         ///< Sequence, Either; Optional, Repeat: one; Call: positional arguments
  struct Option {
    std::string name;
    std::vector<ValueShape> value;  ///< one
    bool must;
    std::string fallback;           ///< as it would be written behind `=`; empty: left out
  };
  std::vector<Option> options;      ///< Call: named arguments
};
ValueShape parseShape(const std::string &);
std::vector<ValueShape::Option> parseOptions(const std::string &);

} // namespace fil::sema
