// SPDX-License-Identifier: Apache-2.0
#include "lang/parse/build.h"

namespace fil {
namespace {
using namespace ast;
using P = filgen::FiligreeParser;
using antlr4::ParserRuleContext;
using antlr4::Token;

class Builder {
public:
  Builder(uint32_t file, const std::vector<uint32_t> &offsets, Diagnostics &diags) : file(file), offsets(offsets), diags(diags) {}
  File program(P::ProgramContext *c) {
    File f;
    f.file = file;
    for (auto *d : c->declaration()) f.declarations.push_back(declaration(d));
    return f;
  }

private:
  uint32_t file;
  const std::vector<uint32_t> &offsets;
  Diagnostics &diags;

  Span span(Token *first, Token *last) { return {file, offsets[first->getStartIndex()], offsets[last->getStopIndex() + 1]}; }
  Span span(ParserRuleContext *c) { return span(c->getStart(), c->getStop()); }
  Ident ident(antlr4::tree::TerminalNode *t) { return {t->getText(), span(t->getSymbol(), t->getSymbol())}; }
  Ident word(P::WordContext *w) { return {w->getText(), span(w)}; }
  static bool has(ParserRuleContext *c, const char *text) {
    for (auto *ch : c->children)
      if (dynamic_cast<antlr4::tree::TerminalNode *>(ch) && ch->getText() == text) return true;
    return false;
  }
  ExprPtr make(Span s, decltype(Expr::is) is) { return std::make_unique<Expr>(Expr{std::move(is), s}); }
  static int64_t number(const std::string &s) {
    try { return std::stoll(s); } catch (const std::out_of_range &) { return INT64_MAX; }
  }

  // ---- declarations ----
  Declaration declaration(P::DeclarationContext *c) {
    Declaration d;
    d.span = span(c);
    if (auto *x = dynamic_cast<P::DimsContext *>(c)) {
      DimsDecl dims;
      for (auto *e : x->dimDecl()) dims.dims.push_back(dimDecl(e));
      d.is = std::move(dims);
    } else if (auto *x = dynamic_cast<P::FunctionContext *>(c)) {
      d.is = function(x);
    } else {
      auto *p = dynamic_cast<P::PlanContext *>(c);
      Plan plan;
      plan.name = ident(p->ID(0)), plan.model = ident(p->ID(1));
      if (p->ID(2)) plan.from = ident(p->ID(2));
      plan.settings = settings(p->settings());
      d.is = std::move(plan);
    }
    return d;
  }
  DimDecl dimDecl(P::DimDeclContext *c) {
    DimDecl d;
    d.name = ident(c->ID());
    d.span = span(c);
    if (c->term()) d.kind = has(c, "<=") ? DimDecl::Bounded : DimDecl::Sized, d.size = term(c->term());
    for (auto *l : c->label()) d.labels.push_back({ident(l->ID()), number(l->INT()->getText())});
    return d;
  }
  Function function(P::FunctionContext *c) {
    Function f;
    std::string k = c->kind->getText();
    f.kind = k == "fn" ? Function::Fn : k == "block" ? Function::Block : k == "model" ? Function::Model : Function::Loss;
    f.name = ident(c->ID());
    for (auto *p : c->parameter()) f.params.push_back(parameter(p));
    if (c->type()) f.result = type(c->type());
    if (c->expr()) f.value = expr(c->expr());
    if (c->body()) f.body = body(c->body());
    if (f.kind == Function::Fn) formula(f.body);
    return f;
  }
  /// What a `fn` may not have.
  void formula(const Body &b) {
    for (const Statement &s : b.statements) {
      const char *what = std::holds_alternative<CacheStmt>(s.is) ? "cache" : std::holds_alternative<ExpertsStmt>(s.is) ? "experts" : std::holds_alternative<AuxStmt>(s.is) ? "aux" : nullptr;
      if (auto *p = std::get_if<ParamStmt>(&s.is)) what = p->state ? "state" : "param";
      if (auto *a = std::get_if<AssignStmt>(&s.is); a && a->onStep) what = "on step";
      if (what) diags.report(Msg::E0007, s.span, what);
      if (auto *l = std::get_if<LayersStmt>(&s.is)) formula(l->body);
    }
  }
  Parameter parameter(P::ParameterContext *c) {
    Parameter p;
    p.span = span(c);
    if (auto *x = dynamic_cast<P::TensorParameterContext *>(c)) {
      p.kind = Parameter::Tensor, p.name = ident(x->ID()), p.type = type(x->type());
      if (x->expr()) p.init = expr(x->expr());
    } else if (auto *x = dynamic_cast<P::StaticParameterContext *>(c)) {
      p.kind = Parameter::Static, p.name = ident(x->ID());
      if (x->expr()) p.init = expr(x->expr());
    } else {
      p.kind = Parameter::Over, p.name = ident(dynamic_cast<P::OverParameterContext *>(c)->ID());
    }
    return p;
  }

  // ---- types ----
  Type type(P::TypeContext *c) {
    Type t;
    t.span = span(c);
    if (auto *x = dynamic_cast<P::TensorTypeContext *>(c)) {
      TensorType y;
      if (auto *e = x->element()) {
        std::string k = e->getStart()->getText();
        y.elem = k == "int" ? TensorType::Int : k == "bool" ? TensorType::Bool : TensorType::Index;
        if (y.elem == TensorType::Index) y.indexed = ident(e->ID() ? e->ID() : e->INT());
      }
      for (auto *d : x->dim()) y.dims.push_back(dim(d));
      t.is = std::move(y);
    } else if (auto *x = dynamic_cast<P::MapTypeContext *>(c)) {
      t.is = MapType{side(x->side(0)), side(x->side(1))};
    } else {
      auto *i = dynamic_cast<P::InstanceTypeContext *>(c);
      t.is = InstanceType{ident(i->ID()), arguments(i->arguments())};
    }
    return t;
  }
  std::vector<Dim> side(P::SideContext *c) {
    std::vector<Dim> dims;
    if (auto *t = c->ID() ? c->ID() : c->INT()) {
      Dim d;
      d.span = span(c);
      d.term = c->ID() ? make(d.span, Name{t->getText()}) : make(d.span, Number{t->getText(), false});
      dims.push_back(std::move(d));
    }
    for (auto *d : c->dim()) dims.push_back(dim(d));
    return dims;
  }
  Dim dim(P::DimContext *c) {
    Dim d;
    d.span = span(c);
    if (c->subset()) d.kind = Dim::Subset, d.name = ident(c->subset()->ID());
    else if (c->ID()) d.kind = Dim::Declared, d.name = ident(c->ID()), d.term = term(c->term());
    else if (c->term()) d.term = term(c->term());
    else d.kind = Dim::Rest;
    return d;
  }
  Dim over(P::OverContext *c) {
    Dim d;
    d.span = span(c);
    if (c->subset()) d.kind = Dim::Subset, d.name = ident(c->subset()->ID());
    else if (c->term()) d.term = term(c->term());
    else d.kind = Dim::Rest;
    return d;
  }

  // ---- statements ----
  Body body(P::BodyContext *c) {
    Body b;
    b.span = span(c);
    for (auto *s : c->statement()) {
      if (!b.statements.empty() && std::holds_alternative<ReturnStmt>(b.statements.back().is)) diags.report(Msg::E0006, span(s));
      b.statements.push_back(statement(s));
    }
    return b;
  }
  std::vector<Ident> names(P::NamesContext *c) {
    std::vector<Ident> all;
    if (c)
      for (auto *id : c->ID()) all.push_back(ident(id));
    return all;
  }
  Pattern pattern(P::PatternContext *c) {
    Pattern p;
    p.span = span(c);
    p.tuple = c->names() != nullptr;
    if (c->ID()) p.names.push_back(ident(c->ID()));
    else p.names = names(c->names());
    return p;
  }
  AssignStmt assignment(P::AssignmentContext *c, bool onStep) { return {onStep, has(c, "+="), ident(c->ID()), expr(c->expr())}; }
  Range range(P::RangeContext *c) {
    Range r;
    r.from = expr(c->expr());
    if (c->term()) r.to = term(c->term()), r.closed = has(c, "..=");
    return r;
  }
  Statement statement(P::StatementContext *c) {
    Statement s;
    s.span = span(c);
    if (auto *x = dynamic_cast<P::ParamContext *>(c)) s.is = ParamStmt{false, names(x->names()), type(x->type()), x->expr() ? expr(x->expr()) : nullptr};
    else if (auto *x = dynamic_cast<P::StateContext *>(c)) s.is = ParamStmt{true, names(x->names()), type(x->type()), x->expr() ? expr(x->expr()) : nullptr};
    else if (auto *x = dynamic_cast<P::CacheContext *>(c)) s.is = CacheStmt{ident(x->ID()), type(x->type()), expr(x->expr())};
    else if (auto *x = dynamic_cast<P::ExpertsContext *>(c)) s.is = ExpertsStmt{ident(x->ID(0)), ident(x->ID(1)), ident(x->ID(2)), arguments(x->arguments())};
    else if (auto *x = dynamic_cast<P::LetContext *>(c)) {
      LetStmt l{pattern(x->pattern()), {}, expr(x->expr())};
      if (x->type()) l.type = type(x->type());
      s.is = std::move(l);
    } else if (auto *x = dynamic_cast<P::SelectContext *>(c)) s.is = SelectStmt{x->kind->getText() == "route", ident(x->subset()->ID()), expr(x->expr())};
    else if (auto *x = dynamic_cast<P::AuxContext *>(c)) s.is = AuxStmt{expr(x->expr()), x->names() != nullptr, names(x->names())};
    else if (auto *x = dynamic_cast<P::OnContext *>(c)) {
      if (x->ID()->getText() != "step") diags.report(Msg::E0005, span(x->ID()->getSymbol(), x->ID()->getSymbol()), x->ID()->getText());
      s.is = assignment(x->assignment(), true);
    }
    else if (auto *x = dynamic_cast<P::LayersContext *>(c)) {
      LayersStmt l;
      l.index = ident(x->ID());
      if (x->pattern()) l.element = pattern(x->pattern());
      l.range = range(x->range());
      l.body = body(x->body());
      s.is = std::move(l);
    } else if (auto *x = dynamic_cast<P::AssignContext *>(c)) s.is = assignment(x->assignment(), false);
    else s.is = ReturnStmt{expr(dynamic_cast<P::ReturnContext *>(c)->expr())};
    return s;
  }

  // ---- expressions ----
  ExprPtr expr(P::ExprContext *c) {
    ExprPtr value = term(c->term(0));
    if (!c->term(1)) return value;
    return make(span(c), Where{std::move(value), term(c->term(1)), c->expr() ? expr(c->expr()) : nullptr});
  }
  static BinaryOp binaryOp(const std::string &s) {
    static const std::map<std::string, BinaryOp> ops = {
        {"+", BinaryOp::Add}, {"-", BinaryOp::Sub}, {"*", BinaryOp::Mul}, {"/", BinaryOp::Div}, {"@", BinaryOp::MatMul},
        {"^", BinaryOp::Pow}, {"==", BinaryOp::Eq}, {"!=", BinaryOp::Ne}, {"<", BinaryOp::Lt}, {"<=", BinaryOp::Le},
        {">", BinaryOp::Gt}, {">=", BinaryOp::Ge}, {"and", BinaryOp::And}, {"or", BinaryOp::Or}};
    return ops.at(s);
  }
  /// The operator's own token: its rule also swallows the newlines around it.
  ExprPtr binary(ParserRuleContext *whole, ExprPtr l, ParserRuleContext *op, ExprPtr r) {
    for (auto *ch : op->children) {
      auto *t = dynamic_cast<antlr4::tree::TerminalNode *>(ch);
      if (t->getSymbol()->getType() == P::NL) continue;
      const BinaryOp is = binaryOp(t->getText());
      auto compares = [](BinaryOp o) { return o >= BinaryOp::Eq && o <= BinaryOp::Ge; };
      auto *left = std::get_if<Binary>(&l->is); // in brackets it begins behind them
      if (left && compares(is) && compares(left->op) && l->span.begin == span(whole).begin) diags.report(Msg::E0004, span(whole));
      return make(span(whole), Binary{is, std::move(l), std::move(r), span(t->getSymbol(), t->getSymbol())});
    }
    return nullptr;
  }
  template <class C> static ParserRuleContext *operatorOf(C *c) {
    for (ParserRuleContext *o : {(ParserRuleContext *)c->times(), (ParserRuleContext *)c->plus(), (ParserRuleContext *)c->compare(), (ParserRuleContext *)c->both(), (ParserRuleContext *)c->either()})
      if (o) return o;
    return nullptr;
  }
  ExprPtr term(P::TermContext *c) {
    Span s = span(c);
    if (auto *x = dynamic_cast<P::NameContext *>(c)) return make(s, Name{x->getText()});
    if (auto *x = dynamic_cast<P::ConstantContext *>(c)) return literal(x->literal());
    if (auto *x = dynamic_cast<P::BinaryContext *>(c))
      return binary(c, term(x->term(0)), x->power() ? (ParserRuleContext *)x->power() : operatorOf(x), term(x->term(1)));
    if (auto *x = dynamic_cast<P::CallContext *>(c)) return make(s, Call{term(x->term()), arguments(x->arguments())});
    if (auto *x = dynamic_cast<P::AtContext *>(c)) {
      At at{term(x->term()), {}};
      for (auto *i : x->index()) at.items.push_back(index(i));
      return make(s, std::move(at));
    }
    if (auto *x = dynamic_cast<P::MemberContext *>(c)) return make(s, Member{term(x->term()), ident(x->ID())});
    if (auto *x = dynamic_cast<P::NegateContext *>(c)) return make(s, Unary{UnaryOp::Neg, term(x->term())});
    if (auto *x = dynamic_cast<P::NotContext *>(c)) return make(s, Unary{UnaryOp::Not, term(x->term())});
    if (auto *x = dynamic_cast<P::IfContext *>(c)) return choice(x->choice());
    std::vector<ExprPtr> items;
    if (auto *x = dynamic_cast<P::ListContext *>(c)) {
      for (auto *e : x->expr()) items.push_back(expr(e));
      return make(s, List{std::move(items)});
    }
    auto *g = dynamic_cast<P::GroupContext *>(c);
    if (!g->expr(1)) return expr(g->expr(0));
    for (auto *e : g->expr()) items.push_back(expr(e));
    return make(s, Tuple{std::move(items)});
  }
  ExprPtr choice(P::ChoiceContext *c) {
    ExprPtr otherwise = c->choice() ? choice(c->choice()) : expr(c->expr(1));
    return make(span(c), If{term(c->term()), expr(c->expr(0)), std::move(otherwise)});
  }
  ExprPtr literal(P::LiteralContext *c) {
    Span s = span(c);
    std::string t = c->getText();
    if (c->INT()) return make(s, Number{t, false});
    if (c->REAL()) return make(s, Number{t, true});
    if (c->SHAPE()) return make(s, Shape{t});
    if (c->QUANTITY()) {
      size_t end = t.size();
      while (end && (std::isalpha((unsigned char)t[end - 1]) || t[end - 1] == '%')) --end;
      return make(s, Quantity{t.substr(0, end), t.substr(end)});
    }
    if (c->STRING()) {
      std::string v;
      for (size_t i = 1; i + 1 < t.size(); ++i) {
        if (t[i] != '\\') { v += t[i]; continue; }
        char e = t[++i];
        v += e == 'n' ? '\n' : e == 't' ? '\t' : e;
      }
      return make(s, String{v});
    }
    return make(s, Bool{t == "true"});
  }
  IndexItem index(P::IndexContext *c) {
    IndexItem i;
    i.span = span(c);
    if (c->subset()) i.kind = IndexItem::Subset, i.name = ident(c->subset()->ID());
    else if (c->ID()) i.kind = IndexItem::At, i.name = ident(c->ID()), i.value = expr(c->expr());
    else i.value = expr(c->expr());
    return i;
  }
  std::vector<Argument> arguments(P::ArgumentsContext *c) {
    std::vector<Argument> all;
    if (!c) return all;
    for (auto *p : c->positional()) all.push_back(positional(p));
    for (auto *o : c->option()) {
      if (o->word()) all.push_back({Argument::Named{word(o->word()), expr(o->expr())}, span(o)});
      else {
        Argument::Over over_;
        for (auto *x : o->over()) over_.dims.push_back(over(x));
        all.push_back({std::move(over_), span(o)});
      }
    }
    return all;
  }
  Argument positional(P::PositionalContext *c) {
    Span s = span(c);
    if (c->subset()) return {Argument::Subset{ident(c->subset()->ID())}, s};
    if (c->expr()) return {expr(c->expr()), s};
    if (!has(c, "by")) return {Argument::Declared{ident(c->ID(0)), term(c->term(0))}, s};
    Argument::By by{ident(c->ID(0)), ident(c->ID(1)), nullptr, nullptr};
    size_t next = 0;
    if (has(c, ":")) by.size = term(c->term(next++));
    if (has(c, "stride")) by.stride = term(c->term(next));
    return {std::move(by), s};
  }

  // ---- plans ----
  Settings settings(P::SettingsContext *c) {
    Settings all;
    all.span = span(c);
    for (auto *s : c->setting()) all.settings.push_back(setting(s));
    return all;
  }
  Setting setting(P::SettingContext *c) {
    Setting s;
    s.span = span(c);
    if (c->path()) s.path = path(c->path());
    for (auto *p : c->phrase()) {
      Phrase phrase;
      phrase.span = span(p);
      for (auto *i : p->item()) phrase.items.push_back(item(i));
      s.phrases.push_back(std::move(phrase));
    }
    if (c->settings()) s.nested = settings(c->settings());
    return s;
  }
  Item item(P::ItemContext *c) {
    Item i;
    i.span = span(c);
    if (c->key()) {
      i.kind = Item::Keyed;
      for (auto *w : c->key()->word()) i.key.push_back(word(w));
      i.value = range(c->range());
    } else if (c->value(0)) {
      i.value.from = value(c->value(0));
      if (c->value(1)) i.value.to = value(c->value(1)), i.value.closed = has(c, "..=");
    } else i.kind = Item::Arrow;
    return i;
  }
  ExprPtr value(P::ValueContext *c) {
    if (c->literal()) return literal(c->literal());
    if (c->value(0)) return binary(c, value(c->value(0)), operatorOf(c), value(c->value(1)));
    auto words = c->key()->word();
    ExprPtr e = make(span(words[0]), Name{words[0]->getText()});
    for (size_t i = 1; i < words.size(); ++i) e = make(span(c->key()), Member{std::move(e), word(words[i])});
    if (has(c, "(")) e = make(span(c), Call{std::move(e), arguments(c->arguments())});
    return e;
  }
  SitePath path(P::PathContext *c) {
    SitePath p;
    p.span = span(c);
    for (auto *s : c->segment()) p.segments.push_back(segment(s));
    return p;
  }
  Segment segment(P::SegmentContext *c) {
    Segment s;
    s.span = span(c);
    for (auto *w : c->word()) s.words.push_back(word(w));
    std::string first = c->getStart()->getText();
    s.kind = first == "{" ? Segment::Either : s.words.empty() ? (first == "*" ? Segment::Any : Segment::Deep) : Segment::Word;
    s.subset = s.kind == Segment::Word && has(c, "*");
    if (c->selector()) s.selector = selector(c->selector());
    return s;
  }
  Selector selector(P::SelectorContext *c) {
    Selector s;
    s.any = has(c, "*");
    for (size_t i = 0; i < c->ID().size(); ++i) s.statics.push_back({ident(c->ID(i)), term(c->term(i))});
    bool dots = has(c, "..");
    if (c->INT().size() == 2) s.from = number(c->INT(0)->getText()), s.to = number(c->INT(1)->getText());
    else if (c->INT().size() == 1) {
      int64_t n = number(c->INT(0)->getText());
      if (!dots) s.from = n, s.to = n + 1;
      else (c->getStart()->getText() == ".." ? s.to : s.from) = n;
    }
    return s;
  }
};
} // namespace

ast::File buildAst(P::ProgramContext *tree, uint32_t file, const std::vector<uint32_t> &offsets, Diagnostics &diags) { return Builder(file, offsets, diags).program(tree); }
} // namespace fil
