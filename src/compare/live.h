/* live.h - what a terminal shows while a comparison runs. */
#ifndef TARE_COMPARE_LIVE_H
#define TARE_COMPARE_LIVE_H

#include "comparison.h"

typedef struct tare__live tare__live;

/* Lines go to `stream`: on a terminal a table of cells with a bar below, redrawn; elsewhere a line for each run that ends.
 * quiet: nothing. NULL: TARE_ENOMEM */
tare__live *tare__live_new(const tare__comparison *c, FILE *stream, bool quiet);
/* tare__live_brief - without a terminal, only of runs that failed is there a line. */
void tare__live_brief(tare__live *live);
void tare__live_free(tare__live *live); /* takes the table off the terminal */
/* What tare__runner_opt wants called; context is the tare__live. */
void tare__live_done(void *context, const tare__task *task);
void tare__live_tick(void *context, int64_t running);
void tare__live_left(void *context, const tare__task *task);

#endif
