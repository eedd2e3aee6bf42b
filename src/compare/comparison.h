/* comparison.h - a plan, its runs, and what they say: the whole of `tare compare` but its words on the terminal. */
#ifndef TARE_COMPARE_COMPARISON_H
#define TARE_COMPARE_COMPARISON_H

#include "plan.h"
#include "runner.h"
#include "stats.h"

#define TARE__ALPHA 0.05

typedef struct tare__cell {
    int64_t at[TARE__AXES]; /* which value of each axis */
    char *name;             /* "norm=bn,batch=8" */
    const char *tuned;      /* the value chosen by --tune; NULL: none yet, or nothing is tuned */
    tare__task *task;       /* one per seed */
    tare__task *trial;      /* one per value of --tune */
    int64_t count[TARE__FATES];
    tare__summary value;                            /* over what finished */
    double best, seconds, wall_seconds, peak_bytes; /* NaN: unknown; peak the largest, the others means */
} tare__cell;

typedef struct tare__pair {
    int64_t a, b;             /* cells; the difference is a - b */
    tare__summary difference; /* over the seeds where both finished */
    int64_t tested;           /* seeds in the test: those where neither is missing */
    double p, p_holm;         /* NaN: nothing to test */
    bool exact;
    int64_t wins, losses, ties;
    int64_t better; /* the cell that is, beyond chance; -1: cannot be told */
} tare__pair;

/* The cells that differ in the first axis alone, best mean first, failed runs standing for the worst value. */
typedef struct tare__ranking {
    int64_t count, cell[TARE__VALUES];
    char letters[TARE__VALUES][TARE__LETTERS];
    int against[TARE__VALUES]; /* with --versus: 1 better, 0 same, -1 worse, 2 the baseline itself */
} tare__ranking;

typedef struct tare__comparison {
    tare__plan *plan; /* lent */
    char *folder;
    int lock; /* descriptor of plan.json */
    tare__cell *cell;
    int64_t cells, seeds;
    tare__task *task, *trial; /* all of them: the cells' lie in here */
    int64_t trials;           /* in all */
    tare__pair *pair;
    int64_t pairs, pairs_tested;
    int64_t needed; /* seeds; 0: there are enough */
    tare__ranking *ranking;
    int64_t rankings;
    int64_t jobs, threads; /* as used */
} tare__comparison;

/* tare__comparison_open - the plan's cells and tasks, its folder found or made and locked, what is there already looked at. With
 * --dry-run nothing is made. *note says how it relates to what is there ("going on: 12 of 90 runs are done"), to be freed.
 *   errors  TARE_EEXIST: the folder holds another comparison or other things, or somebody is at work in it;  TARE_EINVAL: the folder
 * would be new, and the program does not take the options;  TARE_EIO */
tare_status tare__comparison_open(tare__comparison *c, tare__plan *plan, char **note);
void tare__comparison_close(tare__comparison *c);

/* tare__comparison_run - tune, then run what is missing. After tare_stop() it returns TARE_OK with runs missing.
 *   opt   done, tick, left, context are taken from it */
tare_status tare__comparison_run(tare__comparison *c, const tare__runner_opt *opt);
/* tare__comparison_analyse - all statistics of what has finished. */
tare_status tare__comparison_analyse(tare__comparison *c);
/* tare__comparison_write - comparison.json and the tables, into the folder. */
tare_status tare__comparison_write(const tare__comparison *c);
/* tare__comparison_json - the text of comparison.json; tare_free it. NULL: TARE_ENOMEM */
char *tare__comparison_json(const tare__comparison *c);

int64_t tare__comparison_missing(const tare__comparison *c); /* runs and trials */

/* A cell's value of an axis. */
const char *tare__cell_value(const tare__comparison *c, int64_t cell, int axis);

/* tare__comparison_print - the tables, for people, at most 80 columns wide. */
void tare__comparison_print(const tare__comparison *c, FILE *stream);
/* tare__short_number - with as many digits as its size calls for; "-" where it is NaN. */
enum { TARE__SHORT = 24 };
const char *tare__short_number(double value, char text[TARE__SHORT]);

#endif
