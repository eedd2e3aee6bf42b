/* story.c - what a run's metrics.jsonl tells: did it end, and with which number? */
#include "metric.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "../run/json.h"

static double number(const cJSON *event, const char *name) {
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(event, name);
    return cJSON_IsNumber(member) ? member->valuedouble : (double)NAN;
}

static void list_names(tare__story *story, const cJSON *end) {
    const cJSON *member;
    story->names[0] = '\0';
    cJSON_ArrayForEach(member, end) {
        size_t n = strlen(story->names);
        if (!cJSON_IsNumber(member)) { continue; }
        snprintf(story->names + n, sizeof story->names - n, "%s%s", n ? ", " : "", member->string);
    }
}

/* The metric's member in an event: the last, the largest, the smallest, the first beyond the bound. null is NaN. */
static void take_value(tare__story *story, const tare__metric *m, const cJSON *event, double step) {
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(event, m->name);
    if (!cJSON_IsNumber(member) && !cJSON_IsNull(member)) { return; }
    double value = cJSON_IsNumber(member) ? member->valuedouble : (double)NAN;
    bool first = !story->has_value;
    story->has_value = true;
    switch (m->kind) {
    case TARE__METRIC_LAST: story->value = value; break;
    case TARE__METRIC_MAX: story->value = value > story->value || isnan(story->value) ? value : story->value; break;
    case TARE__METRIC_MIN: story->value = value < story->value || isnan(story->value) ? value : story->value; break;
    case TARE__METRIC_REACH:
        if (first) { story->not_reached = true; }
        if (!story->not_reached) { break; }
        if (m->above ? value >= m->bound : value <= m->bound) { story->not_reached = false; }
        if (isfinite(step)) { story->value = step; }
        break;
    }
}

static void take_event(tare__story *story, const tare__metric *m, const cJSON *event) {
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(event, "event");
    if (!cJSON_IsString(kind)) { return; }
    story->started = true;
    bool end = strcmp(kind->valuestring, "end") == 0;
    story->nonfinite =
        story->nonfinite || strcmp(kind->valuestring, "nonfinite") == 0 || strcmp(kind->valuestring, "diverged") == 0;
    take_value(story, m, event, number(event, "step"));
    if (end) {
        story->ended = true;
        story->seconds = number(event, "seconds");
        story->peak_bytes = number(event, "peak_bytes");
        list_names(story, event);
    }
}

tare_status tare__story_read(tare__story *story, const char *folder, const tare__metric *m) {
    *story = (tare__story){ .value = (double)NAN, .seconds = (double)NAN, .peak_bytes = (double)NAN };
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    FILE *file = n > 0 && (size_t)n < sizeof path ? fopen(path, "r") : NULL;
    if (!file) {
        return errno == ENOENT || errno == ENOTDIR ? TARE_OK : tare_fail(TARE_EIO, "%s: %s", path, strerror(errno));
    }
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        cJSON *event = tare__json_event(line); /* NULL: a line cut short */
        take_event(story, m, event);
        cJSON_Delete(event);
    }
    bool bad = ferror(file) != 0;
    free(line);
    fclose(file);
    return bad ? tare_fail(TARE_EIO, "%s: cannot be read", path) : TARE_OK;
}
