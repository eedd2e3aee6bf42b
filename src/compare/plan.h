/* plan.h - what is to be compared: a program, options all runs share, a grid, seeds, a metric. */
#ifndef TARE_COMPARE_PLAN_H
#define TARE_COMPARE_PLAN_H

#include <tare/run.h>

#include "metric.h"
#include "words.h"

enum { TARE__AXES = 8, TARE__VALUES = 64, TARE__CELLS = 4096 };

typedef struct tare__axis {
    char *key; /* "norm" for --norm */
    tare__words values;
} tare__axis;

/* The options of `tare compare` that need no thought. */
typedef struct tare__compare_opt {
    int64_t seeds, jobs;
    double time_limit;
    const char *metric, *budget, *versus, *launcher, *out;
    bool up, down, retry, force, dry_run, quiet, json;
    tare_files vary, tune, program; /* rows for --help alone: tare__plan_parse reads these itself */
} tare__compare_opt;

typedef struct tare__plan {
    char *program;      /* as the user named it: "mnist", "./toy.sh" */
    tare__words start;  /* the beginning of every command: the program's path, and words of its own */
    tare__words fixed;  /* options of every run, the budget last */
    bool dashes;        /* they stood behind `--` */
    tare__words budget; /* key, value; or empty */
    tare__axis axis[TARE__AXES];
    int axes;
    tare__axis tune; /* key NULL: nothing is tuned */
    tare__metric metric;
    tare__compare_opt opt;
    const char *parent; /* where folders with names of their own go; NULL: runs */
    tare_options *args; /* owns the strings of opt */
} tare__plan;

/* The rows of `tare compare --help`. */
extern const tare_option tare__compare_options[];

/* tare__plan_parse - from a command line, argv[0] being the name of the tool, `about` what it says of itself: its own options wherever they stand, all others and
 * what follows `--` go to the program. tare_options_text(plan->args) is set where --help or so was asked, and the rest is
 * empty then.   errors  TARE_EINVAL: what a user can repair;  TARE_ENOENT: no such program;  TARE_ENOMEM */
tare_status tare__plan_parse(tare__plan *plan, const char *about, int argc, char **argv);
void tare__plan_free(tare__plan *plan);

/* tare__plan_is_ours - is the program mnist, charlm or gan? Exit code 2 of these means wrong options.
 * tare__plan_check - do they take the options and each value of each axis? Other programs are not asked.
 *   errors  TARE_EINVAL: no, in the program's words;  TARE_EIO;  TARE_ENOMEM */
bool tare__plan_is_ours(const tare__plan *plan);
tare_status tare__plan_check(const tare__plan *plan);

int64_t tare__plan_cells(const tare__plan *plan);
/* tare__plan_at - the indices of a cell's values, one per axis; the last axis runs fastest. */
void tare__plan_at(const tare__plan *plan, int64_t cell, int64_t at[TARE__AXES]);
/* tare__plan_cell_name - "norm=bn,batch=8"; skip >= 0 leaves that axis out. tare_free it. NULL: TARE_ENOMEM */
char *tare__plan_cell_name(const tare__plan *plan, int64_t cell, int skip);

/* tare__plan_identity - JSON of all that a run of this plan depends on except values and seeds, which may be added later.
 * tare__plan_difference - in words, the first thing in which two identities differ ("--limit was 2000, is 3000"). */
char *tare__plan_identity(const tare__plan *plan);
char *tare__plan_difference(const char *before, const char *now);
/* tare__plan_command - the command line that makes this comparison again. */
char *tare__plan_command(const tare__plan *plan);
/* tare__plan_fixed_json - the fixed options as a JSON object: name to value ("" for a flag; several words joined by blanks). */
tare_status tare__plan_fixed_json(const tare__plan *plan, tare__text *t, const char *key);

#endif
