# The C program in the README is examples/hello.c to the letter.
file(READ ${ROOT}/README.md readme)
file(READ ${ROOT}/examples/hello.c hello)
string(FIND "${readme}" "```c\n${hello}```" at)
if(at EQUAL -1)
  message(FATAL_ERROR "README.md: its C code is not examples/hello.c any more")
endif()
