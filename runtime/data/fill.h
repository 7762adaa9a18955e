// SPDX-License-Identifier: Apache-2.0
// Elements of a file become elements of an input: conversion, scale, and the checks where data enter the program.
#pragma once
#include "runtime/data/dataset.h"

namespace fil {

/// Sets name, type and shape of a field ([rows, sample..]) and gives the bytes their size.
void shapeField(Batch::Field &, const InputSpec &, std::optional<int64_t> rows);

/// Elements begin..begin+count of `from` to `to`, as spec.dtype. A value that does not fit is an Error E0515.
void fillElements(const InputSpec &spec, const NamedArray &from, int64_t begin, int64_t count, std::byte *to);

} // namespace fil
