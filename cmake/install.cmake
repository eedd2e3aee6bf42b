# cmake --install: the library, its headers, the programs, and what pkg-config and find_package read.
include(CMakePackageConfigHelpers)

install(TARGETS tare tare_f64 EXPORT tareTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/tare DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT tareTargets NAMESPACE tare:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tare)

configure_package_config_file(cmake/tareConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/tareConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tare)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/tareConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tareConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/tareConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tare)

file(RELATIVE_PATH TARE_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
# One .pc per precision; the prefix is found from the file's own place, so an installed tree can be moved.
foreach(name tare tare_f64)
  set(TARE_PC_NAME ${name})
  set(TARE_PC_CFLAGS "")
  if(name STREQUAL tare_f64)
    set(TARE_PC_CFLAGS "-DTARE_F64")
  endif()
  configure_file(cmake/tare.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
