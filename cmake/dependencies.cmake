# What Tare stands on: threads, OpenBLAS, zlib, cJSON, stb_image. Each is in Debian; script/setup installs them.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)

# We start the threads, and OpenBLAS stays on the caller's: its OpenMP build starts none of its own before it is asked.
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
