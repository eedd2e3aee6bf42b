/* test_program_compare.c - tare compare from end to end, with a script in the place of a training program: what fails, what is killed,
 * what is gone on with. */
#include "program_support.h"

#include <tare/run.h>

#include <math.h>

/* The number it "learns" depends on norm, batch and seed alone. --mode says how it ends; each start leaves a line in `starts`. */
static const char toy[] =
    "#!/bin/sh\n"
    "mode=ok norm=x batch=1 nap=0\n"
    "while [ $# -gt 0 ]; do case $1 in\n"
    "  --out) out=$2;; --seed) seed=$2;; --mode) mode=$2;; --norm) norm=$2;; --batch) batch=$2;; --nap) nap=$2;;\n"
    "  --lr) lr=$2;; --usage) echo 'toy: no such option'; exit 2;; *) extra=$2;; esac; shift 2; done\n"
    "echo \"$norm $batch $seed $OMP_NUM_THREADS\" >>\"${0%/*}/starts\"\n"
    "mkdir -p \"$out\" || exit 1\n"
    "echo \"{\\\"event\\\":\\\"start\\\"}\" >\"$out/metrics.jsonl\"\n"
    "echo 'hello from the toy'\n"
    "[ $nap = 0 ] || sleep $nap\n"
    "case $mode$norm in\n"
    "  fail-crash) echo 'no memory left' >&2; exit 7;;\n"
    "  fail-segv) kill -SEGV $$;;\n"
    "  fail-kill) kill -KILL $$;;\n"
    "  fail-diverge) echo '{\"event\":\"nonfinite\",\"step\":3}' >>\"$out/metrics.jsonl\"; exit 3;;\n"
    "  fail-empty) exit 0;;\n"
    "  fail-lucky) [ $seed = 2 ] || exit 7;;\n"
    "esac\n"
    "value=$(( (${#norm} * 1000 + batch * 10 + seed * seed % 7) ))\n"
    "[ -z \"$lr\" ] || value=$((value + lr * (10 - lr)))\n"
    "echo "
    "\"{\\\"event\\\":\\\"end\\\",\\\"step\\\":5,\\\"score\\\":$value,\\\"seconds\\\":0.5,\\\"peak_bytes\\\":$(((8 - "
    "seed) * 104857600))}\" "
    ">>\"$out/metrics.jsonl\"\n";

static int make_toy(void **state) {
    (void)state;
    work = test_dir_new();
    const char *path = test_path(work, "toy.sh");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(toy, file);
    assert_int_equal(fclose(file), 0);
    return chmod(path, 0755);
}

static int remove_toy(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

#define COMPARE "tare-compare %s/toy.sh --metric score --up "

static void assert_same_file(const char *a, const char *b, const char *name) {
    static char x[65536], y[65536];
    read_text(test_path(a, name), x, sizeof x);
    read_text(test_path(b, name), y, sizeof y);
    assert_true(*x != '\0');
    assert_string_equal(x, y);
}

static void assert_same_tables(const char *a, const char *b) {
    assert_same_file(a, b, "runs.csv");
    assert_same_file(a, b, "cells.csv");
    assert_same_file(a, b, "pairs.csv");
}

static const char *table(const char *folder, const char *name) {
    static char text[65536];
    read_text(test_path(folder, name), text, sizeof text);
    return text;
}

/* How often the toy was started, and forgets it. */
static int starts(void) {
    static char text[65536];
    const char *path = test_path(work, "starts");
    read_text(path, text, sizeof text);
    remove(path);
    int lines = 0;
    for (const char *s = text; *s; s++) { lines += *s == '\n'; }
    return lines;
}

static const char *place(const char *name) {
    static char kept[16][4096];
    static int next;
    char *path = kept[next++ % 16];
    snprintf(path, sizeof kept[0], "%s/%s", work, name);
    return path;
}

/* ---- what it says -------------------------------------------------------------------------------------------------------- */

/* No line beyond 80 columns, except where the path of these tests is in it. */
static void assert_narrow(const char *text) {
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        const char *path = strstr(line, work);
        if (n > 80 && !(path && path < line + n)) { fail_msg("%.*s", (int)n, line); }
        line += n + (line[n] == '\n');
    }
}

static void test_grid(void **state) {
    (void)state;
    const char *dir = place("grid");
    const outcome *o = run(COMPARE "--vary norm=a,bb --vary batch=2,8 --seeds 6 --out %s", work, dir);
    assert_code(0, o);
    assert_int_equal(starts(), 24);
    assert_contains(o->out, "batch=8");
    assert_contains(o->out, "bb                6/6"); /* all good */
    assert_contains(o->out, " 0.5  700 ");            /* MiB: the most that any seed took */
    assert_contains(o->out, "6 seeds cannot reach p < 0.05 over 2 pairs");
    assert_contains(o->out, "--seeds 7 could");
    assert_narrow(o->out);
    assert_contains(table(dir, "runs.csv"), "norm,batch,seed,status,reason,score\na,2,1,ok,,1021\na,2,2,ok,,1024\n");
    assert_contains(table(dir, "pairs.csv"), "\n2,a,bb,6,-1000,-1000,-1000,0.03125,yes,0.0625,0,6,0,\n");
    assert_contains(table(dir, "timings.csv"), "norm,batch,seed,seconds,wall_seconds,peak_bytes\na,2,1,0.5,");
    assert_contains(table(dir, "comparison.json"), "\"state\":\"complete\"");
    assert_contains(table(dir, "comparison.json"), "\"seeds_needed\":7");
    assert_contains(table(dir, "norm=a,batch=2/seed-1.log"), "hello from the toy");
    /* More seeds add to what is there, and now the pairs can be told apart. */
    o = run(COMPARE "--vary norm=a,bb --vary batch=2,8 --seeds 7 --out %s", work, dir);
    assert_code(0, o);
    assert_int_equal(starts(), 4);
    assert_contains(table(dir, "pairs.csv"), ",0.015625,yes,0.03125,0,7,0,bb\n");
    assert_null(strstr(o->out, "cannot reach"));
    o = run(COMPARE "--vary norm=a,bb,ccc --vary batch=2,8 --seeds 8 --versus a --out %s --json", work, dir);
    assert_code(0, o);
    assert_int_equal(starts(), 20);
    assert_contains(o->out, "\"versus\":\"a\"");
    assert_contains(o->out, "\"against\":\"better\"");
    assert_null(strstr(o->out, "\"a\":\"ccc\",\"b\":\"bb\"")); /* pairs with the baseline alone */
}

static void test_jobs(void **state) {
    (void)state;
    const char *one = place("jobs1"), *many = place("jobs5");
    assert_code(0, run(COMPARE "--vary norm=a,bb,ccc --seeds 5 --jobs 1 --quiet --out %s", work, one));
    const outcome *o = run(COMPARE "--vary norm=a,bb,ccc --seeds 5 --jobs 5 --out %s", work, many);
    assert_code(0, o);
    assert_same_tables(one, many);
    assert_contains(o->out, "5 at a time, 1 thread each");
    const char *order = table(work, "starts");
    assert_contains(order, "ccc 1 5 1\n"); /* OMP_NUM_THREADS */
    assert_true(strncmp(order, "a 1 1 ", 6) == 0 &&
                strstr(order, "\nccc 1 1 ") < strstr(order, "\na 1 2 ")); /* seed by seed */
    starts();
    /* A launcher's words stand in front, and decide over threads. */
    const char *launched = place("launched");
    o = run("tare-compare %s/toy.sh --metric score --up --vary norm=a,bb,ccc --seeds 5 --launcher nice --out %s", work,
            launched);
    assert_code(0, o);
    assert_same_tables(one, launched);
    assert_null(strstr(table(work, "starts"), "ccc 1 5 1\n"));
    starts();
}

static void test_tune(void **state) {
    (void)state;
    const char *dir = place("tune");
    assert_code(0, run(COMPARE "--vary norm=a,bb --tune lr=1,5,9 --seeds 2 --out %s", work, dir));
    assert_int_equal(starts(), 6 + 4);
    assert_contains(table(dir, "runs.csv"), "norm,seed,status,reason,score,lr\na,1,ok,,1036,5\n"); /* 1011 + 25 */
    assert_contains(table(dir, "comparison.json"), "\"tuned\":{\"lr\":\"5\"}");
    assert_true(exists(test_path(dir, "tune/norm=bb/lr=9/metrics.jsonl")));
    assert_code(0, run(COMPARE "--vary norm=a,bb --tune lr=1,5,9 --seeds 2 --out %s", work, dir));
    assert_int_equal(starts(), 0);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------------------------- */

static void test_failures(void **state) {
    (void)state;
    const char *dir = place("failures");
    const char *line = COMPARE "--mode fail --vary norm=-crash,-segv,-kill,-diverge,-empty,-fine --seeds 2 --out %s";
    const outcome *o = run(line, work, dir);
    assert_code(0, o); /* failures are results */
    const char *runs = table(dir, "runs.csv");
    assert_contains(runs, "-crash,1,crashed,exit code 7,\n");
    assert_contains(runs, "-segv,2,crashed,signal 11 (Segmentation fault),\n");
    assert_contains(runs, "-kill,1,killed,signal 9 (Killed),\n");
    assert_contains(runs, "-diverge,1,diverged,,\n");
    assert_contains(runs, "-empty,1,crashed,it left no end event,\n");
    assert_contains(runs, "-fine,1,ok,,5011\n");
    assert_contains(o->out, "no memory left"); /* the last words of what crashed */
    assert_contains(o->out, "diverged: 2 of 2 of norm=-diverge");
    assert_contains(o->out, "-fine             2/2");
    const char *ranked = strstr(o->out, "\nnorm ");
    assert_non_null(ranked);
    assert_true(strstr(ranked, "-fine") < strstr(ranked, "-crash")); /* what has no result comes last */
    assert_contains(table(dir, "pairs.csv"),
                    "-crash,-fine,0,,,,0.5,yes,1,0,2,0,\n"); /* loses twice; two seeds cannot tell */
    assert_int_equal(starts(), 12);
    assert_code(0, run(line, work, dir));
    assert_int_equal(starts(), 0); /* a failure is not tried again */
    assert_code(0, run(COMPARE
                       "--mode fail --vary norm=-crash,-segv,-kill,-diverge,-empty,-fine --seeds 2 --retry --out %s",
                       work, dir));
    assert_int_equal(starts(),
                     8); /* but for those that crashed or were killed, if so asked; diverging is no accident */
}

/* Who wins where less is better, and what is said where nothing has a result. */
static void test_less_is_better(void **state) {
    (void)state;
    const char *dir = place("down");
    assert_code(0, run("tare-compare %s/toy.sh --metric score --down --vary norm=a,bb --seeds 3 --out %s", work, dir));
    assert_contains(table(dir, "pairs.csv"), "\na,bb,3,-1000,-1000,-1000,0.25,yes,0.25,3,0,0,\n");
    assert_contains(table(dir, "cells.csv"), "\na,3,3,0,0,0,0,");
    assert_contains(table(dir, "cells.csv"), ",1011\n"); /* the best of 1011, 1014, 1012 */
    dir = place("nothing");
    const outcome *o = run(COMPARE "--mode fail --vary norm=-crash,-segv --seeds 2 --out %s", work, dir);
    assert_code(0, o);
    assert_contains(table(dir, "pairs.csv"), "\n-crash,-segv,0,,,,1,yes,1,0,0,2,\n");
    assert_contains(o->out, "crashed: 2 of 2 of norm=-segv");
}

/* The one run of three that a setting survives does not make it the best, though its 6014 is above the other's mean. */
static void test_ranking_with_failures(void **state) {
    (void)state;
    const outcome *o = run(COMPARE "--mode fail --vary norm=-lucky,-sound --seeds 3 --out %s", work, place("lucky"));
    assert_code(0, o);
    const char *table = strstr(o->out, "\nnorm ");
    assert_non_null(table);
    const char *lucky = strstr(table, "-lucky"), *sound = strstr(table, "-sound");
    assert_true(lucky && sound && sound < lucky);
}

static void test_changed(void **state) {
    (void)state;
    const char *dir = place("changed");
    assert_code(0, run(COMPARE "--batch 3 --vary norm=a,bb --seeds 2 --out %s", work, dir));
    starts();
    const outcome *o = run(COMPARE "--batch 4 --vary norm=a,bb --seeds 2 --out %s", work, dir);
    assert_code(2, o);
    assert_contains(o->err, "--batch was 3, is 4");
    assert_contains(o->err, "--force");
    assert_int_equal(starts(), 0);
    assert_contains(table(dir, "runs.csv"), "a,1,ok,,1031\n"); /* nothing was touched */
    assert_code(0, run(COMPARE "--batch 4 --vary norm=a,bb --seeds 2 --force --out %s", work, dir));
    assert_int_equal(starts(), 4);
    assert_contains(table(dir, "runs.csv"), "a,1,ok,,1041\n");
    o = run(COMPARE "--vary norm=a,bb --out %s", work, work); /* a folder of somebody else's */
    assert_code(2, o);
    assert_contains(o->err, "no comparison");
}

static void test_bad(void **state) {
    (void)state;
    const outcome *o =
        run("tare-compare %s/toy.sh --metric wrong --up --vary norm=a --seeds 1 --out %s", work, place("bad"));
    assert_code(2, o);
    assert_contains(o->err, "its end event has step, score, seconds");
    assert_code(0, run(COMPARE "--vary norm=a --seeds 1 --out %s", work, place("bad"))); /* the run was good */
    assert_int_equal(starts(), 1);
    o = run("tare-compare mnist --vary norm=bn,nom --seeds 1 --out %s", place("nom"));
    assert_code(2, o); /* no result of a comparison, but a mistake in its options */
    assert_contains(o->err, "nom");
    assert_false(exists(place("nom")));
    o = run("tare-compare mnist --vary nrom=bn,ln --seeds 1 --out %s", place("nom"));
    assert_code(2, o);
    assert_contains(o->err, "unknown option --nrom; did you mean --norm?");
    assert_false(exists(place("nom")));
    o = run("tare-compare %s/toy.sh --metric score --up --vary norm=a --launcher no-such-launcher --out %s", work,
            place("launch"));
    assert_code(2, o);
    assert_contains(o->err, "no-such-launcher: cannot be started");
}

static void test_dry_run(void **state) {
    (void)state;
    const outcome *o = run(COMPARE "--vary norm=a,bb --seeds 2 --dry-run --out %s", work, place("dry"));
    assert_code(0, o);
    assert_int_equal(starts(), 0);
    assert_false(exists(place("dry")));
    assert_contains(o->out, "dry/norm=bb/seed-2 --norm bb --seed 2\n"); /* a shell, or GNU parallel, can run these */
    assert_contains(o->err, "4 runs");
    char script[4096];
    snprintf(script, sizeof script, "%s/script", work);
    FILE *file = fopen(script, "w");
    assert_non_null(file);
    fputs(o->out, file);
    fclose(file);
    char command[8192];
    snprintf(command, sizeof command, "sh %s >%s/script.out", script, work);
    assert_int_equal(system(command), 0);
    assert_int_equal(starts(), 4);
    assert_code(0, run(COMPARE "--vary norm=a,bb --seeds 2 --out %s", work, place("dry")));
    assert_int_equal(starts(), 0); /* and what they have left counts */
    assert_contains(run(COMPARE "--vary norm=a,bb --seeds 2 --dry-run --out %s", work, place("dry"))->err, "which 0");
    o = run(COMPARE "--vary norm=a,bb --seeds 2 --dry-run --force --out %s", work, place("dry"));
    assert_contains(o->out, "dry/norm=bb/seed-2 --norm bb --seed 2\n");
    assert_contains(o->err, "of which 4 are to be made");
    assert_contains(table(place("dry"), "runs.csv"), "bb,2,ok,,2014\n");
}

/* ---- killed and gone on with --------------------------------------------------------------------------------------------- */

/* Starts a slow comparison, waits until some of its runs have ended, and sends it a signal. */
/* A run that hangs is stopped in its time; the others are none the worse. */
static void test_time_limit(void **state) {
    (void)state;
    const char *line = COMPARE "--vary norm=a,bb --vary nap=0,30 --seeds 1 --jobs 4 --time-limit 1 --out %s%s";
    const char *folder = place("limited");
    double began = tare_clock();
    assert_code(0, run(line, work, folder, ""));
    assert_true(tare_clock() - began < 15);
    assert_int_equal(starts(), 4);
    const char *runs = table(folder, "runs.csv");
    const char *killed = strstr(runs, "killed");
    assert_non_null(killed);
    assert_non_null(strstr(killed + 1, "killed"));
    assert_null(strstr(strstr(killed + 1, "killed") + 1, "killed"));
    assert_non_null(strstr(runs, "ok"));
    char note[4096];
    read_text(test_path(folder, "norm=a,nap=30/seed-1.json"), note, sizeof note);
    assert_contains(note, "time limit");
    assert_code(0, run(line, work, folder, "")); /* it is a result, not run again */
    assert_int_equal(starts(), 0);
}

static int begin_and_kill(const char *dir, int number) {
    char line[8192], out[4096], err[4096];
    snprintf(out, sizeof out, "%s/killed.out", work);
    snprintf(err, sizeof err, "%s/killed.err", work);
    remove(out);
    snprintf(line, sizeof line,
             "tare-compare %s/toy.sh --metric score --up --nap 0.2 --vary norm=a,bb,ccc --seeds 4 --jobs 2 --out %s",
             work, dir);
    const start how = { .out = out, .err = err };
    pid_t child = spawn(&how, line);
    assert_true(wait_for(out, "[  3/12]"));
    assert_int_equal(kill(child, number), 0);
    return wait_code(child);
}

static void check_gone_on(const char *dir, const char *whole) {
    int before = starts();
    assert_true(before >= 3 && before < 12);
    assert_code(0, run(COMPARE "--nap 0.2 --vary norm=a,bb,ccc --seeds 4 --out %s", work, dir));
    int after = starts();
    assert_true(after <= 9 && before + after <= 12 + 2); /* what had ended is not run again, what was at work is */
    assert_same_tables(dir, whole);
}

static void test_killed(void **state) {
    (void)state;
    const char *whole = place("whole");
    assert_code(0, run(COMPARE "--nap 0.2 --vary norm=a,bb,ccc --seeds 4 --jobs 6 --out %s", work, whole));
    starts();
    assert_int_equal(begin_and_kill(place("killed"), SIGKILL), 128 + SIGKILL);
    check_gone_on(place("killed"), whole);
    assert_int_equal(begin_and_kill(place("stopped"), SIGINT), 128 + SIGINT);
    assert_contains(table(work, "killed.out"), "the same command goes on with them");
    assert_contains(table(place("stopped"), "comparison.json"), "\"state\":\"partial\"");
    check_gone_on(place("stopped"), whole);
}

/* Somebody is still at work in a run's folder: nobody else begins there. */
static void test_left(void **state) {
    (void)state;
    const char *dir = place("left");
    char command[8192];
    /* A process that holds the log of a run, as a child of a killed comparison's would, and then finishes that run. */
    snprintf(command, sizeof command,
             "mkdir -p %s/norm=a && (flock 9; sleep 1; %s/toy.sh --out %s/norm=a/seed-1 --norm a --seed 1) "
             "9>%s/norm=a/seed-1.log >/dev/null & sleep 0.3; printf '' >%s/plan.json",
             dir, work, dir, dir, dir);
    assert_int_equal(system(command), 0);
    const outcome *o = run(COMPARE "--vary norm=a,bb --seeds 1 --out %s", work, dir);
    assert_code(0, o);
    assert_contains(o->out, "left this run at work; waiting for it");
    assert_contains(table(dir, "runs.csv"), "a,1,ok,,1011\n");
    assert_int_equal(starts(), 2);
    /* Two comparisons in one folder: the second is refused. */
    pid_t child = spawn(
        &(start){ .out = place("x.out"), .err = place("x.err") },
        (snprintf(command, sizeof command, COMPARE "--nap 3 --vary norm=a --seeds 1 --out %s", work, place("two")),
         command));
    assert_true(wait_for(place("x.out"), "1 runs to make"));
    o = run(COMPARE "--nap 3 --vary norm=a --seeds 1 --out %s", work, place("two"));
    assert_code(2, o);
    assert_contains(o->err, "another tare compare is at work");
    kill(child, SIGTERM);
    assert_int_equal(wait_code(child), 128 + SIGTERM);
    starts();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_tune),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_ranking_with_failures),
        cmocka_unit_test(test_less_is_better),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_left),
    };
    return cmocka_run_group_tests(tests, make_toy, remove_toy);
}
