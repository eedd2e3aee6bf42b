/* metric.c - what is measured: its name, its form, and which way is better. */
#include "metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../core/text.h"

const char *const tare__fate_name[TARE__FATES] = { "missing", "ok", "diverged", "crashed", "killed" };

static bool is_name(const char *text, size_t n) {
    return n > 0 && n < 64 && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") >= n;
}

/* 1 up, -1 down, 0 unknown. */
static int known_direction(const char *name) {
    static const char *const up[] = { "accuracy", "coverage", "images_per_second", "tokens_per_second" },
                             *const down[] = { "loss",    "error",   "perplexity", "bits",
                                               "frechet", "seconds", "bytes",      "grad" };
    for (size_t i = 0; i < sizeof up / sizeof *up; i++) {
        if (strstr(name, up[i])) { return 1; }
    }
    for (size_t i = 0; i < sizeof down / sizeof *down; i++) {
        if (strstr(name, down[i])) { return -1; }
    }
    return 0;
}

/* "NAME>=0.9)" */
static bool parse_reach(tare__metric *m, const char *inside) {
    size_t n = strcspn(inside, "<>");
    if (!is_name(inside, n) || inside[n + 1] != '=') { return false; }
    m->above = inside[n] == '>';
    char number[32];
    size_t digits = strcspn(inside + n + 2, ")");
    if (digits >= sizeof number || strcmp(inside + n + 2 + digits, ")") != 0) { return false; }
    snprintf(number, sizeof number, "%.*s", (int)digits, inside + n + 2);
    snprintf(m->name, sizeof m->name, "%.*s", (int)n, inside);
    return tare__number_parse(number, &m->bound);
}

static bool parse_form(tare__metric *m, const char *text) {
    static const struct {
        const char *before;
        tare__metric_kind kind;
    } forms[] = { { "max(", TARE__METRIC_MAX }, { "min(", TARE__METRIC_MIN }, { "steps_to(", TARE__METRIC_REACH } };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = strlen(forms[i].before);
        if (strncmp(text, forms[i].before, n) != 0) { continue; }
        m->kind = forms[i].kind;
        if (m->kind == TARE__METRIC_REACH) { return parse_reach(m, text + n); }
        size_t inside = strcspn(text + n, ")");
        snprintf(m->name, sizeof m->name, "%.*s", (int)(inside < 63 ? inside : 63), text + n);
        return is_name(text + n, inside) && strcmp(text + n + inside, ")") == 0;
    }
    m->kind = TARE__METRIC_LAST;
    if (!is_name(text, strlen(text))) { return false; }
    memcpy(m->name, text, strlen(text) + 1);
    return true;
}

tare_status tare__metric_parse(tare__metric *m, const char *text, int direction) {
    *m = (tare__metric){ .bound = (double)NAN };
    if (strlen(text) >= sizeof m->text || !parse_form(m, text)) {
        return tare_fail(TARE_EINVAL,
                         "--metric: \"%s\" is no metric; NAME, max(NAME), min(NAME), steps_to(NAME>=X) and "
                         "steps_to(NAME<=X) are",
                         text);
    }
    snprintf(m->text, sizeof m->text, "%s", text);
    if (direction == 0) { direction = m->kind == TARE__METRIC_REACH ? -1 : known_direction(m->name); }
    if (direction == 0) {
        return tare_fail(TARE_EINVAL, "--metric %s: is more of it better? say --up or --down", text);
    }
    m->up = direction > 0;
    return TARE_OK;
}
