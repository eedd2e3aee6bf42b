# What Tare stands on: OpenMP, OpenBLAS, zlib, cJSON, stb_image. Each is in Debian; script/setup installs them.
find_package(OpenMP COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)

# The OpenMP build of OpenBLAS shares our threads; the pthreads build would fight them (see docs/threads.md).
find_library(TARE_OPENBLAS_LIBRARY NAMES openblas
             PATH_SUFFIXES openblas-openmp ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp)
find_path(TARE_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp)
find_path(TARE_STB_INCLUDE stb/stb_image.h)
if(NOT TARE_OPENBLAS_LIBRARY OR NOT TARE_OPENBLAS_INCLUDE)
  message(FATAL_ERROR "OpenBLAS is missing: run script/setup, or install libopenblas-openmp-dev")
endif()
if(NOT TARE_STB_INCLUDE)
  message(FATAL_ERROR "stb_image.h is missing: run script/setup, or install libstb-dev")
endif()
if(NOT OpenMP_C_FOUND)
  message(WARNING "OpenMP was not found: Tare will use ONE core")
endif()
