# tare_add_library(NAME [DOUBLE]) - the library from the sources below src, in float or in double.
# Kernels are compiled once per instruction-set level and chosen at run time (src/core/dispatch.c).

# gcc 12 for 64-bit ARM stops with an internal error of its vectorizer where fmax or fmin goes over floats
# widened to double; as plain calls they compile, to the same numbers. No kernel has either.
set(TARE_COMPILER_OPTIONS "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64" AND CMAKE_C_COMPILER_ID STREQUAL "GNU"
   AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13)
  set(TARE_COMPILER_OPTIONS -fno-builtin-fmax -fno-builtin-fmin)
endif()

function(tare_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -fno-math-errno
                         -fno-trapping-math ${TARE_COMPILER_OPTIONS} $<$<BOOL:${TARE_WERROR}>:-Werror>)
  if(TARE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                           -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
  # `omp simd` alone: threads are our own (src/core/parallel.c).
  target_compile_options(${target} PRIVATE -fopenmp-simd)
endfunction()

# The report's page as C arrays (src/report/page_files.h), made once for both precisions.
set(TARE_PAGE_FOLDER ${PROJECT_SOURCE_DIR}/src/report)
set(TARE_PAGE_html page.html)
set(TARE_PAGE_css page.css)
set(TARE_PAGE_js base.js chart.js lines.js dots.js heatmap.js sections.js comparison.js main.js)
set(TARE_PAGE_SOURCES "")
foreach(kind html css js)
  list(TRANSFORM TARE_PAGE_${kind} PREPEND ${TARE_PAGE_FOLDER}/)
  list(JOIN TARE_PAGE_${kind} "," files)
  set(made ${PROJECT_BINARY_DIR}/page_${kind}.c)
  add_custom_command(OUTPUT ${made}
                     COMMAND ${CMAKE_COMMAND} -DNAME=tare__page_${kind} -DOUT=${made} "-DFILES=${files}"
                             -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
                     DEPENDS ${TARE_PAGE_${kind}} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
  list(APPEND TARE_PAGE_SOURCES ${made})
endforeach()
add_custom_target(tare_page DEPENDS ${TARE_PAGE_SOURCES})

function(tare_add_library name)
  cmake_parse_arguments(ARG "DOUBLE" "" "" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS
       ${PROJECT_SOURCE_DIR}/src/core/*.c ${PROJECT_SOURCE_DIR}/src/autograd/*.c ${PROJECT_SOURCE_DIR}/src/ops/*.c
       ${PROJECT_SOURCE_DIR}/src/layers/*.c ${PROJECT_SOURCE_DIR}/src/optim/*.c ${PROJECT_SOURCE_DIR}/src/data/*.c
       ${PROJECT_SOURCE_DIR}/src/io/*.c ${PROJECT_SOURCE_DIR}/src/run/*.c
       ${PROJECT_SOURCE_DIR}/src/report/*.c)
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/*.c)

  set(levels baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND levels avx2 avx512)
  endif()
  set(flags_baseline "")
  set(flags_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)

  set(objects "")
  foreach(level ${levels})
    set(object ${name}_kernels_${level})
    add_library(${object} OBJECT ${kernels})
    target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src/kernels)
    target_compile_definitions(${object} PRIVATE TARE_LEVEL=_${level} $<$<BOOL:${ARG_DOUBLE}>:TARE_F64>)
    # Contraction to FMA is fixed per level, so a level gives the same bits whatever compiler default applies.
    target_compile_options(${object} PRIVATE ${flags_${level}} -ffp-contract=fast)
    tare_compile_options(${object})
    list(APPEND objects $<TARGET_OBJECTS:${object}>)
  endforeach()

  add_library(${name}_objects OBJECT ${sources} ${TARE_PAGE_SOURCES})
  add_dependencies(${name}_objects tare_page)
  target_include_directories(${name}_objects PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_include_directories(${name}_objects SYSTEM PRIVATE ${TARE_OPENBLAS_INCLUDE} ${TARE_STB_INCLUDE})
  target_compile_definitions(${name}_objects PRIVATE _POSIX_C_SOURCE=200809L $<$<BOOL:${ARG_DOUBLE}>:TARE_F64>)
  if(NOT levels STREQUAL "baseline")
    target_compile_definitions(${name}_objects PRIVATE TARE_HAVE_X86_LEVELS)
  endif()
  tare_compile_options(${name}_objects)
  target_link_libraries(${name}_objects PRIVATE ZLIB::ZLIB PkgConfig::CJSON)

  # Shared for programs and plugins; static for the tests, which look inside.
  foreach(kind SHARED STATIC)
    set(target ${name})
    if(kind STREQUAL STATIC)
      set(target ${name}_static)
    endif()
    add_library(${target} ${kind} $<TARGET_OBJECTS:${name}_objects> ${objects})
    target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_compile_definitions(${target} PUBLIC $<$<BOOL:${ARG_DOUBLE}>:TARE_F64>)
    target_link_libraries(${target} PRIVATE ${TARE_OPENBLAS_LIBRARY} ZLIB::ZLIB PkgConfig::CJSON Threads::Threads m
                          ${CMAKE_DL_LIBS})
    if(TARE_SANITIZE)
      target_link_options(${target} PUBLIC -fsanitize=address,undefined)
    endif()
  endforeach()
  set_target_properties(${name} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
endfunction()
