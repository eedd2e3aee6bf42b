/* task.h - one run of a program: its command, its folder, how it ended. */
#ifndef TARE_COMPARE_TASK_H
#define TARE_COMPARE_TASK_H

#include <sys/types.h>

#include "metric.h"
#include "words.h"

typedef enum tare__task_state {
    TARE__TASK_WAITING,
    TARE__TASK_RUNNING,
    TARE__TASK_LEFT, /* a comparison that was killed has left it running: wait for it */
    TARE__TASK_DONE,
} tare__task_state;

typedef struct tare__task {
    char *folder;     /* the run folder; folder.log and folder.json stand beside it */
    char *label;      /* "norm=bn,batch=8, seed 3" */
    tare__words argv; /* the whole command */
    int64_t identity; /* argv from here on says what is run; before are paths */
    tare__task_state state;
    bool fresh; /* run by this call, not found */
    tare__fate fate;
    char reason[96];                          /* of crashed, killed: "exit code 1" */
    double value;                             /* of finished */
    bool not_reached;                         /* metric steps_to: never; value is a lower bound */
    double seconds, wall_seconds, peak_bytes; /* NaN: unknown */
    pid_t pid;
    int log; /* descriptor, locked while the run or a child of it lives */
    double began;
    int overdue; /* the signal it was sent at its time limit; 0: none */
} tare__task;

void tare__task_free(tare__task *task);

/* tare__task_look - what is there of it already: fate (missing where it must be run), state.
 *   retry   what crashed or was killed counts as missing
 *   errors  TARE_EINVAL: it ended without this metric (the message lists what it has);  TARE_EIO */
tare_status tare__task_look(tare__task *task, const tare__metric *m, bool retry);
/* tare__task_prepare - an empty place to run in: folder removed, log emptied and locked (task->log), a note that it began.
 *   *left   true where another process still holds the log; nothing is changed then */
tare_status tare__task_prepare(tare__task *task, bool *left);
/* tare__task_settle - it has ended: fate and numbers from its folder and wait status; written beside it. */
tare_status tare__task_settle(tare__task *task, const tare__metric *m, int wait_status);
/* tare__task_last_words - the last line of its log, for messages. */
void tare__task_last_words(const tare__task *task, char *text, size_t size);

/* tare__remove_tree - the folder and all in it; nothing there is fine. */
tare_status tare__remove_tree(const char *folder);
/* tare__write_file, tare__read_file - whole, through a temporary name; *text to be freed, NULL where there is no such file. */
tare_status tare__write_file(const char *path, const char *text);
tare_status tare__read_file(const char *path, char **text);

#endif
