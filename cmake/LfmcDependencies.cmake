# SPDX-License-Identifier: Apache-2.0
# MLIR and LLVM come from Debian, Halide from its PyPI wheel (scripts/setup
# unpacks it below .deps/). One LLVM in the process: link the shared libMLIR and
# libLLVM only; Halide carries its own, unexported.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
find_package(LLVM 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/llvm)
set(MLIR_LINK_MLIR_DYLIB ON)
set(LLVM_LINK_LLVM_DYLIB ON)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

file(GLOB _halide_dirs
     ${PROJECT_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/halide)
find_package(Halide 21.0 REQUIRED CONFIG COMPONENTS shared
             HINTS ${_halide_dirs} PATH_SUFFIXES lib64/cmake/Halide)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Threads REQUIRED)
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
  find_program(LFMC_LIT lit HINTS ${PROJECT_SOURCE_DIR}/.deps/venv/bin REQUIRED)
  find_program(LFMC_FILECHECK NAMES FileCheck-22 FileCheck
               HINTS ${LLVM_TOOLS_BINARY_DIR} REQUIRED)
endif()
