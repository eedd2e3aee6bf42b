/* metric.h - one number per run, from its metrics.jsonl. */
#ifndef TARE_COMPARE_METRIC_H
#define TARE_COMPARE_METRIC_H

#include <tare/core.h>

typedef enum tare__metric_kind {
    TARE__METRIC_LAST,  /* NAME: of the end event, or of the last event that has it */
    TARE__METRIC_MAX,   /* max(NAME): the largest there was */
    TARE__METRIC_MIN,   /* min(NAME) */
    TARE__METRIC_REACH, /* steps_to(NAME>=0.9) or (NAME<=0.3): the step of the first event that says so */
} tare__metric_kind;

typedef struct tare__metric {
    tare__metric_kind kind;
    char name[64]; /* of the member of events */
    char text[96]; /* as it was given */
    bool up;       /* is more better? */
    bool above;    /* REACH: >= */
    double bound;  /* REACH */
} tare__metric;

/* tare__metric_parse - what is measured, and the direction: `direction` > 0 up, < 0 down, 0 as the name tells (accuracies up;
 * losses, errors, perplexities, distances, steps and seconds down).
 *   errors  TARE_EINVAL: neither a name nor one of these forms; a name whose direction nobody knows */
tare_status tare__metric_parse(tare__metric *m, const char *text, int direction);

typedef enum tare__fate {
    TARE__MISSING,
    TARE__FINISHED,
    TARE__DIVERGED,
    TARE__CRASHED,
    TARE__KILLED,
    TARE__FATES
} tare__fate;
extern const char *const tare__fate_name[TARE__FATES]; /* "missing", "ok", ... */

/* What metrics.jsonl says. */
typedef struct tare__story {
    bool started, ended, nonfinite; /* events: any, end, nonfinite or diverged */
    bool has_value;                 /* the metric is there; value may still be NaN */
    double value;
    bool not_reached;  /* REACH: never; value is the last step then, which the true one exceeds */
    double seconds;    /* NaN: unknown */
    double peak_bytes; /* NaN: unknown */
    char names[512];   /* of the end event's numbers, where the metric is not there: for the message */
} tare__story;

/* tare__story_read - the events of the run in `folder`; no metrics.jsonl makes an empty story.  errors  TARE_EIO, TARE_ENOMEM */
tare_status tare__story_read(tare__story *story, const char *folder, const tare__metric *m);

#endif
