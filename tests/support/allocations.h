// SPDX-License-Identifier: Apache-2.0
// Counts the process's calls of malloc: included once, by a test that is a program of its own.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace {
std::atomic<int64_t> allocations{0};
}
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return ++allocations, __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return ++allocations, __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return ++allocations, __libc_realloc(p, n); }
}
