/* runner.h - many runs, so many at a time. */
#ifndef TARE_COMPARE_RUNNER_H
#define TARE_COMPARE_RUNNER_H

#include "task.h"

typedef struct tare__runner_opt {
    int64_t jobs;
    int64_t threads;   /* OMP_NUM_THREADS of each run; 0: as it is */
    double time_limit; /* seconds of each run; 0: none */
    bool retry;
    bool usage_is_fatal; /* exit code 2 means wrong options: stop all */
    const tare__metric *metric;
    int64_t rows; /* the tasks are so many rows: the first of each is begun first, then the second; 0: one */
    /* Called as each run ends, or is found to have ended. May be NULL, as may tick, called about ten times a second. */
    void (*done)(void *context, const tare__task *task);
    void (*tick)(void *context, int64_t running);
    void (*left)(void *context, const tare__task *task); /* it must be waited for: a killed comparison's */
    void *context;
} tare__runner_opt;

/* tare__run_tasks - run all that are not done. Each is a process group of its own; on tare_stop() they are asked to
 * stop, then made to; what was interrupted stays missing.
 *   errors  TARE_EINVAL: options the program does not take, a metric its runs have not;  TARE_EIO;  TARE_ENOMEM */
tare_status tare__run_tasks(tare__task *task, int64_t count, const tare__runner_opt *opt);

#endif
