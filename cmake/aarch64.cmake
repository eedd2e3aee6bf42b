# Toolchain file: cross-compile for 64-bit ARM with Debian's compiler, against the libraries in TARE_SYSROOT; programs of
# the build run under qemu. script/cross unpacks such a folder and passes it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TARE_SYSROOT)
if(NOT IS_DIRECTORY "${TARE_SYSROOT}")
  message(FATAL_ERROR "TARE_SYSROOT is no folder; script/cross makes one: -DTARE_SYSROOT=FOLDER, an absolute path")
endif()
set(CMAKE_SYSROOT ${TARE_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${TARE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${TARE_SYSROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/pkgconfig:${TARE_SYSROOT}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${TARE_SYSROOT})
