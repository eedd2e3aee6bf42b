/* test_compare_plan.c - a comparison's command line: whose option is it, which values, which metric.
 * tare-test: compare */
#include "testing_support.h"

#include <math.h>

#include "compare/plan.h"

/* ---- words --------------------------------------------------------------------------------------------------------------- */

static void assert_words(const tare__words *w, const char *joined) {
    char text[512] = "";
    for (int64_t i = 0; i < w->count; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "[%s]", w->at[i]);
    }
    assert_string_equal(text, joined);
}

static void test_split(void **state) {
    (void)state;
    static const struct {
        const char *line, *words;
    } cases[] = { { "srun -n1  -c2 ", "[srun][-n1][-c2]" },
                  { "a 'b c' \"d 'e\"", "[a][b c][d 'e]" },
                  { "a\\ b c\\'d", "[a b][c'd]" },
                  { "x'y'\"z\"", "[xyz]" },
                  { "'' a", "[][a]" },
                  { "  ", "" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare__words w = { 0 };
        assert_ok(tare__words_split(&w, cases[i].line));
        assert_words(&w, cases[i].words);
        tare__words_free(&w);
    }
    tare__words w = { 0 };
    assert_status(TARE_EINVAL, tare__words_split(&w, "a 'b"));
    assert_contains(tare_error(), "quote");
    tare__words_free(&w);
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = { { "none,bn,gn:8", "[none][bn][gn:8]" },
                  { "bn:batch=8,eps=1e-3,ln",
                    "[bn:batch=8,eps=1e-3][ln]" }, /* an option list goes on after its comma */
                  { "bn:batch=8,bn:batch=4", "[bn:batch=8][bn:batch=4]" },
                  { "a,b;c", "[a,b][c]" },
                  { "a,b;", "[a,b]" },
                  { "1", "[1]" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare__words w = { 0 };
        assert_ok(tare__words_values(&w, cases[i].text));
        assert_words(&w, cases[i].words);
        tare__words_free(&w);
    }
    static const char *const bad[] = { "", "a,,b", "a,", ",a", "a,b,a", ";" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tare__words w = { 0 };
        assert_status(TARE_EINVAL, tare__words_values(&w, bad[i]));
        tare__words_free(&w);
    }
}

/* ---- metrics ------------------------------------------------------------------------------------------------------------- */

static void test_metric(void **state) {
    (void)state;
    tare__metric m;
    assert_ok(tare__metric_parse(&m, "test_accuracy", 0));
    assert_true(m.kind == TARE__METRIC_LAST && m.up);
    assert_ok(tare__metric_parse(&m, "val_loss", 0));
    assert_false(m.up);
    static const char *const less[] = { "bits_per_char", "error", "perplexity", "frechet", "seconds", "peak_bytes" };
    for (size_t i = 0; i < sizeof less / sizeof *less; i++) {
        assert_ok(tare__metric_parse(&m, less[i], 0));
        assert_false(m.up);
    }
    assert_ok(tare__metric_parse(&m, "val_loss", 1)); /* who says so gets it */
    assert_true(m.up);
    assert_ok(tare__metric_parse(&m, "max(d_grad_norm)", -1));
    assert_true(m.kind == TARE__METRIC_MAX && strcmp(m.name, "d_grad_norm") == 0);
    assert_ok(tare__metric_parse(&m, "steps_to(test_accuracy>=0.85)", 0));
    assert_true(m.kind == TARE__METRIC_REACH && m.above && !m.up && strcmp(m.name, "test_accuracy") == 0);
    assert_near(m.bound, 0.85, 0);
    assert_ok(tare__metric_parse(&m, "steps_to(loss<=1.5)", 0));
    assert_false(m.above);
    static const char *const bad[] = {
        "", "a b", "max()", "max(x", "steps_to(x)", "steps_to(x>1)", "steps_to(x>=)", "other(x)"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(TARE_EINVAL, tare__metric_parse(&m, bad[i], 1));
    }
    assert_status(TARE_EINVAL, tare__metric_parse(&m, "wobble", 0));
    assert_status(TARE_EINVAL, tare__metric_parse(&m, "best", 0)); /* of an accuracy, or of a loss? */
    assert_contains(tare_error(), "--up or --down");
}

/* What a metrics.jsonl says for a metric; NaN where there is no value. */
static double value_of(const char *lines, const char *metric) {
    char *dir = test_dir_new();
    FILE *file = fopen(test_path(dir, "metrics.jsonl"), "w");
    assert_non_null(file);
    fputs(lines, file);
    fclose(file);
    tare__metric m;
    tare__story story;
    assert_ok(tare__metric_parse(&m, metric, 1));
    assert_ok(tare__story_read(&story, dir, &m));
    test_dir_remove(dir);
    assert_true(story.has_value || isnan(story.value));
    return story.not_reached ? -story.value : story.value;
}

static void test_story(void **state) {
    (void)state;
    const char *lines = "{\"event\":\"start\"}\n"
                        "{\"event\":\"eval\",\"step\":10,\"acc\":0.5,\"grad\":3}\n"
                        "{\"event\":\"eval\",\"step\":20,\"acc\":0.8,\"grad\":7}\n"
                        "{\"event\":\"eval\",\"step\":30,\"acc\":0.7}\n"
                        "{\"event\":\"batch_norm\",\"gap\":0.25}\n"
                        "{\"event\":\"end\",\"step\":30,\"acc\":0.75}\n"
                        "{\"event\":\"cut sh";
    assert_near(value_of(lines, "acc"), 0.75, 0);
    assert_near(value_of(lines, "gap"), 0.25, 0); /* not in the end event: the last that has it */
    assert_near(value_of(lines, "max(grad)"), 7, 0);
    assert_near(value_of(lines, "min(acc)"), 0.5, 0);
    assert_near(value_of(lines, "steps_to(acc>=0.75)"), 20, 0);
    assert_near(value_of(lines, "steps_to(acc>=0.9)"), -30, 0); /* never: the last step, marked */
    assert_true(isnan(value_of(lines, "nothing")));
    assert_true(isnan(value_of("{\"event\":\"end\",\"acc\":null}\n", "acc")));
    const char *python = "{\"event\":\"eval\",\"step\":1,\"said\":\"NaN \\\" NaN\",\"grad\":-Infinity,\"acc\":0.5}\n"
                         "{\"event\":\"end\",\"step\":2,\"loss\":NaN}\n";
    assert_true(isnan(value_of(python, "loss")) && isnan(value_of(python, "grad")));
    assert_near(value_of(python, "acc"), 0.5, 0);
}

/* ---- command lines ------------------------------------------------------------------------------------------------------- */

static tare_status parse(tare__plan *plan, const char *line) {
    tare__words w = { 0 };
    assert_ok(tare__words_split(&w, line));
    tare_status s = tare__plan_parse(plan, "about", (int)w.count, w.at);
    tare__words_free(&w);
    return s;
}

static void assert_refused(const char *line, const char *words) {
    tare__plan plan;
    assert_status(TARE_EINVAL, parse(&plan, line));
    assert_contains(tare_error(), words);
    tare__plan_free(&plan);
}

static void test_plan(void **state) {
    (void)state;
    tare__plan plan;
    assert_ok(parse(&plan,
                    "compare sh toy.sh --limit 600 --vary norm=bn,ln batch=2,8 --shuffle --seeds 4 --budget=steps=40 "
                    "--metric loss --tune lr=1,2 --versus ln --jobs 3"));
    assert_string_equal(plan.program, "sh toy.sh");
    assert_int_equal(plan.axes, 2);
    assert_string_equal(plan.axis[1].key, "batch");
    assert_words(&plan.axis[0].values, "[bn][ln]");
    assert_words(&plan.fixed, "[--limit][600][--shuffle][--steps][40]");
    assert_string_equal(plan.tune.key, "lr");
    assert_int_equal(plan.opt.seeds, 4);
    assert_int_equal(tare__plan_cells(&plan), 4);
    char *name = tare__plan_cell_name(&plan, 1, -1);
    assert_string_equal(name, "norm=bn,batch=8"); /* the last axis runs fastest */
    tare_free(name);
    char *command = tare__plan_command(&plan);
    assert_string_equal(command,
                        "tare compare sh toy.sh --limit 600 --shuffle --vary norm=bn,ln --vary batch=2,8 --tune lr=1,2 "
                        "--seeds 4 --budget steps=40 --metric loss --versus ln");
    tare_free(command);
    tare__plan_free(&plan);
}

/* What is compare's own goes to the program behind `--`, and the command that repeats it says so too. */
static void test_plan_dashes(void **state) {
    (void)state;
    tare__plan plan;
    assert_ok(parse(&plan, "compare sh --vary 'n=bn:a=1,b=2;ln' --metric loss -- --metric x --force"));
    assert_words(&plan.fixed, "[--metric][x][--force]");
    assert_false(plan.opt.force);
    char *command = tare__plan_command(&plan);
    assert_string_equal(command,
                        "tare compare sh --vary 'n=bn:a=1,b=2;ln;' --seeds 3 --metric loss -- --metric x --force");
    tare_free(command);
    tare__plan_free(&plan);
}

static void test_plan_refused(void **state) {
    (void)state;
    assert_refused("compare", "which program");
    assert_refused("compare sh --metric loss", "--vary KEY=A,B is missing");
    assert_refused("compare sh --vary norm --metric loss", "is not KEY=A,B");
    assert_refused("compare sh --vary a=1 a=2 --metric loss", "twice");
    assert_refused("compare sh --vary a=1 --a 2 --metric loss", "for all runs and by --vary");
    assert_refused("compare sh --vary a=1", "--metric NAME is missing");
    assert_refused("compare sh --vary a=1 --metric loss --seed 3", "--seeds N says how many");
    assert_refused("compare sh --vary seed=1,2 --metric loss", "each run gets its own");
    assert_refused("compare sh --vary a=1,2 --metric loss --versus 3", "not among the values");
    assert_refused("compare sh --vary a=1,2 --metric loss --budget hours=3", "none of steps=N");
    assert_refused("compare sh --vary a=1,2 --metric loss --up --down", "choose one");
    assert_refused("compare sh --vary a=1,2 --metric loss --seeds none", "--seeds");
    tare__plan plan;
    assert_status(TARE_ENOENT, parse(&plan, "compare no-such-program --vary a=1,2 --metric loss"));
    tare__plan_free(&plan);
}

/* Values and seeds may be added to a comparison; another option makes another one, and it can be told which. */
static void test_identity(void **state) {
    (void)state;
    static const struct {
        const char *line, *difference;
    } cases[] = {
        { "compare sh --limit 600 --vary norm=bn,ln,gn --metric acc --up --seeds 9 --versus bn", "" },
        { "compare sh --limit 700 --vary norm=bn,ln --metric loss", "--limit was 600, is 700" },
        { "compare sh --vary norm=bn,ln --metric loss", "--limit 600 is gone" },
        { "compare sh --limit 600 --fast --vary norm=bn,ln --metric loss", "--fast is new" },
        { "compare sh --limit 600 --vary norm=bn,ln lr=1,2 --metric loss", "--vary was norm, is norm lr" },
        { "compare sh --limit 600 --vary norm=bn,ln --tune lr=1,2 --metric loss", "--tune was nothing, is lr 1 2" },
        { "compare true --limit 600 --vary norm=bn,ln --metric loss", "the program was sh, is true" },
    };
    tare__plan plan;
    assert_ok(parse(&plan, "compare sh --limit 600 --vary norm=bn,ln --metric loss"));
    char *before = tare__plan_identity(&plan);
    tare__plan_free(&plan);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(parse(&plan, cases[i].line));
        char *now = tare__plan_identity(&plan), *what = tare__plan_difference(before, now);
        assert_string_equal(what, cases[i].difference);
        assert_int_equal(strcmp(before, now) == 0, *what == '\0');
        tare_free(what);
        tare_free(now);
        tare__plan_free(&plan);
    }
    tare_free(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),    cmocka_unit_test(test_values),       cmocka_unit_test(test_metric),
        cmocka_unit_test(test_story),    cmocka_unit_test(test_plan),         cmocka_unit_test(test_plan_dashes),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_plan_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
