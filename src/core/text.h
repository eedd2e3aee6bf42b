/* text.h - text that grows, and numbers as text whatever the locale. */
#ifndef TARE_TEXT_H
#define TARE_TEXT_H

#include <tare/core.h>

/* Zero-initialised is empty. Once memory was short `failed` stays set and nothing more is added. */
typedef struct tare__text {
    char *data; /* ends with 0; NULL while empty */
    size_t size, room;
    bool failed;
} tare__text;

void tare__text_add(tare__text *t, const char *text);
void tare__text_addn(tare__text *t, const char *text, size_t n);
void tare__text_format(tare__text *t, const char *format, ...) TARE_PRINTF(2, 3);
/* As a JSON string, quotes and all; bytes that are not UTF-8 become U+FFFD. */
void tare__text_json(tare__text *t, const char *text);
/* As one word of a shell's command line. */
void tare__text_quoted(tare__text *t, const char *text);
/* The shortest decimal that reads back as the same double; whole numbers without a point; NaN and Inf as "null". */
void tare__text_number(tare__text *t, double value);
/* Hands over the text (tare_free it), "" at least; NULL where memory was short. */
char *tare__text_take(tare__text *t);

/* tare__number_text - the same number into a buffer of the caller's. */
typedef struct tare__number_buf {
    char text[32];
} tare__number_buf;
const char *tare__number_text(double value, tare__number_buf *buffer);

/* tare__number_parse - all of `text` as a decimal number; false where it is not one, or is not finite. */
bool tare__number_parse(const char *text, double *value);

#endif
