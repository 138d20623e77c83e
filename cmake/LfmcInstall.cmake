# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` lays out below the prefix. The build directory has the
# same layout, so that bin/lfmc finds its parts in both:
#
#   bin/lfmc …                      tools (each lfmc_tool installs itself)
#   lib/liblfm_runtime.a            becomes part of every package
#   lib/lfm/hexagon/                the same for the NPU
#   include/lfm/                    the runtime's headers
#   lib/cmake/lfmc-runtime/         find_package(lfmc-runtime), lfm::lfm_runtime
#
# The component `runtime` is all but the tools.
include(CMakePackageConfigHelpers)
set(_lfmc_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lfmc-runtime)

install(TARGETS lfm_runtime EXPORT lfmc-runtime
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/lfm
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT runtime
        FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(DIRECTORY ${PROJECT_BINARY_DIR}/lib/lfm
        DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime)
install(EXPORT lfmc-runtime FILE lfmc-runtimeTargets.cmake NAMESPACE lfm::
        DESTINATION ${_lfmc_cmake_dir} COMPONENT runtime)
configure_package_config_file(cmake/lfmc-runtimeConfig.cmake.in
  ${PROJECT_BINARY_DIR}/lfmc-runtimeConfig.cmake
  INSTALL_DESTINATION ${_lfmc_cmake_dir})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/lfmc-runtimeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lfmc-runtimeConfig.cmake
              ${PROJECT_BINARY_DIR}/lfmc-runtimeConfigVersion.cmake
        DESTINATION ${_lfmc_cmake_dir} COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
