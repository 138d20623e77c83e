# SPDX-License-Identifier: Apache-2.0
# lfmc_library(NAME src...), lfmc_test(NAME src...): the few settings that every
# compiler library and test shares.
set(LFMC_SANITIZE_FLAGS -fsanitize=address,undefined -fno-omit-frame-pointer
                        -fno-sanitize=vptr -fno-sanitize-recover=undefined)

function(lfmc_common_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-unused-parameter
    $<$<BOOL:${LFMC_WERROR}>:-Werror>
    $<$<BOOL:${LFMC_SANITIZE}>:${LFMC_SANITIZE_FLAGS}>)
  target_link_options(${target} PRIVATE
    $<$<BOOL:${LFMC_SANITIZE}>:${LFMC_SANITIZE_FLAGS}>)
endfunction()

# Run-time options of a sanitizer build, for programs.
function(lfmc_sanitizer_options target)
  if(LFMC_SANITIZE)
    target_sources(${target} PRIVATE
                   ${PROJECT_SOURCE_DIR}/cmake/SanitizerOptions.cpp)
  endif()
endfunction()

# A static library of the compiler; sees the project root, LLVM and MLIR.
function(lfmc_library target)
  add_library(${target} STATIC ${ARGN})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}
                             ${PROJECT_BINARY_DIR})
  target_include_directories(${target} SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS}
                             ${MLIR_INCLUDE_DIRS})
  lfmc_common_options(${target})
endfunction()

# An executable of the compiler, below build/bin.
function(lfmc_tool target)
  add_executable(${target} ${ARGN})
  lfmc_sanitizer_options(${target})
  lfmc_common_options(${target})
  install(TARGETS ${target} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# A GoogleTest program; registered as one CTest entry. LFMC_TEST_DATA is the
# tests/data folder, LFMC_BINARY_DIR the folder of the tools.
function(lfmc_test target)
  add_executable(${target} ${ARGN})
  lfmc_sanitizer_options(${target})
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/bin)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${target} PRIVATE
    LFMC_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data"
    LFMC_EXAMPLES="${PROJECT_SOURCE_DIR}/examples"
    LFMC_BINARY_DIR="${PROJECT_BINARY_DIR}/bin")
  target_link_libraries(${target} PRIVATE GTest::gtest GTest::gtest_main
                        Threads::Threads)
  lfmc_common_options(${target})
  add_test(NAME ${target} COMMAND ${target})
endfunction()
