/* test_options.c - the command line: values, errors a person can act on, help, config.json and back. */
#include "testing_support.h"

#include <tare/run.h>

#include <locale.h>
#include <math.h>
#include <unistd.h>

typedef struct values {
    bool loud;
    int64_t batch, seed;
    double lr, decay;
    const char *name, *optimizer, *norm;
    tare_files files, words;
    const char *out;
} values;

#define AT(member) offsetof(values, member)
static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "First" },
    { "loud", TARE_OPTION_FLAG, AT(loud), NULL, NULL, "say more", .flags = TARE_OPTION_RESUME },
    { "batch", TARE_OPTION_INT, AT(batch), "64", "N", "images in a batch", .min = 1, .max = 4096 },
    { "seed", TARE_OPTION_INT, AT(seed), "1", "N", "any whole number", .flags = TARE_OPTION_FIXED },
    { "lr", TARE_OPTION_REAL, AT(lr), "0.001", "RATE", "learning rate", .min = 0, .max = INFINITY },
    { "weight-decay", TARE_OPTION_REAL, AT(decay), "0", "D", "decay", .min = 0, .max = 0.5, .flags = TARE_OPTION_EVAL },
    { .kind = TARE_OPTION_GROUP, .help = "Second" },
    { "name", TARE_OPTION_STRING, AT(name), NULL, "TEXT", "a name", .flags = TARE_OPTION_FIXED },
    { "optimizer", TARE_OPTION_CHOICE, AT(optimizer), "adamw", "sgd|adam|adamw", "rule", .flags = TARE_OPTION_FIXED },
    { "norm", TARE_OPTION_NORM, AT(norm), "bn", "SPEC", "normalisation", .flags = TARE_OPTION_FIXED },
    { "predict", TARE_OPTION_FILES, AT(files), NULL, "FILE", "files", .flags = TARE_OPTION_FIXED },
    { "out", TARE_OPTION_STRING, AT(out), NULL, "DIR", "folder", .flags = TARE_OPTION_LOCAL },
    { "", TARE_OPTION_FILES, AT(words), NULL, "WORD", "words", .flags = TARE_OPTION_LOCAL },
    { 0 },
};

static tare_options *parser(values *v) {
    *v = (values){ 0 };
    tare_options *o = tare_options_new("demo", TARE_DESCRIBE "shows how");
    assert_non_null(o);
    assert_ok(tare_options_add(o, table, v));
    return o;
}

/* Splits at spaces. */
static tare_status parse(tare_options *o, const char *line) {
    static char copy[1024];
    char *argv[64] = { (char *)(uintptr_t) "demo" };
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) { argv[argc++] = word; }
    return tare_options_parse(o, argc, argv);
}

static void test_values(void **state) {
    (void)state;
    values v;
    tare_options *o = parser(&v);
    assert_int_equal(v.batch, 64);
    assert_string_equal(v.optimizer, "adamw");
    assert_null(v.name);
    assert_ok(
        parse(o, "--batch 8 --lr=3e-4 --loud --optimizer sgd --name=a=b --predict x.png y.png --norm gn:8 --seed -5"));
    assert_int_equal(v.batch, 8);
    assert_near(v.lr, 3e-4, 0);
    assert_true(v.loud);
    assert_string_equal(v.optimizer, "sgd");
    assert_string_equal(v.name, "a=b");
    assert_int_equal(v.files.count, 2);
    assert_string_equal(v.files.name[1], "y.png");
    assert_string_equal(v.norm, "gn:8");
    assert_int_equal(v.seed, -5);
    assert_true(tare_options_given(o, "batch"));
    assert_false(tare_options_given(o, "weight-decay"));
    assert_ok(parse(o, "--loud=no --batch 9 --batch 10")); /* the last one counts */
    assert_false(v.loud);
    assert_int_equal(v.batch, 10);
    tare_options_free(o);
    o = parser(&v);
    assert_ok(parse(o, "one two --loud"));
    assert_int_equal(v.words.count, 2);
    assert_string_equal(v.words.name[0], "one");
    tare_options_free(o);
}

static void test_errors(void **state) {
    (void)state;
    static const struct {
        const char *line, *words[3];
    } cases[] = {
        { "--bacth 8", { "unknown option --bacth", "did you mean --batch?" } },
        { "--optimiser sgd", { "did you mean --optimizer?" } },
        { "--wei 0.1", { "did you mean --weight-decay?" } },
        { "--zzzzzz", { "unknown option --zzzzzz", "--help" } },
        { "-batch 8", { "unknown option -batch", "did you mean --batch?" } },
        { "--batch", { "--batch needs a value" } },
        { "--batch --loud", { "--batch needs a value" } },
        { "--batch 0", { "--batch", "\"0\"", "a whole number from 1 to 4096" } },
        { "--batch 2.5", { "--batch", "\"2.5\"", "whole number" } },
        { "--batch 8x", { "\"8x\"" } },
        { "--batch 99999999999999999999", { "--batch" } },
        { "--lr -1", { "--lr", "\"-1\"", "a number of at least 0" } },
        { "--lr nan", { "--lr", "\"nan\"" } },
        { "--lr inf", { "\"inf\"" } },
        { "--lr 1e999", { "\"1e999\"" } },
        { "--lr 0x10", { "\"0x10\"" } },
        { "--lr=", { "--lr" } },
        { "--weight-decay 0.6", { "a number from 0 to 0.5" } },
        { "--optimizer sdg", { "sgd|adam|adamw", "did you mean \"sgd\"?" } },
        { "--name=", { "--name needs a value" } },
        { "--loud=maybe", { "yes or no" } },
        { "--norm gm:8", { "--norm", "gn" } },
        { "--predict", { "--predict needs one FILE" } },
        { "one --loud two", { "two" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        values v;
        tare_options *o = parser(&v);
        assert_status(TARE_EINVAL, parse(o, cases[i].line));
        for (int k = 0; k < 3 && cases[i].words[k]; k++) { assert_contains(tare_error(), cases[i].words[k]); }
        assert_null(strchr(tare_error(), '\n'));
        tare_options_free(o);
    }
}

static void test_tables(void **state) {
    (void)state;
    values v;
    tare_options *o = parser(&v);
    assert_status(TARE_EEXIST, tare_options_add(o, table, &v));
    assert_status(TARE_ENOENT, tare_options_default(o, "nothing", "1"));
    assert_status(TARE_EINVAL, tare_options_default(o, "batch", "0"));
    assert_ok(tare_options_default(o, "batch", "12"));
    assert_int_equal(v.batch, 12);
    assert_false(tare_options_given(o, "batch"));
    tare_options_free(o);
}

static void test_texts(void **state) {
    (void)state;
    values v;
    tare_options *o = parser(&v);
    assert_null(tare_options_text(o));
    assert_ok(parse(o, "--loud --describe"));
    assert_string_equal(tare_options_text(o), "shows how\n");
    assert_ok(parse(o, "--version"));
    assert_contains(tare_options_text(o), TARE_VERSION);
    assert_ok(parse(o, "--help --nonsense"));
    const char *help = tare_options_text(o);
    static const char *const words[] = {
        "shows how",         "First",  "Second",   "--batch N", "[64]", "--loud", "sgd, adam, adamw [adamw]",
        "--predict FILE...", "--help", "--version"
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) { assert_contains(help, words[i]); }
    for (const char *s = help; *s; s += strcspn(s, "\n") + 1) { assert_true(strcspn(s, "\n") <= 80); }
    tare_options_free(o);
}

static void write_config(const char *path, const char *program, const char *options) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "{\"program\":\"%s\",\"options\":%s}\n", program, options);
    assert_int_equal(fclose(file), 0);
}

static void test_round_trip(void **state) {
    (void)state;
    values v, w;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "config.json");
    tare_options *o = parser(&v);
    assert_ok(parse(o, "--lr 0.1 --seed 9007199254740991 --name it's\"\\\xff --loud --predict a b --out x --batch 5"));
    char *json = tare_options_json(o), *command = tare_options_command(o);
    assert_non_null(json);
    assert_contains(json, "\"seed\": 9007199254740991");
    assert_contains(json, "\"lr\": 0.1,");
    assert_contains(json, "\"loud\": true");
    assert_null(strstr(json, "\"out\"")); /* local */
    assert_contains(command, "tare demo --loud=yes --batch 5");
    assert_contains(command, "--predict a b");
    assert_null(strstr(command, "weight-decay"));
    write_config(path, "demo", json);

    tare_options *p = parser(&w);
    assert_ok(parse(p, "--out y"));
    assert_ok(tare_options_adopt(p, path, TARE_OPTION_RESUME));
    assert_int_equal(w.seed, v.seed);
    assert_near(w.lr, 0.1, 0);
    assert_true(w.loud);
    assert_int_equal(w.files.count, 2);
    assert_string_equal(w.name, "it's\"\\\xef\xbf\xbd");
    tare_free(command);
    command = tare_options_command(p);
    assert_contains(command, "--name 'it'\\''s\"\\\xef\xbf\xbd'");
    tare_free(json);
    tare_free(command);
    tare_options_free(o);
    tare_options_free(p);
    test_dir_remove(dir);
}

/* What the command line may change of a run that is there. */
static void test_adopt(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "config.json");
    static const struct {
        const char *line, *stored;
        unsigned may;
        tare_status want;
        const char *words;
    } cases[] = {
        { "--loud=no", "{\"loud\":true}", TARE_OPTION_RESUME, TARE_OK, NULL },
        { "--loud=no", "{\"loud\":true}", TARE_OPTION_EVAL, TARE_EINVAL, "--loud cannot change" },
        { "--weight-decay 0.1", "{\"weight-decay\":0.2}", TARE_OPTION_EVAL, TARE_OK, NULL },
        { "--batch 8", "{\"batch\":4}", TARE_OPTION_RESUME, TARE_EINVAL, "says \"4\"" },
        { "--batch 8", "{\"batch\":8}", TARE_OPTION_RESUME, TARE_OK, NULL },
        { "", "{\"batch\":0}", TARE_OPTION_RESUME, TARE_EINVAL, "1 to 4096" },
        { "", "{\"batch\":[1]}", TARE_OPTION_RESUME, TARE_EFORMAT, "plain value" },
        { "", "{\"tomorrow\":1}", TARE_OPTION_RESUME, TARE_EINVAL, "tomorrow" },
        { "", "{\"out\":\"x\"}", TARE_OPTION_RESUME, TARE_EINVAL, "out" },
        { "", "{\"predict\":[1]}", TARE_OPTION_RESUME, TARE_EFORMAT, "predict" },
        { "", "{\"norm\":\"zz\"}", TARE_OPTION_RESUME, TARE_EINVAL, "norm" },
        { "", "[1", TARE_OPTION_RESUME, TARE_EFORMAT, "not the config.json of a run" },
        { "", "3", TARE_OPTION_RESUME, TARE_EFORMAT, "not the config.json of a run" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        values v;
        tare_options *o = parser(&v);
        write_config(path, "demo", cases[i].stored);
        assert_ok(parse(o, cases[i].line));
        assert_status(cases[i].want, tare_options_adopt(o, path, cases[i].may));
        if (cases[i].words) { assert_contains(tare_error(), cases[i].words); }
        tare_options_free(o);
    }
    values v;
    tare_options *o = parser(&v);
    write_config(path, "other", "{}");
    assert_status(TARE_EMISMATCH, tare_options_adopt(o, path, 0));
    assert_status(TARE_ENOENT, tare_options_adopt(o, test_path(dir, "missing"), 0));
    tare_options_free(o);
    test_dir_remove(dir);
}

static void test_nearest(void **state) {
    (void)state;
    const char *const list[] = { "mnist", "charlm", "gan", "gradcheck" };
    assert_string_equal(tare_nearest("mnsit", list, 4), "mnist");
    assert_string_equal(tare_nearest("gna", list, 4), "gan");
    assert_string_equal(tare_nearest("gradchek", list, 4), "gradcheck");
    assert_string_equal(tare_nearest("grad", list, 4), "gradcheck");
    assert_null(tare_nearest("transformer", list, 4));
    assert_null(tare_nearest("x", list, 4));
    assert_null(tare_nearest("mnist", list, 0));
}

/* A path is made absolute where it leads somewhere; what is no path, or leads nowhere, stays for the message to come. */
static void test_root(void **state) {
    (void)state;
    values v;
    tare_options *o = parser(&v);
    assert_ok(parse(o, "--name . --out no/such/folder"));
    assert_ok(tare_options_root(o, "name"));
    assert_int_equal(v.name[0], '/');
    assert_ok(tare_options_root(o, "out"));
    assert_string_equal(v.out, "no/such/folder");
    assert_status(TARE_EINVAL, tare_options_root(o, "batch"));
    assert_status(TARE_EINVAL, tare_options_root(o, "nothing"));
    tare_options_free(o);
    o = parser(&v);
    assert_ok(tare_options_root(o, "name"));
    assert_null(v.name);
    tare_options_free(o);
}

/* A decimal comma of the user's locale changes neither what is read nor what is written. */
static void test_locale(void **state) {
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8" };
    bool set = false;
    for (int i = 0; i < 3 && !set; i++) { set = setlocale(LC_NUMERIC, names[i]) != NULL; }
    if (!set) { skip(); }
    values v;
    tare_options *o = parser(&v);
    assert_ok(parse(o, "--lr 0.25"));
    assert_near(v.lr, 0.25, 0);
    char *json = tare_options_json(o);
    assert_contains(json, "\"lr\": 0.25");
    tare_free(json);
    assert_status(TARE_EINVAL, parse(o, "--lr 0,25"));
    tare_options_free(o);
    setlocale(LC_NUMERIC, "C");
}

/* Memory that runs out anywhere gives an error, never a crash, and leaks nothing. */
static void test_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    bool done = false;
    for (uint64_t n = 1; !done && n < 200; n++) {
        values v = { 0 };
        tare_alloc_fail_at(n);
        tare_options *o = tare_options_new("demo", "about");
        tare_status s = o ? tare_options_add(o, table, &v) : TARE_ENOMEM;
        if (s == TARE_OK) { s = parse(o, "--name x --predict a b --help"); }
        char *json = s == TARE_OK ? tare_options_json(o) : NULL;
        char *command = json ? tare_options_command(o) : NULL;
        tare_alloc_fail_at(0);
        done = command != NULL;
        if (!done && s != TARE_OK) { assert_int_equal(s, TARE_ENOMEM); }
        tare_free(json);
        tare_free(command);
        tare_options_free(o);
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_true(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_errors), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_adopt),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_nearest), cmocka_unit_test(test_locale), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
