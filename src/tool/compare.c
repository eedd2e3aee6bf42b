/* compare.c - `tare compare`: a program over a grid of options and seeds, and what differs beyond chance. */
#include <tare/tare.h>

#include <string.h>

#include "../compare/comparison.h"
#include "../compare/live.h"

static int fail(int code) {
    fprintf(stderr, "tare compare: %s\n", tare_error());
    return code;
}

/* The commands of what is missing, for a shell or GNU parallel; what is already there goes to the other stream. */
static void print_commands(const tare__comparison *c) {
    int64_t missing = 0;
    const tare__task *lists[] = { c->trial, c->task };
    const int64_t counts[] = { c->trials, c->cells * c->seeds };
    bool tuned = c->trials == 0 || c->cell[0].tuned;
    for (int k = 0; k < (tuned ? 2 : 1); k++) {
        for (int64_t i = 0; i < counts[k]; i++) {
            if (lists[k][i].state == TARE__TASK_DONE) { continue; }
            tare__text t = { 0 };
            tare__words_quoted(&lists[k][i].argv, &t);
            char *line = tare__text_take(&t);
            if (line) { printf("%s\n", line); }
            tare_free(line);
            missing++;
        }
    }
    if (c->plan->opt.quiet) { return; }
    fprintf(stderr, "%lld points, %lld seeds: %lld runs%s, of which %lld are to be made, %lld at a time\n",
            (long long)c->cells, (long long)c->seeds, (long long)(c->cells * c->seeds),
            c->trials ? " and those that tune" : "", (long long)missing, (long long)c->jobs);
    if (!tuned) { fprintf(stderr, "these tune; what they choose decides the commands of the rest\n"); }
    fprintf(stderr, "dry run: nothing was run or written\n");
}

static void print_start(const tare__comparison *c, const char *note) {
    const tare__compare_opt *opt = &c->plan->opt;
    if (opt->quiet || opt->json) { return; }
    int64_t total = c->trials + c->cells * c->seeds, missing = tare__comparison_missing(c);
    printf("%s\n", note);
    if (missing < total) { printf("%lld of %lld runs are done; ", (long long)(total - missing), (long long)total); }
    printf("%lld runs to make, %lld at a time", (long long)missing, (long long)c->jobs);
    if (c->threads > 0) { printf(", %lld thread%s each", (long long)c->threads, c->threads == 1 ? "" : "s"); }
    printf("\n");
    fflush(stdout);
}

static tare_status print_end(const tare__comparison *c) {
    const tare__compare_opt *opt = &c->plan->opt;
    if (opt->json) {
        char *text = tare__comparison_json(c);
        if (!text) { return tare_fail(TARE_ENOMEM, "out of memory: comparison.json"); }
        fputs(text, stdout);
        tare_free(text);
    } else if (!opt->quiet) {
        printf("\n");
        tare__comparison_print(c, stdout);
        printf("\n%s: report.html, comparison.json, and runs, cells, pairs, timings as .csv\n", c->folder);
    }
    return TARE_OK;
}

static tare_status run(tare__comparison *c) {
    const tare__compare_opt *opt = &c->plan->opt;
    tare__live *live = tare__live_new(c, stdout, opt->quiet || opt->json);
    if (!live) { return tare_fail(TARE_ENOMEM, "out of memory"); }
    const tare__runner_opt how = {
        .done = tare__live_done, .tick = tare__live_tick, .left = tare__live_left, .context = live
    };
    tare_status s = tare__comparison_run(c, &how);
    tare__live_free(live);
    if (s != TARE_OK) { return s; }
    s = tare__comparison_analyse(c);
    if (s == TARE_OK) { s = tare__comparison_write(c); }
    if (s == TARE_OK) { s = tare_report_write(c->folder, NULL); }
    return s == TARE_OK ? print_end(c) : s;
}

static int compare(tare__plan *plan) {
    tare__comparison c;
    char *note = NULL;
    int code = 0;
    tare_status s = tare__comparison_open(&c, plan, &note);
    if (s != TARE_OK) {
        code = fail(s == TARE_EEXIST || s == TARE_EINVAL ? 2 : 1);
    } else if (plan->opt.dry_run) {
        print_commands(&c);
    } else {
        print_start(&c, note ? note : "");
        s = run(&c);
        code = s == TARE_EINVAL ? fail(2) : s != TARE_OK ? fail(1) : tare_stop() ? 128 + tare_stop() : 0;
    }
    tare_free(note);
    tare__comparison_close(&c);
    return code;
}

int main(int argc, char **argv) {
    tare__plan plan;
    tare_stop_catch();
    int code = 0;
    tare_status s = tare__plan_parse(
        &plan, TARE_DESCRIBE "runs a program over norms, batch sizes and seeds, and says which differ", argc, argv);
    if (s != TARE_OK) {
        code = fail(2);
        fprintf(stderr, "try: tare compare --help\n");
    } else if (tare_options_text(plan.args)) {
        fputs(tare_options_text(plan.args), stdout);
    } else {
        code = compare(&plan);
    }
    tare__plan_free(&plan);
    return tare_output_end("tare compare", code);
}
