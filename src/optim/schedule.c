/* schedule.c - learning rates as a function of the step, and their text form. */
#include "../core/text.h"
#include "optim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

static const char *const names[] = {
    [TARE_SCHEDULE_CONSTANT] = "constant",
    [TARE_SCHEDULE_STEP] = "step",
    [TARE_SCHEDULE_COSINE] = "cosine",
    [TARE_SCHEDULE_LINEAR] = "linear",
};
enum { KINDS = sizeof names / sizeof *names };

const char *tare_schedule_name(tare_schedule_kind kind) { return (unsigned)kind < KINDS ? names[kind] : "?"; }

/* ---- the rate ---------------------------------------------------------------------------------------------------- */

static double step_rate(const tare_schedule *s, int64_t u, int64_t length) {
    double every = s->every > 0 ? s->every : 1.0 / 3;
    if (every < 1) { every = fmax(1, floor(every * (double)length + 0.5)); }
    return s->lr * pow(s->gamma > 0 ? s->gamma : 0.1, floor((double)u / every));
}

double tare_schedule_at(const tare_schedule *s, int64_t t) {
    if (t < s->warmup) { return s->lr * (double)(t + 1) / (double)(s->warmup + 1); }
    int64_t u = t - s->warmup, length = s->steps > s->warmup ? s->steps - s->warmup : 1;
    double done = u < length ? (double)u / (double)length : 1;
    switch (s->kind) {
    case TARE_SCHEDULE_STEP: return step_rate(s, u, length);
    case TARE_SCHEDULE_COSINE: return s->min + (s->lr - s->min) * (1 + cos(PI * done)) / 2;
    case TARE_SCHEDULE_LINEAR: return s->lr + (s->min - s->lr) * done;
    case TARE_SCHEDULE_CONSTANT: break;
    }
    return s->lr;
}

static tare_status check_number(const char *field, double value) {
    if (value >= 0 && isfinite(value)) { return TARE_OK; }
    return tare_fail(TARE_EINVAL, "schedule: %s is %g, expected a finite number not below 0", field, value);
}

tare_status tare_schedule_check(const tare_schedule *s) {
    tare_status status = check_number("lr", s->lr);
    if (!status) { status = check_number("min", s->min); }
    if (!status) { status = check_number("every", s->every); }
    if (!status) { status = check_number("gamma", s->gamma); }
    if (status) { return status; }
    if ((unsigned)s->kind >= KINDS) { return tare_fail(TARE_EINVAL, "schedule: unknown kind %d", (int)s->kind); }
    if (s->steps < 0 || s->warmup < 0 || (s->warmup > s->steps && s->steps > 0)) {
        return tare_fail(TARE_EINVAL, "schedule: %lld steps of warm-up in a run of %lld", (long long)s->warmup,
                         (long long)s->steps);
    }
    return TARE_OK;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static bool falls(tare_schedule_kind kind) { return kind == TARE_SCHEDULE_COSINE || kind == TARE_SCHEDULE_LINEAR; }

/* A key of another kind would be read and forgotten, as would a 0 that stands for the default. */
static tare_status check_key(tare_schedule_kind kind, const char *key, double value) {
    bool jump = strcmp(key, "every") == 0 || strcmp(key, "gamma") == 0;
    if (strcmp(key, "min") == 0 && !falls(kind)) {
        return tare_fail(TARE_EINVAL, "schedule: %s has no min; cosine and linear do", tare_schedule_name(kind));
    }
    if (jump && kind != TARE_SCHEDULE_STEP) {
        return tare_fail(TARE_EINVAL, "schedule: %s has no %s; step does", tare_schedule_name(kind), key);
    }
    if (jump && value == 0) { return tare_fail(TARE_EINVAL, "schedule: %s is 0, expected a number above 0", key); }
    return TARE_OK;
}

/* "min=1e-5": the `length` characters at `text`. */
static tare_status parse_pair(tare_schedule *s, const char *text, size_t length) {
    char pair[64];
    if (length >= sizeof pair) { return tare_fail(TARE_EINVAL, "schedule: \"%.40s...\" is too long", text); }
    memcpy(pair, text, length);
    pair[length] = '\0';
    char *equals = strchr(pair, '=');
    double value;
    if (!equals || !tare__number_parse(equals + 1, &value)) {
        return tare_fail(TARE_EINVAL, "schedule: \"%s\" is not KEY=NUMBER", pair);
    }
    *equals = '\0';
    tare_status status = check_number(pair, value);
    if (status) { return status; }
    status = check_key(s->kind, pair, value);
    if (status) { return status; }
    if (strcmp(pair, "min") == 0) {
        s->min = value;
    } else if (strcmp(pair, "every") == 0) {
        s->every = value;
    } else if (strcmp(pair, "gamma") == 0) {
        s->gamma = value;
    } else if (strcmp(pair, "warmup") == 0) {
        if (value != floor(value) || value > 0x1p53) {
            return tare_fail(TARE_EINVAL, "schedule: warmup is %g, expected a number of steps", value);
        }
        s->warmup = (int64_t)value;
    } else {
        return tare_fail(TARE_EINVAL, "schedule: unknown key \"%s\"; known are min, every, gamma, warmup", pair);
    }
    return TARE_OK;
}

tare_status tare_schedule_parse(tare_schedule *s, const char *text) {
    tare_schedule out = *s;
    size_t length = strcspn(text, ":");
    int kind = 0;
    while (kind < KINDS && !(strlen(names[kind]) == length && strncmp(names[kind], text, length) == 0)) { kind++; }
    if (kind == KINDS) {
        return tare_fail(TARE_EINVAL, "unknown schedule \"%.*s\"; known are constant, step, cosine, linear",
                         (int)(length < 40 ? length : 40), text);
    }
    out.kind = (tare_schedule_kind)kind;
    for (text += length; *text; text += length) {
        text++; /* the ':' or ',' */
        length = strcspn(text, ",");
        tare_status status = parse_pair(&out, text, length);
        if (status) { return status; }
    }
    *s = out;
    return TARE_OK;
}

const char *tare_schedule_text(const tare_schedule *s, tare_schedule_buf *buffer) {
    bool jumps = s->kind == TARE_SCHEDULE_STEP;
    const double values[] = { falls(s->kind) ? s->min : 0, jumps ? s->every : 0, jumps ? s->gamma : 0,
                              (double)s->warmup };
    const char *const keys[] = { "min", "every", "gamma", "warmup" };
    size_t used = (size_t)snprintf(buffer->text, sizeof buffer->text, "%s", tare_schedule_name(s->kind));
    char separator = ':';
    for (int i = 0; i < 4; i++) {
        tare__number_buf number;
        if (values[i] == 0) { continue; }
        int wrote = snprintf(buffer->text + used, sizeof buffer->text - used, "%c%s=%s", separator, keys[i],
                             tare__number_text(values[i], &number));
        used += (size_t)wrote;
        separator = ',';
    }
    return buffer->text;
}
