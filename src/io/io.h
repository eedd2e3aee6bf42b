/* io.h - what the files of this room share. */
#ifndef TARE_SRC_IO_H
#define TARE_SRC_IO_H

#include <stdio.h>

#include <tare/io.h>

#include "../core/text.h"

enum { TARE__MAX_HEADER = 100000000 }; /* bytes of a JSON header; the format's own limit */

/* The metadata key that says which version of our conventions a file follows, and the newest known here. */
#define TARE__FORMAT_KEY "tare.format"
#define TARE__FORMAT     "1"

/* Write `path` by way of a temporary name in the same folder: fill, sync, rename, sync the folder. On failure the
 * temporary file is removed and what was at `path` is still there. fill returns false where writing failed. */
tare_status tare__file_replace(const char *path, bool (*fill)(FILE *file, const void *context), const void *context);

/* tare__folders_make - the folder and those above it; that it is there already is fine. */
tare_status tare__folders_make(const char *folder);

/* A file's whole contents, one zero byte behind them. */
tare_status tare__file_load(const char *path, unsigned char **bytes, size_t *size);

/* A name from a file, fit to be shown: no control characters, not too long. */
typedef struct tare__shown {
    char text[84];
} tare__shown;
const char *tare__show(const char *name, tare__shown *buffer);

/* ---- all tensors of an object, by the names they have in a file ---- */

typedef struct tare__visitor {
    void (*visit)(void *context, const char *name, tare_shape shape, tare_real *data);
    void *context;
    tare__text name; /* where names are put together; zero at the start, tare_free(name.data) at the end */
} tare__visitor;

/* "prefix.name" ("name" where the prefix is ""), for each parameter and buffer. */
void tare__visit_params(tare__visitor *v, const char *prefix, const tare_params *ps);
/* The same for each parameter, with its part of `flat`. */
void tare__visit_flat(tare__visitor *v, const char *prefix, const tare_params *ps, tare_real *flat);
/* The same for each buffer, with its part of `flat`. */
void tare__visit_buffers(tare__visitor *v, const char *prefix, const tare_params *ps, tare_real *flat);
/* For tare__visitor.visit, context a tare_writer. */
void tare__save_tensor(void *writer, const char *name, tare_shape shape, tare_real *data);

/* ---- does what is wanted match what a file has? ---- */

typedef struct tare__fit {
    const tare_reader *reader;
    bool partial; /* missing and unexpected tensors are no fault */
    bool *taken;  /* one per entry */
    int64_t missing, unexpected, misshapen;
    tare__text rows; /* the table, as far as it is shown */
    int64_t shown;
} tare__fit;

/* Pairs with tare__fit_free, also on failure. */
tare_status tare__fit_begin(tare__fit *f, const tare_reader *reader, bool partial);
void tare__fit_free(tare__fit *f);
/* For tare__visitor.visit, context a tare__fit: the file must have it, with this shape. */
void tare__fit_want(void *fit, const char *name, tare_shape shape, tare_real *data);
/* Everything in the file that was not wanted, has the prefix, and is no state ('@', unless the prefix has it too). */
void tare__fit_rest(tare__fit *f, const char *prefix);
/* The verdict, with the table for a message. */
tare_status tare__fit_status(const tare__fit *f);
/* For tare__visitor.visit, context a tare__fit: take the values, where the file has them. */
void tare__fit_copy(void *fit, const char *name, tare_shape shape, tare_real *data);

/* TARE_EMISMATCH where the file says that its conventions are newer than ours. */
tare_status tare__format_check(const tare_reader *reader);

/* ---- numbers as exact text, whatever the locale ---- */

typedef struct tare__exact {
    char text[32];
} tare__exact;
/* C99's hexadecimal notation: "0x1.8000000000000p+3"; "nan", "inf", "-inf". */
const char *tare__exact_double(double value, tare__exact *buffer);
bool tare__exact_parse_double(const char *text, double *value);
const char *tare__exact_uint(uint64_t value, tare__exact *buffer);
bool tare__exact_parse_uint(const char *text, uint64_t *value);
const char *tare__exact_int(int64_t value, tare__exact *buffer);
bool tare__exact_parse_int(const char *text, int64_t *value);

#endif
