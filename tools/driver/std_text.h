// SPDX-License-Identifier: Apache-2.0
// The standard library's text, embedded by the build.
#pragma once
#include <string_view>
namespace fil { extern const std::string_view stdText; }
