// SPDX-License-Identifier: Apache-2.0
// What a program keeps between calls: one block of memory for variables and what is derived of them, one for caches; and rows of variables in declared order.
#pragma once
#include "runtime/exec/binding.h"
#include "runtime/exec/manifest.h"
#include "runtime/memory/pages.h"

namespace fil {

class Storages {
public:
  /// Variables are zero. Error E0702 where rows and storages contradict each other, E0516 where an extent has no value.
  Storages(std::vector<Storage>, std::vector<VariableRow>, const Binding &bounds);

  /// New caches, all zero. `X#cap` is the capacity; symbols that have no bound are the batch.
  void resetCaches(int64_t batch, int64_t capacity, const Binding &bounds);
  bool hasCaches() const { return hasCaches_; }

  size_t size() const { return storages_.size(); }
  std::span<const Storage> all() const { return storages_; }
  const Storage &operator[](size_t i) const { return storages_[i]; }
  /// Null of a cache before resetCaches.
  std::byte *data(size_t i) const { return places_[i].data; }
  const std::vector<int64_t> &bytes() const { return bytes_; }

  int storageOf(size_t row) const { return rows_[row].storage; }
  Array get(size_t row) const;
  void set(size_t row, const Array &value);

private:
  struct Placed { std::vector<int64_t> extents, strides; std::byte *data = nullptr; };
  std::vector<Storage> storages_;
  std::vector<VariableRow> rows_;
  std::vector<Placed> places_;
  std::vector<int64_t> bytes_;
  Pages kept_, caches_;
  bool hasCaches_ = false;

  Pages allocate(bool caches, const std::function<int64_t(const Size &, const Storage &)> &valueOf);
  template <class F> void eachRun(size_t row, F f) const;
};

} // namespace fil
