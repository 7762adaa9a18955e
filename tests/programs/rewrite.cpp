// SPDX-License-Identifier: Apache-2.0
#include "tests/programs/rewrite.h"
#include "tools/driver/std_text.h"
#include <algorithm>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <vector>

namespace fil::programs {
namespace {

struct Token {
  std::string text, space; ///< space: what stands before it
  bool word = false;
};
std::vector<Token> tokens(const std::string &text) {
  std::vector<Token> all;
  std::string space;
  auto wordy = [](char c) { return std::isalnum((unsigned char)c) || c == '_'; };
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    if (std::isspace((unsigned char)text[i])) {
      space += text[i++];
      continue;
    }
    if (text.compare(i, 2, "//") == 0) {
      end = std::min(text.find('\n', i), text.size());
      space += text.substr(i, end - i), i = end;
      continue;
    }
    bool word = false;
    if (text[i] == '"') end = text.find('"', i + 1) + 1;
    else if (std::isdigit((unsigned char)text[i])) {
      while (end < text.size() && (wordy(text[end]) || (text[end] == '.' && std::isdigit((unsigned char)text[end + 1])) || (text[end] == '-' && text[end - 1] == 'e'))) ++end;
    } else if (wordy(text[i])) {
      word = true;
      while (end < text.size() && wordy(text[end])) ++end;
    } else
      for (const char *op : {"->", "<-", "..=", "..", "==", "!=", "<=", ">=", "+="})
        if (text.compare(i, std::string(op).size(), op) == 0) {
          end = i + std::string(op).size();
          break;
        }
    all.push_back({text.substr(i, end - i), space, word});
    space.clear(), i = end;
  }
  all.push_back({"", space, false});
  return all;
}
std::string joined(const std::vector<Token> &all) {
  std::string s;
  for (const Token &t : all) s += t.space + t.text;
  return s;
}
/// The library's functions: names that stay, and arguments by name that are theirs.
const std::set<std::string> &library() {
  static const std::set<std::string> names = [] {
    std::set<std::string> found;
    const std::string text(stdText);
    const std::regex declaration(R"((?:^|\n)(?:fn|block) (\w+))");
    for (std::sregex_iterator i(text.begin(), text.end(), declaration), end; i != end; ++i) found.insert((*i)[1]);
    return found;
  }();
  return names;
}
const std::set<std::string> reserved = {"dims", "fn", "block", "model", "loss", "plan", "for", "from", "param", "state", "cache", "experts", "layers", "in", "let", "select", "route", "aux", "trains", "on", "return", "over", "by", "stride",
                                        "int", "bool", "index", "if", "else", "where", "and", "or", "not", "true", "false", "step", "training", "normal", "uniform", "pad", "same",
                                        "abs", "sign", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "erf", "floor", "ceil", "sum", "mean", "max", "min", "argmax", "dot", "concat", "split", "rename", "window", "topk", "scatter",
                                        "stopgrad", "position", "random", "present", "load", "mod"};
} // namespace

std::string renamed(const std::string &text) {
  auto all = tokens(text);
  std::map<std::string, std::string> names;
  std::vector<std::string> calls; // of the open parentheses: who is called
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    Token &t = all[i];
    if (t.text == "(") calls.push_back(i && all[i - 1].word ? all[i - 1].text : "");
    if (t.text == ")" && !calls.empty()) calls.pop_back();
    if (!t.word || reserved.count(t.text) || library().count(t.text)) continue;
    if (all[i + 1].text == "=" && !calls.empty() && library().count(calls.back())) continue; // `first=R` of rope
    auto [it, fresh] = names.try_emplace(t.text);
    if (fresh) it->second = "z" + std::to_string(9999 - names.size()) + "_" + t.text;
    t.text = it->second;
  }
  return joined(all);
}
std::string renamedIn(const std::string &text, const std::string &name) {
  for (const Token &t : tokens(renamed(text)))
    if (t.word && originalName(t.text) == name) return t.text;
  return name;
}
std::string originalName(const std::string &name) {
  std::string s;
  for (size_t i = 0; i < name.size();) {
    const bool made = name[i] == 'z' && i + 6 < name.size() && name[i + 5] == '_' && std::isdigit((unsigned char)name[i + 1]) && (i == 0 || !std::isalnum((unsigned char)name[i - 1]));
    if (made) i += 6;
    else s += name[i++];
  }
  return s;
}

std::string permuted(const std::string &text, uint64_t seed) {
  auto all = tokens(text);
  std::mt19937_64 random(seed);
  auto shuffle = [&](size_t from, size_t to) { // tokens between the brackets
    std::vector<std::vector<Token>> items(1);
    int depth = 0;
    for (size_t i = from; i < to; ++i) {
      depth += all[i].text == "(" || all[i].text == "[";
      depth -= all[i].text == ")" || all[i].text == "]";
      if (!depth && all[i].text == ",") items.emplace_back();
      else items.back().push_back(all[i]);
    }
    std::vector<size_t> plain;
    for (size_t k = 0; k < items.size(); ++k)
      if (items[k].size() == 1 && (items[k][0].word || items[k][0].text == "..")) plain.push_back(k);
    auto mixed = plain;
    std::shuffle(mixed.begin(), mixed.end(), random);
    auto before = items;
    for (size_t k = 0; k < plain.size(); ++k) items[plain[k]] = before[mixed[k]];
    std::vector<Token> out;
    for (size_t k = 0; k < items.size(); ++k) {
      if (k) out.push_back({",", "", false});
      for (Token t : items[k]) {
        if (t.space.empty()) t.space = " ";
        out.push_back(t);
      }
    }
    if (out.size() == to - from) std::copy(out.begin(), out.end(), all.begin() + long(from));
  };
  auto closing = [&](size_t i) {
    int depth = 0;
    for (; i < all.size(); ++i) {
      depth += all[i].text == "(" || all[i].text == "[";
      depth -= all[i].text == ")" || all[i].text == "]";
      if (!depth) return i;
    }
    return i;
  };
  for (size_t i = 1; i + 1 < all.size(); ++i) {
    const std::string &before = all[i - 1].text;
    const bool afterType = before == ":" || before == "->";
    if (all[i].text == "[" && (afterType || before == "int" || before == "bool" || (before == ">" && i > 3 && all[i - 4].text == "index"))) shuffle(i + 1, closing(i));
    if (all[i].text == "(") {
      const size_t end = closing(i);
      if (before == "->" || (before == ":" && end + 1 < all.size() && all[end + 1].text == "->")) shuffle(i + 1, end);
    }
    if (all[i].text == "over" && all[i + 1].word) {
      size_t end = i + 1;
      while (end + 1 < all.size() && all[end].word && all[end + 1].text == "," && all[end + 2].word && all[end + 3].text != "=" && all[end + 3].text != "(") end += 2;
      if (all[end + 1].text == ")" || all[end + 1].text == ",") shuffle(i + 1, end + 1);
    }
  }
  return joined(all);
}

} // namespace fil::programs
