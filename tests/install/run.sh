#!/bin/sh
# run.sh BUILD_FOLDER - install the build to a prefix of its own, then build and run main.c against that: once through
# pkg-config, once through find_package; at last from the prefix moved elsewhere.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
pc=$(find "$work/prefix" -name tare.pc)
lib=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib"

echo "through pkg-config"
# shellcheck disable=SC2046 # flags are meant to be split
cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror "$here/main.c" $(pkg-config --cflags --libs tare) -o "$work/user"
"$work/user"

echo "through pkg-config, in double"
# shellcheck disable=SC2046
cc -std=c11 "$here/main.c" $(pkg-config --cflags --libs tare_f64) -o "$work/user64"
"$work/user64"

echo "through find_package"
cmake -S "$here" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/build/user"

echo "every public header compiles alone, as C and as C++"
for header in "$work"/prefix/include/tare/*.h; do
    echo "#include <tare/$(basename "$header")>" >"$work/one.c"
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only $(pkg-config --cflags tare) "$work/one.c"
    # shellcheck disable=SC2046
    c++ -Wall -Wextra -Werror -fsyntax-only -x c++ $(pkg-config --cflags tare) "$work/one.c"
done

echo "the installed tool runs"
"$work/prefix/bin/tare" --version
