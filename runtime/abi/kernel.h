/* SPDX-License-Identifier: Apache-2.0 */
/* How the runtime calls generated code: one C signature for every kernel. A kernel allocates nothing, keeps nothing and has no
   undefined symbol; what it cannot compute itself it calls through the table of fil_launch. */
#ifndef FIL_ABI_KERNEL_H
#define FIL_ABI_KERNEL_H
#include <stdint.h>

#define FIL_ABI_VERSION 1

typedef double (*fil_math1)(double);
typedef double (*fil_math2)(double, double);
typedef struct fil_launch {
  int32_t version;
  int32_t reserved;
  /* libm in float64, in the order of fil_math_index */
  fil_math1 math[8];
  fil_math2 pow;
  /* Key of a site's random numbers: seed ^ fnv1a64(path), the path being `stream` with each `[lo..hi]` replaced by `[turn]`, in order. */
  uint64_t (*stream_key)(uint64_t seed, const char *stream, int64_t turn0, int64_t turn1, int64_t turn2, int64_t turn3);
} fil_launch;
enum fil_math_index { FIL_EXP, FIL_LOG, FIL_SIN, FIL_COS, FIL_TANH, FIL_ERF };

/* Tiles begin..end-1 of the launch. `buffers` and `sizes` in the order that the kernel was made for; `scratch` belongs to the calling thread.
   Returns 0. */
typedef int32_t (*fil_kernel)(const fil_launch *, void *const *buffers, const int64_t *sizes, int64_t begin, int64_t end, void *scratch);

#endif
