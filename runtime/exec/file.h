// SPDX-License-Identifier: Apache-2.0
// A Manifest as a file: 40 bytes (magic, version, ABI, lengths, hash), everything but code as JSON, code.
#pragma once
#include "runtime/base/files.h"
#include "runtime/exec/manifest.h"

namespace fil {

/// Written beside its place and renamed when it is whole: there is never half a program. Errors E0502, E0503.
void saveManifest(Files &, const std::string &path, const Manifest &);
/// Error E0501 where it cannot be read; the rest as manifestOf.
Manifest loadManifest(Files &, const std::string &path);

/// The file's content.
std::string fileOf(const Manifest &);
/// Error E0519 where it is no compiled program of this version, E0520 where it is damaged; `path` is what they name.
Manifest manifestOf(std::string_view content, const std::string &path);

} // namespace fil
