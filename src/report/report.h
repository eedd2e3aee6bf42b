/* report.h - what the files of this room share: a run's folder becomes JSON, and JSON becomes a page. */
#ifndef TARE_SRC_REPORT_H
#define TARE_SRC_REPORT_H

#include <stdio.h>

#include <tare/report.h>

#include "../run/json.h"

/* ---- metrics.jsonl in columns (metrics.c) ------------------------------------------------------------------------ */

typedef struct tare__column {
    char *name;
    double *value; /* one a row; NaN: absent, or not finite */
} tare__column;

/* All events of a kind; those about a layer or a parameter apart for each. */
typedef struct tare__series {
    char *event, *of, *kind; /* "norm_stats", "block1.norm" (or NULL), "batch_norm" (or NULL) */
    tare__column *column;
    int64_t columns, rows, room;
} tare__series;

typedef struct tare__metrics {
    tare__series *series;
    int64_t count;
    struct cJSON *texts; /* "sample" events */
    struct cJSON *notes; /* events that happen once, or that have words in them */
    int64_t notes_left_out;
} tare__metrics;

/* Reads the file; a line that is no object (cut short by a crash) is passed over. A file that is not there is empty.
 * Pairs with tare__metrics_free, also on failure. */
tare_status tare__metrics_load(tare__metrics *m, const char *path);
void tare__metrics_free(tare__metrics *m);
const tare__column *tare__series_column(const tare__series *s, const char *name);

/* ---- fewer points (thin.c) --------------------------------------------------------------------------------------- */

/* Which of the n values to draw, in order, at most `most` (>= 4): all where they are few, else first, last, and of each
 * stretch its lowest and its highest. NaN is never picked. `index` has room for `most`; returns how many. */
int64_t tare__thin(const double *value, int64_t n, int64_t most, int64_t *index);

/* ---- JSON of a folder (run_json.c) ------------------------------------------------------------------------------- */

/* What is left to be spent, over all runs of a report. */
typedef struct tare__budget {
    int64_t points;        /* most points of a curve */
    int64_t steps;         /* most columns of a heatmap */
    int64_t picture_bytes; /* for all that is still to come */
    bool details;          /* this run with statistics, pictures and texts; else its curves alone */
} tare__budget;

/* Adds the run as an object. `name` is what the report calls it. */
tare_status tare__report_run(tare__text *out, const char *folder, const char *name, tare__budget *budget);
/* The file as JSON: *json is NULL where the file is not there.  errors  TARE_EFORMAT: not an object;  TARE_EIO */
tare_status tare__report_read(const char *folder, const char *file, struct cJSON **json);

/* ---- pictures (picture.c) ---------------------------------------------------------------------------------------- */

/* "pictures":[{"file","step","uri"},...]: the PNG files in folder/samples, evenly chosen where there are too many.
 * `events` says at which step each was made. */
tare_status tare__report_pictures(tare__text *out, const char *folder, const struct cJSON *events,
                                  tare__budget *budget);

/* ---- the page (page.c) ------------------------------------------------------------------------------------------- */

/* Title and JSON into the template, written to `path`. */
tare_status tare__report_page(const char *path, const char *title, const char *json);

#endif
