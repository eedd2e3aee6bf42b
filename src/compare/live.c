/* live.c - a comparison while it runs: a table that redraws itself on a terminal, a line for each run elsewhere. */
#include "live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../core/columns.h"

enum { BAR = 24, NUMBER = TARE__SHORT };

struct tare__live {
    const tare__comparison *c;
    FILE *stream;
    bool quiet, live, brief;
    int64_t total, before; /* runs in all; done when we began */
    double start;
    int drawn; /* lines on the screen */
};

static int64_t all_runs(const tare__comparison *c) { return c->trials + c->cells * c->seeds; }

tare__live *tare__live_new(const tare__comparison *c, FILE *stream, bool quiet) {
    tare__live *live = tare_calloc(1, sizeof *live);
    if (!live) { return NULL; }
    const char *term = getenv("TERM");
    *live = (tare__live){ .c = c, .stream = stream, .quiet = quiet, .total = all_runs(c), .start = tare_clock() };
    live->before = live->total - tare__comparison_missing(c);
    live->live = !quiet && isatty(fileno(stream)) && term && strcmp(term, "dumb") != 0;
    return live;
}

void tare__live_brief(tare__live *live) { live->brief = true; }

static void erase(tare__live *live) {
    for (; live->drawn > 0; live->drawn--) { fputs("\033[A\033[2K", live->stream); }
}

void tare__live_free(tare__live *live) {
    if (!live) { return; }
    erase(live);
    fflush(live->stream);
    tare_free(live);
}

static void clock_text(double seconds, char text[NUMBER]) {
    long s = (long)(seconds + 0.5);
    if (s >= 3600) {
        snprintf(text, NUMBER, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(text, NUMBER, "%ld:%02ld", s / 60, s % 60);
    }
}

/* At the pace since we began; "?" before the first run is done. */
static void left_text(const tare__live *live, int64_t done, char text[NUMBER]) {
    int64_t here = done - live->before;
    snprintf(text, NUMBER, "?");
    if (here > 0) { clock_text((tare_clock() - live->start) * (double)(live->total - done) / (double)here, text); }
}

/* ---- the table ------------------------------------------------------------------------------------------------------------- */

static int terminal_height(FILE *stream) {
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

/* One sign a seed: what has become of it. */
static void draw_cell(tare__live *live, const tare__cell *cell, int width) {
    static const char signs[] = ".*NXK";
    char seeds[40], mean[NUMBER] = "";
    double sum = 0;
    int64_t n = 0, shown = live->c->seeds < 32 ? live->c->seeds : 32;
    for (int64_t i = 0; i < live->c->seeds; i++) {
        const tare__task *t = &cell->task[i];
        if (i < shown) { seeds[i] = t->state == TARE__TASK_RUNNING ? '>' : signs[t->fate]; }
        if (t->fate == TARE__FINISHED && t->state == TARE__TASK_DONE) {
            sum += t->value;
            n++;
        }
    }
    seeds[shown] = '\0';
    if (n > 0) { tare__short_number(sum / (double)n, mean); }
    int room = width - (int)shown - 12;
    if (room < 8) { room = 8; }
    if (room > 40) { room = 40; }
    tare__cell_buf name;
    fprintf(live->stream, "%s %s %10s\n", tare__cell_text(cell->name, room, &name), seeds, mean);
    live->drawn++;
}

static void draw_bar(tare__live *live, int64_t running) {
    int64_t done = live->total - tare__comparison_missing(live->c);
    char bar[BAR + 1], left[NUMBER];
    for (int i = 0; i < BAR; i++) { bar[i] = i * live->total < done * BAR ? '#' : '.'; }
    bar[BAR] = '\0';
    left_text(live, done, left);
    fprintf(live->stream, "%s %lld/%lld runs, %lld at work, %s left\n", bar, (long long)done, (long long)live->total,
            (long long)running, left);
    live->drawn++;
}

void tare__live_tick(void *context, int64_t running) {
    tare__live *live = context;
    if (!live->live) { return; }
    int width = tare_terminal_width(live->stream) - 1, rows = terminal_height(live->stream) - 3;
    erase(live);
    fputs("\033[?7l", live->stream); /* no line wraps: each is one to erase */
    for (int64_t k = 0; live->c->cells <= rows && k < live->c->cells; k++) {
        draw_cell(live, &live->c->cell[k], width);
    }
    if (live->c->cells <= rows) {
        fprintf(live->stream, "* done  > at work  N diverged  X crashed  K killed\n");
        live->drawn++;
    }
    draw_bar(live, running);
    fputs("\033[?7h", live->stream);
    fflush(live->stream);
}

/* ---- lines ----------------------------------------------------------------------------------------------------------------- */

static void describe(const tare__live *live, const tare__task *task, char *text, size_t size) {
    char number[NUMBER], words[256];
    tare__cell_buf cut;
    if (task->fate == TARE__FINISHED) {
        tare__short_number(task->value, number);
        snprintf(text, size, "%s %s%s", live->c->plan->metric.text, task->not_reached ? "not reached by " : "", number);
    } else if (task->fate == TARE__DIVERGED || task->fate == TARE__MISSING) {
        snprintf(text, size, "%s", tare__fate_name[task->fate]);
    } else {
        tare__task_last_words(task, words, sizeof words);
        snprintf(text, size, "%s, %s%s%s", tare__fate_name[task->fate], task->reason, *words ? ": " : "",
                 tare__cell_cut(words, TARE__CELL, &cut));
    }
}

void tare__live_done(void *context, const tare__task *task) {
    tare__live *live = context;
    if (live->quiet || ((live->live || live->brief) && task->fate == TARE__FINISHED)) { return; }
    char what[256], took[NUMBER] = "";
    describe(live, task, what, sizeof what);
    if (isfinite(task->wall_seconds)) { snprintf(took, sizeof took, ", %.1f s", task->wall_seconds); }
    erase(live);
    fprintf(live->stream, "[%3lld/%lld] %s: %s%s\n", (long long)(live->total - tare__comparison_missing(live->c)),
            (long long)live->total, task->label, what, took);
    fflush(live->stream);
}

void tare__live_left(void *context, const tare__task *task) {
    tare__live *live = context;
    if (live->quiet) { return; }
    erase(live);
    fprintf(live->stream, "%s: a comparison that was killed left this run at work; waiting for it\n", task->label);
    fflush(live->stream);
}
