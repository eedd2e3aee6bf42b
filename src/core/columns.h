/* columns.h - text in columns, counted in characters of UTF-8 instead of bytes. */
#ifndef TARE_COLUMNS_H
#define TARE_COLUMNS_H

#include "text.h"

/* Characters among the first n bytes of s. Each counts as one column, though some (Chinese, say) take two. */
int tare__columns(const char *s, size_t n);
/* How many bytes of s its first `columns` characters are; all of them where it has no more. */
size_t tare__columns_bytes(const char *s, int columns);

enum { TARE__CELL = 60 };

typedef struct tare__cell_buf {
    char text[4 * TARE__CELL + 1];
} tare__cell_buf;
/* s where it takes `width` columns or fewer (at most TARE__CELL), else its beginning and "..", `width` columns in all. */
const char *tare__cell_cut(const char *s, int width, tare__cell_buf *buffer);
/* The same, with blanks behind it up to `width`: a cell of a table. */
const char *tare__cell_text(const char *s, int width, tare__cell_buf *buffer);

/* Adds `text` word by word, 80 columns wide, from column `at` on; lines that follow begin at `indent`. Ends the line. */
void tare__text_wrap(tare__text *t, const char *text, int at, int indent);

#endif
