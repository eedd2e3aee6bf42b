# cmake -DNAME=... -DOUT=... -DFILES=a,b -P embed.cmake: the files, one behind the other, as a C array NAME and NAME_size.
string(REPLACE "," ";" files "${FILES}")
set(all "")
foreach(file IN LISTS files)
  file(READ ${file} hex HEX)
  string(APPEND all "${hex}")
endforeach()
string(LENGTH "${all}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," all "${all}")
string(REGEX REPLACE "(0x0a,)" "\\1\n    " all "${all}")
file(WRITE ${OUT} "/* Made by cmake/embed.cmake. */
#include <stddef.h>

extern const unsigned char ${NAME}[];
extern const size_t ${NAME}_size;
const unsigned char ${NAME}[] = {
    ${all}0x00
};
const size_t ${NAME}_size = ${size};
")
