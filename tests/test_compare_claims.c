/* test_compare_claims.c - claims: their files, contrasts over runs that are there, verdicts.
 * tare-test: compare */
#include "program_support.h"

#include <dirent.h>
#include <math.h>

#include "compare/claim.h"

/* ---- verdicts ------------------------------------------------------------------------------------------------------------ */

static tare__verdict verdict(tare__expect expect, double margin, const double *value, int64_t n) {
    tare__contrast k = { .expect = expect, .margin = margin };
    tare__contrast_judge(&k, value, n);
    return k.verdict;
}

/* Six seeds that agree give p = 0.031, five 0.0625. */
static void test_verdicts(void **state) {
    (void)state;
    static const double up[] = { 0.3, 0.5, 0.4, 0.35, 0.45, 0.4 }, down[] = { -0.3, -0.5, -0.4, -0.35, -0.45, -0.4 },
                        none[] = { 0.01, -0.01, 0.02, -0.02, 0.01, -0.01 }, wide[] = { 1, -1, 2, -2, 1, -0.5 };
    assert_int_equal(verdict(TARE__ABOVE, NAN, up, 6), TARE__HOLDS);
    assert_int_equal(verdict(TARE__ABOVE, NAN, up, 5), TARE__UNDECIDED); /* too few to be sure */
    assert_int_equal(verdict(TARE__ABOVE, NAN, down, 6), TARE__FAILS);
    assert_int_equal(verdict(TARE__ABOVE, NAN, none, 6), TARE__UNDECIDED); /* without a margin small is not nothing */
    assert_int_equal(verdict(TARE__ABOVE, 0.1, none, 6), TARE__FAILS);     /* surely less than what matters */
    assert_int_equal(verdict(TARE__ABOVE, 0.1, wide, 6), TARE__UNDECIDED);
    assert_int_equal(verdict(TARE__WITHIN, 0.1, none, 6), TARE__HOLDS);
    assert_int_equal(verdict(TARE__WITHIN, 0.1, up, 6), TARE__FAILS);
    assert_int_equal(verdict(TARE__WITHIN, 0.1, down, 6), TARE__FAILS);
    assert_int_equal(verdict(TARE__WITHIN, 0.1, wide, 6), TARE__UNDECIDED);
    assert_int_equal(verdict(TARE__AT_MOST, 0.1, down, 6), TARE__HOLDS);
    assert_int_equal(verdict(TARE__AT_MOST, 0.1, up, 6), TARE__FAILS);
    assert_int_equal(verdict(TARE__AT_MOST, 0.1, wide, 6), TARE__UNDECIDED);
    assert_int_equal(verdict(TARE__ABOVE, NAN, up, 1), TARE__UNDECIDED);
    assert_int_equal(verdict(TARE__ABOVE, NAN, up, 0), TARE__UNDECIDED);
}

/* ---- the claims that Tare comes with --------------------------------------------------------------------------------------- */

/* Each command is one that tare compare takes, and each term means something in its grid. */
static void check_commands(const tare__claim *claim, const tare__words *lines) {
    tare__plan plan[TARE__COMPARES];
    tare__comparison c[TARE__COMPARES];
    for (int64_t i = 0; i < lines->count; i++) {
        tare__words words = { 0 };
        assert_ok(tare__words_add(&words, "compare"));
        assert_ok(tare__words_split(&words, lines->at[i]));
        assert_ok(tare__plan_parse(&plan[i], "", (int)words.count, words.at));
        tare__words_free(&words);
        char *note = NULL;
        plan[i].opt.dry_run = true;
        plan[i].parent = work;
        assert_true(plan[i].opt.seeds >= 6); /* fewer can decide nothing */
        assert_ok(tare__comparison_open(&c[i], &plan[i], &note));
        tare_free(note);
    }
    tare__claim judged = *claim;
    assert_ok(tare__claim_judge(&judged, c, lines->count));
    assert_int_equal(judged.verdict, TARE__UNDECIDED); /* nothing was run */
    for (int64_t i = 0; i < lines->count; i++) {
        tare__comparison_close(&c[i]);
        tare__plan_free(&plan[i]);
    }
}

static void test_claims_in_the_tree(void **state) {
    (void)state;
    int64_t count = 0, numbers = 0;
    DIR *dir = opendir(TARE_TEST_SOURCE "/claims");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        tare__claim claim;
        if (!strstr(entry->d_name, ".json")) { continue; }
        snprintf(path, sizeof path, "%s/claims/%s", TARE_TEST_SOURCE, entry->d_name);
        assert_ok(tare__claim_load(&claim, path));
        assert_true(claim.number >= 1 && claim.number <= 16);
        assert_int_equal(strtol(entry->d_name, NULL, 10), claim.number);
        check_commands(&claim, &claim.quick);
        check_commands(&claim, &claim.full);
        numbers |= (int64_t)1 << claim.number;
        count++;
        tare__claim_free(&claim);
    }
    closedir(dir);
    assert_int_equal(count, 16);
    assert_int_equal(numbers, (1 << 17) - 2); /* each once */
}

/* ---- a claim of one's own, with a script for a program ----------------------------------------------------------------------- */

static const char toy[] =
    "#!/bin/sh\n"
    "while [ $# -gt 0 ]; do case $1 in --out) out=$2;; --seed) seed=$2;; --norm) norm=$2;; esac; shift 2; done\n"
    "mkdir -p \"$out\"; exec >\"$out/metrics.jsonl\"\n"
    "echo '{\"event\":\"train\",\"step\":1,\"grad\":'$seed'0}'\n"
    "[ $norm$seed != bad2 ] || { echo '{\"event\":\"diverged\",\"step\":1}'; exit 3; }\n"
    "echo '{\"event\":\"end\",\"step\":2,\"grad\":1,\"score\":'$((seed % 3 + ${#norm} * 100))'}'\n";

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(test_path(work, name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static const char *claim_text(const char *contrasts, const char *more) {
    static char text[16384], line[4400];
    snprintf(line, sizeof line, "%s/toy.sh --metric score --up --vary norm=a,bb,bad --seeds 6", work);
    snprintf(text, sizeof text,
             "{\"claim\":3,\"says\":\"longer names score "
             "more\",\"paper\":\"none\",\"figures\":\"none\",\"measured\":\"names\","
             "\"quick\":[\"%s\"],\"full\":[\"%s\"],%s \"contrasts\":[%s]}",
             line, line, more, contrasts);
    return text;
}

static void test_own_claim(void **state) {
    (void)state;
    assert_int_equal(mkdir(test_path(work, "own"), 0777), 0);
    write_text("toy.sh", toy);
    assert_int_equal(chmod(test_path(work, "toy.sh"), 0755), 0);
    write_text(
        "own/03-own.json",
        claim_text("{\"name\":\"bb - a\",\"expect\":\"above\",\"terms\":[{\"weight\":1,\"at\":{\"norm\":\"bb\"}},"
                   "{\"weight\":-1,\"at\":{\"norm\":\"a\"}}]},"
                   "{\"name\":\"bad - "
                   "a\",\"expect\":\"above\",\"also\":true,\"terms\":[{\"weight\":1,\"at\":{\"norm\":\"bad\"}},"
                   "{\"weight\":-1,\"at\":{\"norm\":\"a\"}}]},"
                   "{\"name\":\"largest gradient\",\"expect\":\"within\",\"margin\":1,\"also\":true,\"terms\":["
                   "{\"weight\":1,\"at\":{\"norm\":\"bad\"},\"metric\":\"max(grad)\"},"
                   "{\"weight\":-1,\"at\":{\"norm\":\"a\"},\"metric\":\"max(grad)\"}]}",
                   "\"failed_as\":0,"));
    const outcome *o = run("tare-claims --quick --claims %s/own --out %s/claims 3", work, work);
    assert_code(0, o);
    assert_contains(o->out, " 3  longer names score more\n");
    assert_contains(o->out, "100.0  [100.0, 100.0], p 0.031, n 6; above 0: yes");
    assert_contains(o->out, "1 runs in it diverged or crashed"); /* 0 - 102 at seed 2, 200 elsewhere */
    assert_contains(o->out, "149.7  [");                         /* (5 * 200 - 102) / 6 */
    assert_contains(o->out, "0.0000  [0.0000, 0.0000], p 1.000, n 6; within +-1.000: yes"); /* of what diverged, too */
    assert_contains(o->out, "-> holds");
    assert_contains(o->out, "claims reproduced: 1 of 1");
    char text[4096];
    read_text(test_path(work, "claims/claims-quick.csv"), text, sizeof text);
    assert_contains(text, "\n3,\"bb - a\",yes,above,,6,100,100,100,0.03125,holds,holds\n");
    o = run("tare-claims --claims %s/own --out %s/claims 3 4", work, work);
    assert_code(2, o);
    assert_contains(o->err, "there is no claim \"4\"");
    o = run("tare-claims --claims %s/own --list", work);
    assert_code(0, o);
    assert_string_equal(o->out, " 3  longer names score more\n");
    o = run("tare-claims --claims %s/own --dry-run", work);
    assert_code(0, o);
    assert_contains(o->out, "tare compare ");
}

static void test_bad_claims(void **state) {
    (void)state;
    static const struct {
        const char *contrasts, *words;
    } cases[] = {
        { "", "no contrast decides" },
        { "{\"name\":\"x\",\"expect\":\"above\"}", "without terms" },
        { "{\"name\":\"x\",\"expect\":\"more\",\"terms\":[{\"weight\":1}]}", "one of above" },
        { "{\"name\":\"x\",\"expect\":\"within\",\"terms\":[{\"weight\":1}]}", "need a margin" },
        { "{\"name\":\"x\",\"expect\":\"above\",\"terms\":[{\"at\":{\"norm\":\"a\"}}]}", "no weight" },
        { "{\"expect\":\"above\",\"terms\":[{\"weight\":1}]}", "\"name\" is missing" },
        { "{\"name\":\"x\",\"expect\":\"above\",\"terms\":[{\"weight\":1,\"at\":{\"norm\":8}}]}", "takes texts" },
        { "{\"name\":\"x\",\"expect\":\"above\",\"terms\":[{\"weight\":1,\"metric\":\"a b\"}]}", "no metric" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare__claim claim;
        write_text("bad.json", claim_text(cases[i].contrasts, ""));
        assert_true(tare__claim_load(&claim, test_path(work, "bad.json")) != TARE_OK);
        assert_contains(tare_error(), cases[i].words);
        tare__claim_free(&claim);
    }
    tare__claim claim;
    write_text("bad.json", "{\"claim\":");
    assert_status(TARE_EFORMAT, tare__claim_load(&claim, test_path(work, "bad.json")));
    tare__claim_free(&claim);
    assert_status(TARE_ENOENT, tare__claim_load(&claim, test_path(work, "none.json")));
    /* A term that means no point of the grid is found before its number would be made up. */
    write_text(
        "own/03-own.json",
        claim_text("{\"name\":\"x\",\"expect\":\"above\",\"terms\":[{\"weight\":1,\"at\":{\"norm\":\"zz\"}}]}", ""));
    const outcome *o = run("tare-claims --claims %s/own --out %s/claims", work, work);
    assert_code(1, o);
    assert_contains(o->err, "matches no point");
}

static int make_work(void **state) {
    (void)state;
    work = test_dir_new();
    return setenv("PATH", TARE_TEST_BIN ":/usr/bin:/bin", 1); /* tare-mnist and its kin are what claims name */
}

static int remove_work(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_claims_in_the_tree),
        cmocka_unit_test(test_own_claim),
        cmocka_unit_test(test_bad_claims),
    };
    return cmocka_run_group_tests(tests, make_work, remove_work);
}
