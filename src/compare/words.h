/* words.h - lists of words: command lines, values of an axis. */
#ifndef TARE_COMPARE_WORDS_H
#define TARE_COMPARE_WORDS_H

#include <tare/core.h>

#include "../core/text.h"

/* Zero-initialised is empty; at[count] is NULL, so that `at` serves as an argv once a word is in it. */
typedef struct tare__words {
    char **at;
    int64_t count, room;
} tare__words;

tare_status tare__words_add(tare__words *w, const char *word);
tare_status tare__words_copy(tare__words *to, const tare__words *from); /* at its end */
void tare__words_free(tare__words *w);

/* tare__words_split - the words of a command line: parted by blanks, '...' and "..." keep them, \ takes the next character as
 * it is; no variables, no patterns.  errors  TARE_EINVAL: a quote is left open */
tare_status tare__words_split(tare__words *w, const char *line);

/* tare__words_values - the values of "bn,ln,bn:batch=8,eps=1e-3": parted by ';' where there is one, else by ','. Between
 * commas, a piece with '=' and no ':' before it goes on with an option list: it belongs to the value before.
 *   errors  TARE_EINVAL: an empty value, or the same twice */
tare_status tare__words_values(tare__words *w, const char *text);

/* The words as a shell would take them back; into t. */
void tare__words_quoted(const tare__words *w, tare__text *t);

#endif
