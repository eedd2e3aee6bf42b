/* program.h - finding the program that a comparison runs. */
#ifndef TARE_COMPARE_PROGRAM_H
#define TARE_COMPARE_PROGRAM_H

#include "words.h"

/* tare__program_find - the words that start `program`: tare-NAME from beside this executable or from PATH, else the command that the
 * words say (a path, or a name on PATH).   errors  TARE_ENOENT: neither;  TARE_EINVAL */
tare_status tare__program_find(const char *program, tare__words *start);

#endif
