# The build's few rules: one set of flags, one precompiled MLIR header, `fil_library` and `fil_executable`.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Assertions stay on: the compiler's own invariants are cheap, and Debian's MLIR has its own switched off.
# -ffp-contract=off: our own arithmetic (reference kernels, the sample order) has the same bits on every machine.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
add_compile_options(-fPIC -Wall -Wextra -Wno-unused-parameter -Wno-deprecated-declarations -ffp-contract=off)
add_link_options(-fuse-ld=lld)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

find_package(MLIR REQUIRED CONFIG PATHS /usr/lib/llvm-22/lib/cmake/mlir)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)

include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})

# fil_library(NAME SOURCES... [DEPS...]): a static library of one room.
function(fil_library name)
  cmake_parse_arguments(A "MLIR" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ${A_DEPS})
  if(A_MLIR)
    fil_use_mlir(${name})
  endif()
endfunction()

# fil_executable(NAME SOURCES... [DEPS...] [MLIR])
function(fil_executable name)
  cmake_parse_arguments(A "MLIR" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  if(A_MLIR)
    fil_use_mlir(${name})
  endif()
endfunction()

# Targets that include MLIR share one precompiled header; they link the two shared libraries and never a MLIRFoo target.
function(fil_use_mlir name)
  target_include_directories(${name} SYSTEM PRIVATE ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
  separate_arguments(defs NATIVE_COMMAND ${LLVM_DEFINITIONS})
  target_compile_options(${name} PRIVATE ${defs} -Xclang -fno-pch-timestamp)
  get_target_property(kind ${name} TYPE)
  target_link_libraries(${name} PUBLIC MLIR LLVM)
  if(NOT name STREQUAL fil_pch)
    target_precompile_headers(${name} REUSE_FROM fil_pch)
  endif()
  if(TARGET fil_ir_gen)
    add_dependencies(${name} fil_ir_gen)
  endif()
endfunction()

add_library(fil_pch STATIC ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
fil_use_mlir(fil_pch)
target_precompile_headers(fil_pch PRIVATE
  <mlir/IR/Builders.h> <mlir/IR/BuiltinTypes.h> <mlir/IR/BuiltinOps.h> <mlir/IR/Dialect.h>
  <mlir/IR/OpImplementation.h> <mlir/IR/DialectImplementation.h> <mlir/IR/Matchers.h> <mlir/IR/IRMapping.h>
  <mlir/Interfaces/SideEffectInterfaces.h> <mlir/Interfaces/InferTypeOpInterface.h>
  <mlir/Pass/Pass.h> <mlir/Pass/PassManager.h> <llvm/ADT/TypeSwitch.h>
  <map> <memory> <optional> <set> <string> <unordered_map> <vector>)
