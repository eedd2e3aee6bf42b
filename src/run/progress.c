/* progress.c - one line on a terminal that redraws itself, and plain lines elsewhere. */
#include <tare/run.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../core/columns.h"

enum { BAR_MOST = 24, BAR_LEAST = 6, REDRAWS = 15 /* a second */ };

struct tare_progress {
    tare_progress_opt opt;
    bool live;  /* a terminal: draw */
    bool drawn; /* a bar is on the screen */
    char title[32];
    int64_t before;      /* units done before this stretch */
    int64_t done, count; /* in this stretch */
    int64_t from;        /* where in it we began */
    int64_t at_start;    /* units behind us when the first stretch began */
    double start, begun, last_drawn;
};

double tare_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool tare_terminal_colour(FILE *stream) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(stream)) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int tare_terminal_columns(const char *text) { return tare__columns(text, strlen(text)); }

void tare_terminal_wrap(FILE *stream, const char *text, int at, int indent) {
    tare__text t = { 0 };
    tare__text_wrap(&t, text, at, indent);
    char *lines = tare__text_take(&t);
    fputs(lines ? lines : text, stream); /* without memory unwrapped */
    tare_free(lines);
}

int tare_terminal_width(FILE *stream) {
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) { return size.ws_col; }
    return 80;
}

/* A reader that has gone away is a wish to stop; any other trouble with the screen is none of training's business. */
static void check_stream(FILE *stream) {
    if (ferror(stream) && errno == EPIPE && !tare_stop()) { tare_stop_ask(SIGPIPE); }
}

tare_progress *tare_progress_new(tare_progress_opt opt) {
    tare_progress *p = tare_calloc(1, sizeof *p);
    if (!p) { return NULL; }
    const char *term = getenv("TERM");
    p->opt = opt;
    p->live = !opt.quiet && isatty(fileno(opt.stream)) && term && strcmp(term, "dumb") != 0;
    p->start = p->begun = tare_clock();
    p->at_start = -1;
    return p;
}

static void erase(tare_progress *p) {
    if (!p->drawn) { return; }
    fputs("\r\033[K", p->opt.stream);
    p->drawn = false;
}

void tare_progress_clear(tare_progress *p) {
    erase(p);
    fflush(p->opt.stream);
}

void tare_progress_free(tare_progress *p) {
    if (!p) { return; }
    tare_progress_clear(p);
    tare_free(p);
}

void tare_progress_begin(tare_progress *p, const char *title, int64_t before, int64_t count, int64_t from) {
    snprintf(p->title, sizeof p->title, "%s", title);
    if (p->at_start < 0) {
        p->at_start = before + from;
        p->start = tare_clock();
    }
    p->before = before;
    p->count = count;
    p->done = p->from = from;
    p->begun = tare_clock();
    p->last_drawn = 0;
}

double tare_progress_rate(const tare_progress *p) {
    double seconds = tare_clock() - p->begun;
    return seconds > 0 ? (double)(p->done - p->from) / seconds : 0;
}

/* "1:02:03", "12:34", "0:07" */
static void clock_text(double seconds, char *text, size_t size) {
    long s = seconds < 0 ? 0 : seconds > 3.6e6 ? 3600000 : (long)(seconds + 0.5);
    if (s >= 3600) {
        snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
    }
}

/* Time left in the whole run at the pace since it started here. */
static double seconds_left(const tare_progress *p, double now) {
    int64_t now_done = p->before + p->done, here = now_done - p->at_start;
    return here > 0 ? (now - p->start) * (double)(p->opt.total - now_done) / (double)here : 0;
}

static void draw(tare_progress *p, const char *how, double now) {
    char left[24], line[320], bar[BAR_MOST + 1] = "";
    clock_text(seconds_left(p, now), left, sizeof left);
    double share = p->count > 0 ? (double)p->done / (double)p->count : 0;
    if (share > 1) { share = 1; }
    int width = tare_terminal_width(p->opt.stream) - 1; /* the last column makes some terminals wrap */
    int n = snprintf(line, sizeof line, "%3.0f%%  %s  %.0f %s/s  %s left", 100 * share, how, tare_progress_rate(p),
                     p->opt.unit, left);
    int room = width - n - tare_terminal_columns(p->title) - 2;
    if (room > BAR_MOST) { room = BAR_MOST; }
    for (int i = 0; room >= BAR_LEAST && i < room; i++) { bar[i] = i < (int)(share * room) ? '#' : '.'; }
    erase(p);
    int title = (int)tare__columns_bytes(p->title, width - 2);
    fprintf(p->opt.stream, "%.*s %s%s", title, p->title, bar, *bar ? " " : "");
    int used = tare__columns(p->title, (size_t)title) + 1 + (int)strlen(bar) + (*bar != '\0');
    if (used < width) { fprintf(p->opt.stream, "%.*s", (int)tare__columns_bytes(line, width - used), line); }
    fflush(p->opt.stream);
    check_stream(p->opt.stream);
    p->drawn = true;
    p->last_drawn = now;
}

void tare_progress_step(tare_progress *p, int64_t n, const char *format, ...) {
    p->done += n;
    if (!p->live) { return; }
    double now = tare_clock();
    if (now - p->last_drawn < 1.0 / REDRAWS) { return; }
    char how[160];
    va_list args;
    va_start(args, format);
    vsnprintf(how, sizeof how, format, args);
    va_end(args);
    draw(p, how, now);
}

static void print(tare_progress *p, bool bold, const char *format, va_list args) {
    if (p->opt.quiet) { return; }
    erase(p);
    if (bold) { fputs("\033[1m", p->opt.stream); }
    vfprintf(p->opt.stream, format, args);
    fputs(bold ? "\033[m\n" : "\n", p->opt.stream);
    fflush(p->opt.stream);
    check_stream(p->opt.stream);
}

void tare_progress_print(tare_progress *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print(p, false, format, args);
    va_end(args);
}

void tare_progress_end(tare_progress *p, double seconds, const tare_tape *tape) {
    char step[48] = "";
    size_t bytes = tape ? tare_tape_peak(tape) : 0;
    if (bytes > 0) { snprintf(step, sizeof step, "a step takes %.1f MiB, ", (double)bytes / 1048576.0); }
    tare_progress_print(p, "%.1f s of training; %sthe process took %.0f MiB", seconds, step,
                        (double)tare_peak_memory() / 1048576.0);
}

void tare_progress_heading(tare_progress *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print(p, tare_terminal_colour(p->opt.stream), format, args);
    va_end(args);
}
