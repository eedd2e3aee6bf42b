/* options.h - what the option files share: the parser's state. */
#ifndef TARE_RUN_OPTIONS_H
#define TARE_RUN_OPTIONS_H

#include <tare/run.h>

#include "../core/text.h"

enum { TARE__OPTIONS_MAX = 128 };

/* One row of a table, and the value it fills. */
typedef struct tare__option_entry {
    const tare_option *row;
    char *values;         /* the struct that the value lies in */
    const char *fallback; /* row->fallback, or what tare_options_default put in its place */
    void *owned;          /* the memory behind a string or a list of files */
    bool given;           /* by the command line */
} tare__option_entry;

struct tare_options {
    const char *name, *about;
    tare__option_entry option[TARE__OPTIONS_MAX];
    int count;
    char *text; /* what --help and its kin ask to print */
};

/* The entry that `name` (n bytes, without dashes) stands for, or NULL. */
tare__option_entry *tare__option_find(const tare_options *o, const char *name, size_t n);
/* Sets the value from text, as the command line or a default has it. `source` begins the message of an error. */
tare_status tare__option_set(tare__option_entry *e, const char *text, const char *source);
/* Makes a string's value, a path, absolute where it leads somewhere. */
tare_status tare__option_root(tare__option_entry *e);
/* Sets a list of files (copied). */
tare_status tare__option_set_files(tare__option_entry *e, int64_t count, const char *const *name);
/* The value as text that tare__option_set takes, "" where a string is NULL; not for files. */
void tare__option_text(const tare__option_entry *e, tare__text *t);
/* Is the value a tare_files? */
bool tare__option_is_list(const tare__option_entry *e);
const tare_files *tare__option_files(const tare__option_entry *e);
/* All values but local ones as the JSON object `key` of the one open in `t`. */
void tare__options_json(const tare_options *o, tare__text *t, const char *key);
/* The whole page that --help prints. */
char *tare__options_help(const tare_options *o);

#endif
