/* test_confusion.c - confusion.json: what was taken for what, and the mistakes that the classifier was surest of. */
#include "testing_support.h"

#include <tare/run.h>

#include <math.h>

enum { CLASSES = 3, SAMPLES = 40 };

/* A row of logits that says `said`, the more surely the larger `by`: probability e^by / (e^by + 2). */
static void add(tare_confusion *c, int32_t label, int said, double by, int64_t index) {
    tare_real row[CLASSES] = { 0 };
    row[said] = (tare_real)by;
    tare_confusion_add(c, row, &label, 1, index);
}

/* confusion.json as it is written into a run of its own; holds until the next. */
static const char *written(const tare_confusion *c) {
    static char text[65536];
    char *dir = test_dir_new();
    tare_run_opt opt = { 0 };
    tare_options *o = tare_options_new("demo", "about");
    tare_run *run = NULL;
    tare_dataset *ds = NULL;
    assert_ok(tare_options_add(o, tare_run_options, &opt));
    opt.out = test_path(dir, "run");
    assert_ok(tare_run_open(&run, o, &opt, NULL));
    assert_ok(tare_dataset_new(SAMPLES, 1, 1, 2, CLASSES, &ds));
    for (int i = 0; i < 2 * SAMPLES; i++) { ds->images[i] = (uint8_t)i; }
    assert_ok(tare_confusion_write(c, run, ds));
    FILE *file = fopen(tare_run_path(run, "confusion.json"), "rb");
    text[file ? fread(text, 1, sizeof text - 1, file) : 0] = '\0';
    if (file) { fclose(file); }
    tare_dataset_free(ds);
    tare_run_close(run);
    tare_options_free(o);
    test_dir_remove(dir);
    return text;
}

static void counts_labels_against_answers(void **state) {
    (void)state;
    tare_confusion *c = tare_confusion_new(CLASSES);
    assert_string_equal(written(c), ""); /* nothing seen, nothing to show */
    for (int i = 0; i < 3; i++) { add(c, 0, 0, 1, i); }
    add(c, 2, 1, 1, 3);
    add(c, -1, 1, 1, 4); /* no class of ours */
    add(c, CLASSES, 1, 1, 5);
    assert_contains(written(c), "\"counts\":[[3,0,0],[0,0,0],[0,1,0]]");
    assert_contains(written(c), "\"classes\":[\"0\",\"1\",\"2\"]");
    tare_confusion_reset(c);
    add(c, 1, 1, 1, 0);
    assert_contains(written(c), "\"counts\":[[0,0,0],[0,1,0],[0,0,0]]");
    assert_contains(written(c), "\"mistakes\":[]");
    tare_confusion_free(c);
}

/* Sixteen of them, the surest first, of equals the earlier; with the place in the data set and the pixels that are there. */
static void keeps_the_surest_mistakes(void **state) {
    (void)state;
    tare_confusion *c = tare_confusion_new(CLASSES);
    for (int i = 0; i < SAMPLES; i++) { add(c, 0, 1, 0.1 * (i * 7 % SAMPLES / 2), i); }
    const char *at = strstr(written(c), "\"mistakes\":["), *entry;
    double before = 1, last_index = -1;
    int found = 0;
    for (; (entry = strstr(at, "{\"index\":")); at = entry + 1, found++) {
        long index = strtol(entry + strlen("{\"index\":"), NULL, 10);
        const char *number = strstr(entry, "\"probability\":");
        double probability = strtod(number + strlen("\"probability\":"), NULL),
               by = 0.1 * (double)(index * 7 % SAMPLES / 2);
        char pixels[32];
        snprintf(pixels, sizeof pixels, "\"pixels\":\"%02x%02x\"", (unsigned)(2 * index), (unsigned)(2 * index + 1));
        assert_near(probability, exp(by) / (exp(by) + 2), test_tol(1e-6, 1e-12));
        assert_true(probability < before || (probability == before && (double)index > last_index));
        assert_non_null(strstr(entry, pixels));
        before = probability;
        last_index = (double)index;
    }
    assert_int_equal(found, 16);
    assert_near(before, exp(1.2) / (exp(1.2) + 2), 1e-6); /* two of each: 1.9, 1.8, ... 1.2 */
    tare_confusion_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_labels_against_answers),
        cmocka_unit_test(keeps_the_surest_mistakes),
    };
    return cmocka_run_group_tests_name("confusion", tests, NULL, NULL);
}
