/* claims.c - `tare claims`: what the papers say about norms, measured on small real problems, with a verdict each. */
#include <tare/tare.h>

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../compare/claim.h"
#include "../compare/live.h"

enum { MOST = 64 };

typedef struct options {
    tare_files numbers;
    bool quick, list, dry_run, quiet;
    int64_t jobs;
    double time_limit;
    const char *out, *claims, *launcher;
} options;

#define AT(member) offsetof(options, member)
static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Which claims, and how" },
    { "", TARE_OPTION_FILES, AT(numbers), NULL, "NUMBER", "the claims to test; none: all", .flags = TARE_OPTION_LOCAL },
    { "list", TARE_OPTION_FLAG, AT(list), NULL, NULL, "list them, test nothing", .flags = TARE_OPTION_LOCAL },
    { "quick", TARE_OPTION_FLAG, AT(quick), NULL, NULL,
      "the small settings: all in less than ten minutes on two cores; else in less than ninety",
      .flags = TARE_OPTION_LOCAL },
    { "jobs", TARE_OPTION_INT, AT(jobs), "0", "N", "runs at a time; 0: one per core", .min = 0, .max = 1024,
      .flags = TARE_OPTION_LOCAL },
    { "time-limit", TARE_OPTION_REAL, AT(time_limit), "0", "S",
      "a run that takes more than S seconds is stopped and counts as killed; 0: none", .min = 0, .max = 1e9,
      .flags = TARE_OPTION_LOCAL },
    { "launcher", TARE_OPTION_STRING, AT(launcher), NULL, "COMMAND",
      "words in front of each run, as tare compare has them", .flags = TARE_OPTION_LOCAL },
    { "out", TARE_OPTION_STRING, AT(out), "runs/claims", "DIR",
      "where the comparisons go; the same command goes on with what is missing", .flags = TARE_OPTION_LOCAL },
    { "claims", TARE_OPTION_STRING, AT(claims), NULL, "DIR", "files of your own claims (docs/claims.md)",
      .flags = TARE_OPTION_LOCAL },
    { "dry-run", TARE_OPTION_FLAG, AT(dry_run), NULL, NULL, "run nothing; print the comparisons as commands",
      .flags = TARE_OPTION_LOCAL },
    { "quiet", TARE_OPTION_FLAG, AT(quiet), NULL, NULL, "print the closing table alone", .flags = TARE_OPTION_LOCAL },
    { 0 },
};
#undef AT

static int fail(int code) {
    fprintf(stderr, "tare claims: %s\n", tare_error());
    return code;
}

/* ---- the files ------------------------------------------------------------------------------------------------------- */

/* share/tare/claims beside bin or libexec, be it of a build or an installed tree. */
static bool find_folder(char folder[PATH_MAX + 64]) {
    static const char *const places[] = { "../share/tare/claims", "../../share/tare/claims" };
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) { return false; }
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (slash) { *slash = '\0'; }
    for (int i = 0; i < 2; i++) {
        snprintf(folder, PATH_MAX + 64, "%s/%s", self, places[i]);
        if (access(folder, R_OK) == 0) { return true; }
    }
    return false;
}

static int by_number(const void *a, const void *b) {
    const tare__claim *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static tare_status load_all(const char *folder, tare__claim *claim, int64_t *count) {
    DIR *dir = opendir(folder);
    if (!dir) { return tare_fail(TARE_ENOENT, "%s: no folder of claims", folder); }
    tare_status s = TARE_OK;
    for (const struct dirent *entry; s == TARE_OK && (entry = readdir(dir));) {
        const char *ending = strrchr(entry->d_name, '.');
        if (!ending || strcmp(ending, ".json") != 0) { continue; }
        char path[2 * PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        s = *count < MOST ? tare__claim_load(&claim[(*count)++], path)
                          : tare_fail(TARE_EINVAL, "%s: too many claims", folder);
    }
    closedir(dir);
    if (s == TARE_OK && *count == 0) { s = tare_fail(TARE_ENOENT, "%s: no claims in it", folder); }
    qsort(claim, (size_t)*count, sizeof *claim, by_number);
    return s;
}

/* Keeps those that the command line names. */
static tare_status choose(const tare_files *numbers, tare__claim *claim, int64_t *count) {
    bool wanted[MOST] = { false };
    for (int64_t i = 0; i < numbers->count; i++) {
        char *end;
        long number = strtol(numbers->name[i], &end, 10);
        bool found = false;
        for (int64_t k = 0; k < *count; k++) {
            if (*end != '\0' || claim[k].number != number) { continue; }
            found = wanted[k] = true;
        }
        if (!found) { return tare_fail(TARE_EINVAL, "there is no claim \"%s\"; --list shows them", numbers->name[i]); }
    }
    int64_t kept = 0;
    for (int64_t k = 0; numbers->count > 0 && k < *count; k++) {
        tare__claim one = claim[k];
        if (!wanted[k]) { tare__claim_free(&one); }
        if (wanted[k]) { claim[kept++] = one; }
    }
    if (numbers->count > 0) { *count = kept; }
    return TARE_OK;
}

/* ---- testing ----------------------------------------------------------------------------------------------------------- */

static tare_status make_plan(tare__plan *plan, const char *line, const options *o) {
    tare__words words = { 0 };
    tare_status s = tare__words_add(&words, "compare");
    if (s == TARE_OK) { s = tare__words_split(&words, line); }
    if (s == TARE_OK) { s = tare__plan_parse(plan, "", (int)words.count, words.at); }
    tare__words_free(&words);
    if (s != TARE_OK) { return tare_fail(s, "%s\n  in: tare compare %s", tare_error(), line); }
    plan->opt.jobs = o->jobs;
    plan->opt.launcher = o->launcher;
    plan->opt.time_limit = o->time_limit;
    plan->parent = o->out;
    return TARE_OK;
}

static tare_status run_comparison(tare__comparison *c, tare__plan *plan, const options *o) {
    char *note = NULL;
    tare_status s = tare__comparison_open(c, plan, &note);
    tare_free(note);
    if (s != TARE_OK) { return s; }
    tare__live *live = tare__live_new(c, stdout, o->quiet);
    if (!live) { return tare_fail(TARE_ENOMEM, "out of memory"); }
    tare__live_brief(live);
    const tare__runner_opt how = {
        .done = tare__live_done, .tick = tare__live_tick, .left = tare__live_left, .context = live
    };
    s = tare__comparison_run(c, &how);
    tare__live_free(live);
    if (s == TARE_OK) { s = tare__comparison_analyse(c); }
    return s == TARE_OK ? tare__comparison_write(c) : s;
}

static tare_status test_claim(tare__claim *claim, const options *o) {
    const tare__words *lines = o->quick ? &claim->quick : &claim->full;
    claim->failed_as = o->quick ? claim->failed_quick : claim->failed_full;
    tare__plan plan[TARE__COMPARES] = { { 0 } };
    tare__comparison c[TARE__COMPARES] = { { 0 } };
    for (int i = 0; i < TARE__COMPARES; i++) { c[i].lock = -1; }
    tare_status s = TARE_OK;
    for (int64_t i = 0; s == TARE_OK && i < lines->count && !tare_stop(); i++) {
        s = make_plan(&plan[i], lines->at[i], o);
        if (s == TARE_OK) { s = run_comparison(&c[i], &plan[i], o); }
    }
    if (s == TARE_OK && !tare_stop()) { s = tare__claim_judge(claim, c, lines->count); }
    for (int i = 0; i < TARE__COMPARES; i++) {
        tare__comparison_close(&c[i]);
        tare__plan_free(&plan[i]);
    }
    return s;
}

static tare_status write_table(const tare__claim *claim, int64_t count, const options *o) {
    tare__text t = { 0 }, p = { 0 };
    tare__claims_csv(claim, count, &t);
    tare__text_format(&p, "%s/claims%s.csv", o->out, o->quick ? "-quick" : "");
    char *text = tare__text_take(&t), *path = tare__text_take(&p);
    tare_status s = text && path ? tare__write_file(path, text) : tare_fail(TARE_ENOMEM, "out of memory: claims.csv");
    tare_free(text);
    tare_free(path);
    return s;
}

static int test_claims(tare__claim *claim, int64_t count, const options *o) {
    double start = tare_clock();
    for (int64_t i = 0; i < count; i++) {
        if (test_claim(&claim[i], o) != TARE_OK) { return fail(1); }
        if (tare_stop()) {
            fprintf(stderr, "tare claims: stopped; the same command goes on with what is missing\n");
            return 128 + tare_stop();
        }
        if (!o->quiet) {
            tare__claim_print(&claim[i], stdout);
            printf("\n");
            fflush(stdout);
        }
    }
    tare__claims_print(claim, count, stdout);
    printf("%s settings, %.0f s; comparisons and claims%s.csv are in %s\n", o->quick ? "quick" : "full",
           tare_clock() - start, o->quick ? "-quick" : "", o->out);
    return write_table(claim, count, o) == TARE_OK ? 0 : fail(1);
}

static void print_commands(const tare__claim *claim, int64_t count, const options *o) {
    for (int64_t i = 0; i < count; i++) {
        const tare__words *lines = o->quick ? &claim[i].quick : &claim[i].full;
        if (!o->list) { printf("# "); }
        printf("%2lld  %s\n", (long long)claim[i].number, claim[i].says);
        for (int64_t k = 0; !o->list && k < lines->count; k++) { printf("tare compare %s\n", lines->at[k]); }
    }
}

static int run(const options *o) {
    static tare__claim claim[MOST];
    int64_t count = 0;
    char folder[PATH_MAX + 64];
    tare_status s = TARE_OK;
    if (!o->claims && !find_folder(folder)) {
        s = tare_fail(TARE_ENOENT, "share/tare/claims is not there; --claims DIR says where");
    }
    if (s == TARE_OK) { s = load_all(o->claims ? o->claims : folder, claim, &count); }
    if (s == TARE_OK) { s = choose(&o->numbers, claim, &count); }
    int code = s == TARE_OK ? 0 : fail(2);
    if (s == TARE_OK && (o->list || o->dry_run)) {
        print_commands(claim, count, o);
    } else if (s == TARE_OK) {
        code = test_claims(claim, count, o);
    }
    for (int64_t i = 0; i < count; i++) { tare__claim_free(&claim[i]); }
    return code;
}

int main(int argc, char **argv) {
    options o = { .quick = false };
    tare_stop_catch();
    tare_options *args = tare_options_new("claims", TARE_DESCRIBE "what papers say about norms, put to the test");
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    int code = 0;
    if (s != TARE_OK) {
        code = fail(2);
    } else if (tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
    } else {
        code = run(&o);
    }
    tare_options_free(args);
    return tare_output_end("tare claims", code);
}
