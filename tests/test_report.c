/* test_report.c - reports: what a folder holds comes out as data of a page that needs nothing else. */
#include "testing_support.h"

#include <tare/tare.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/report.h"

/* ---- a folder, and its report ------------------------------------------------------------------------------------ */

static void put_bytes(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void put(const char *dir, const char *name, const char *text) {
    put_bytes(test_path(dir, name), text, strlen(text));
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    text[size] = '\0';
    fclose(file);
    return text;
}

/* The page of the folder, and the data in it, parsed. */
typedef struct report {
    char *page;
    cJSON *data;
} report;

static report report_of(const char *dir) {
    assert_ok(tare_report_write(dir, NULL));
    report r = { read_file(test_path(dir, "report.html")), NULL };
    static const char open[] = "<script type=\"application/json\" id=\"data\">";
    const char *data = strstr(r.page, open);
    assert_non_null(data);
    data += strlen(open);
    const char *end = strstr(data, "</script>");
    assert_non_null(end);
    char *json = malloc((size_t)(end - data) + 1);
    assert_non_null(json);
    memcpy(json, data, (size_t)(end - data));
    json[end - data] = '\0';
    r.data = cJSON_Parse(json);
    assert_non_null(r.data);
    free(json);
    return r;
}

static void report_free(report r) {
    free(r.page);
    cJSON_Delete(r.data);
}

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!item) { fail_msg("no member \"%s\"", name); }
    return item;
}

static const cJSON *first_run(report r) { return cJSON_GetArrayItem(member(r.data, "runs"), 0); }

static const cJSON *named(const cJSON *list, const char *key, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (strcmp(member(item, key)->valuestring, name) == 0) { return item; }
    }
    return NULL;
}

/* The curve of `name` in the event. */
static const cJSON *curve(report r, const char *event, const char *name) {
    const cJSON *e = named(member(first_run(r), "events"), "event", event);
    return e ? named(member(e, "curves"), "name", name) : NULL;
}

static double value_at(const cJSON *list, int i) {
    const cJSON *item = cJSON_GetArrayItem(list, i);
    assert_non_null(item);
    return item->valuedouble;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static void test_run(void **state) {
    (void)state;
    char *dir = test_dir_new();
    put(dir, "config.json", "{\"program\":\"mnist\",\"command\":\"tare mnist\",\"options\":{\"norm\":\"bn\"}}");
    put(dir, "summary.txt", "layer  what\n");
    put(dir, "metrics.jsonl",
        "{\"event\":\"start\",\"parameters\":12}\n"
        "{\"event\":\"train\",\"step\":1,\"loss\":2.5,\"seconds\":0.25}\n"
        "{\"event\":\"train\",\"step\":2,\"loss\":null,\"seconds\":0.5}\n"
        "{\"event\":\"train\",\"step\":3,\"loss\":1.5,\"seconds\":0.75}\n"
        "{\"event\":\"norm_stats\",\"step\":0,\"layer\":\"n1\",\"kind\":\"batch_norm\",\"in_mean\":0.5}\n"
        "{\"event\":\"weight_stats\",\"step\":0,\"parameter\":\"w\",\"sigma\":3}\n"
        "{\"event\":\"sample\",\"step\":3,\"text\":\"To be\"}\n"
        "{\"event\":\"end\",\"step\":3,\"test_accuracy\":0.5}\n"
        "{\"event\":\"train\",\"step\":4,\"lo"); /* cut short */
    report r = report_of(dir);
    assert_string_equal(member(r.data, "kind")->valuestring, "run");
    const cJSON *run = first_run(r), *loss = curve(r, "train", "loss");
    assert_string_equal(member(member(run, "config"), "command")->valuestring, "tare mnist");
    assert_string_equal(member(run, "summary")->valuestring, "layer  what\n");
    assert_int_equal(cJSON_GetArraySize(member(loss, "value")), 2); /* NaN is no point */
    assert_near(value_at(member(loss, "step"), 1), 3, 0);
    assert_near(value_at(member(loss, "seconds"), 1), 0.75, 0);
    assert_near(value_at(member(loss, "value"), 1), 1.5, 0);
    assert_null(curve(r, "train", "step")); /* an axis */
    const cJSON *layer = named(member(run, "layers"), "name", "n1");
    assert_string_equal(member(layer, "kind")->valuestring, "batch_norm");
    assert_near(value_at(member(member(layer, "values"), "in_mean"), 0), 0.5, 0);
    assert_non_null(named(member(run, "layers"), "name", "w"));
    assert_string_equal(member(named(member(run, "texts"), "text", "To be"), "text")->valuestring, "To be");
    assert_near(member(named(member(run, "notes"), "event", "end"), "test_accuracy")->valuedouble, 0.5, 0);
    report_free(r);
    test_dir_remove(dir);
}

/* A run that was killed after step 30, its last checkpoint being of step 20, makes steps 21 to 30 again. */
static void test_steps_made_again_count_once(void **state) {
    (void)state;
    char *dir = test_dir_new();
    put(dir, "metrics.jsonl",
        "{\"event\":\"train\",\"step\":20,\"loss\":2}\n{\"event\":\"train\",\"step\":30,\"loss\":9}\n"
        "{\"event\":\"sample\",\"step\":30,\"text\":\"first\"}\n{\"event\":\"resume\",\"step\":20}\n"
        "{\"event\":\"train\",\"step\":30,\"loss\":1}\n{\"event\":\"sample\",\"step\":30,\"text\":\"second\"}\n");
    report r = report_of(dir);
    const cJSON *value = member(curve(r, "train", "loss"), "value"), *texts = member(first_run(r), "texts");
    assert_int_equal(cJSON_GetArraySize(value), 2);
    assert_near(value_at(value, 1), 1, 0);
    assert_int_equal(cJSON_GetArraySize(texts), 1);
    assert_non_null(named(texts, "text", "second"));
    report_free(r);
    test_dir_remove(dir);
}

/* ---- nothing from outside, nothing that breaks out --------------------------------------------------------------- */

static void test_needs_nothing_else(void **state) {
    (void)state;
    static const char *const outside[] = { "https:",  "src=\"",         "@import",    "url(",
                                           "fetch(",  "XMLHttpRequest", "import(",    "<link",
                                           "<iframe", "sendBeacon(",    "WebSocket(", "localStorage" };
    char *dir = test_dir_new();
    put(dir, "metrics.jsonl", "{\"event\":\"end\",\"step\":3}\n");
    report r = report_of(dir);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        if (strstr(r.page, outside[i])) { fail_msg("the page has %s in it", outside[i]); }
    }
    for (const char *s = r.page; (s = strstr(s, "http:")); s++) { /* the name of SVG is no address */
        assert_memory_equal(s, "http://www.w3.org/2000/svg", 26);
    }
    assert_contains(r.page, "default-src 'none'"); /* and the browser is told to fetch nothing */
    assert_null(strstr(r.page, "{{"));
    report_free(r);
    test_dir_remove(dir);
}

static void test_hostile_text_stays_text(void **state) {
    (void)state;
    static const char hostile[] = "</script><script>alert(1)</script><!-- & \\u003c \" {{script}}";
    char *dir = test_dir_new(), run[4096];
    snprintf(run, sizeof run, "%s/<b>&\"x\" {{data}}", dir);
    assert_int_equal(mkdir(run, 0777), 0);
    cJSON *config = cJSON_CreateObject();
    assert_non_null(cJSON_AddStringToObject(config, "command", hostile));
    char *text = cJSON_Print(config);
    put(run, "config.json", text);
    put(run, "summary.txt", hostile);
    report r = report_of(run);
    assert_string_equal(member(first_run(r), "summary")->valuestring, hostile);
    assert_string_equal(member(member(first_run(r), "config"), "command")->valuestring, hostile);
    assert_string_equal(member(first_run(r), "name")->valuestring, "<b>&\"x\" {{data}}");
    assert_null(strstr(r.page, "alert(1)</script>"));
    assert_contains(r.page, "<title>&lt;b&gt;&amp;\"x\" {{data}} - Tare</title>");
    report_free(r);
    cJSON_free(text);
    cJSON_Delete(config);
    test_dir_remove(dir);
}

/* ---- comparisons ------------------------------------------------------------------------------------------------- */

/* One axis of two values, two seeds each; `more` goes into the object. */
static void put_comparison(const char *dir, const char *more) {
    char text[4096];
    snprintf(text, sizeof text,
             "{\"format_version\":1,\"metric\":{\"name\":\"loss\"},\"axes\":[{\"key\":\"norm\",\"values\":[\"bn\"]}],"
             "\"seeds\":[1,2],\"pairs\":[],\"rankings\":[],\"cells\":[{\"id\":0,\"at\":[\"bn\"],\"stats\":{\"n\":3},"
             "\"runs\":[{\"seed\":1,\"status\":\"diverged\",\"folder\":\"bn/1\"},"
             "{\"seed\":2,\"status\":\"ok\",\"folder\":\"bn/2\"},{\"seed\":3,\"status\":\"missing\"}]}]%s}",
             more);
    put(dir, "comparison.json", text);
}

static void test_comparison(void **state) {
    (void)state;
    char *dir = test_dir_new();
    assert_int_equal(mkdir(test_path(dir, "bn"), 0777), 0);
    for (int seed = 1; seed <= 2; seed++) {
        char name[64];
        snprintf(name, sizeof name, "bn/%d", seed);
        assert_int_equal(mkdir(test_path(dir, name), 0777), 0);
        snprintf(name, sizeof name, "bn/%d/metrics.jsonl", seed);
        put(dir, name,
            "{\"event\":\"train\",\"step\":1,\"loss\":2}\n"
            "{\"event\":\"norm_stats\",\"step\":1,\"layer\":\"n\",\"out_var\":2}\n");
    }
    put_comparison(dir, ",\"command\":\"</script>\"");
    report r = report_of(dir);
    const cJSON *runs = member(r.data, "runs");
    assert_string_equal(member(r.data, "kind")->valuestring, "comparison");
    assert_string_equal(member(member(r.data, "comparison"), "command")->valuestring, "</script>");
    assert_int_equal(cJSON_GetArraySize(runs), 2); /* the one that is missing has no curves */
    assert_non_null(curve(r, "train", "loss"));
    assert_null(cJSON_GetObjectItem(named(runs, "name", "bn/1"), "layers")); /* in full: the first that is ok */
    assert_int_equal(cJSON_GetArraySize(member(named(runs, "name", "bn/2"), "layers")), 1);
    report_free(r);
    put(dir, "bn/2/config.json", "{\"broken"); /* one bad run does not take the others with it */
    r = report_of(dir);
    assert_int_equal(cJSON_GetArraySize(member(r.data, "runs")), 1);
    report_free(r);
    put(dir, "comparison.json", "{\"format_version\":2}");
    assert_status(TARE_EFORMAT, tare_report_write(dir, NULL));
    test_dir_remove(dir);
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

static void test_pictures(void **state) {
    (void)state;
    static const unsigned char png[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0xff, 0x01 };
    char *dir = test_dir_new();
    assert_int_equal(mkdir(test_path(dir, "samples"), 0777), 0);
    put_bytes(test_path(dir, "samples/step-100.png"), png, sizeof png);
    put_bytes(test_path(dir, "samples/step-20.png"), png, sizeof png - 1);
    put(dir, "samples/no.png", "this is none");
    put(dir, "samples/notes.txt", "nor is this");
    put(dir, "metrics.jsonl", "{\"event\":\"sample\",\"step\":20,\"file\":\"samples/step-20.png\"}\n");
    report r = report_of(dir);
    const cJSON *pictures = member(first_run(r), "pictures");
    assert_int_equal(cJSON_GetArraySize(pictures), 2);
    assert_string_equal(member(cJSON_GetArrayItem(pictures, 0), "file")->valuestring,
                        "step-100.png"); /* latest first */
    assert_string_equal(member(cJSON_GetArrayItem(pictures, 0), "uri")->valuestring,
                        "data:image/png;base64,iVBORw0KGgr/AQ==");
    assert_string_equal(member(cJSON_GetArrayItem(pictures, 1), "uri")->valuestring,
                        "data:image/png;base64,iVBORw0KGgr/");
    assert_near(member(cJSON_GetArrayItem(pictures, 1), "step")->valuedouble, 20, 0);
    report_free(r);
    test_dir_remove(dir);
}

static void test_pictures_share_a_budget(void **state) {
    (void)state;
    char *dir = test_dir_new(), name[64];
    size_t size = 500000;
    unsigned char *png = calloc(1, size);
    assert_non_null(png);
    memcpy(png, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal(mkdir(test_path(dir, "samples"), 0777), 0);
    for (int i = 1; i <= 9; i++) {
        snprintf(name, sizeof name, "samples/%d.png", i);
        put_bytes(test_path(dir, name), png, size);
    }
    put(dir, "metrics.jsonl", "");
    report r = report_of(dir);
    const cJSON *pictures = member(first_run(r), "pictures");
    assert_int_equal(cJSON_GetArraySize(pictures), 3); /* of 0.67 MB each in 2.5 MB */
    assert_string_equal(member(cJSON_GetArrayItem(pictures, 0), "file")->valuestring, "9.png");
    assert_near(member(first_run(r), "pictures_in_all")->valuedouble, 9, 0);
    report_free(r);
    free(png);
    test_dir_remove(dir);
}

/* ---- long runs --------------------------------------------------------------------------------------------------- */

static void test_thin_keeps_what_is_few(void **state) {
    (void)state;
    const double value[] = { (double)NAN, 3, (double)NAN, 1, 2 };
    int64_t index[8];
    assert_int_equal(tare__thin(value, 5, 8, index), 3);
    assert_int_equal(index[0], 1);
    assert_int_equal(index[1], 3);
    assert_int_equal(index[2], 4);
    assert_int_equal(tare__thin(value, 1, 8, index), 0); /* NaN alone */
    assert_int_equal(tare__thin(value, 0, 8, index), 0);
}

static void test_thin_keeps_extremes(void **state) {
    (void)state;
    enum { N = 100000, MOST = 500 };
    double *value = malloc(N * sizeof *value);
    int64_t index[MOST];
    assert_non_null(value);
    for (int i = 0; i < N; i++) { value[i] = i % 7 == 3 ? (double)NAN : sin(i * 0.001); }
    value[31415] = 50; /* one step each that must not be missed */
    value[77777] = -50;
    int64_t count = tare__thin(value, N, MOST, index), high = 0, low = 0;
    assert_true(count <= MOST && count > MOST / 2);
    assert_int_equal(index[0], 0);
    assert_int_equal(index[count - 1], N - 1);
    for (int64_t i = 0; i < count; i++) {
        assert_true(i == 0 || index[i] > index[i - 1]);
        assert_true(value[index[i]] == value[index[i]]); /* no NaN */
        high += index[i] == 31415;
        low += index[i] == 77777;
    }
    assert_int_equal(high, 1);
    assert_int_equal(low, 1);
    free(value);
}

static void test_long_run_stays_small(void **state) {
    (void)state;
    char *dir = test_dir_new();
    FILE *file = fopen(test_path(dir, "metrics.jsonl"), "wb");
    assert_non_null(file);
    for (int i = 1; i <= 60000; i++) {
        fprintf(file, "{\"event\":\"train\",\"step\":%d,\"loss\":%.17g,\"lr\":%.17g,\"seconds\":%.17g}\n", i, 1.0 / i,
                0.1 / i, i * 0.01);
        if (i % 20 == 0) {
            for (int k = 0; k < 10; k++) {
                fprintf(file, "{\"event\":\"norm_stats\",\"step\":%d,\"layer\":\"l%d\",\"out_var\":%.17g}\n", i, k,
                        1.0 / (i + k));
            }
        }
        if (i % 100 == 0) { fprintf(file, "{\"event\":\"sample\",\"step\":%d,\"text\":\"%05000d\"}\n", i, i); }
    }
    assert_int_equal(fclose(file), 0);
    report r = report_of(dir);
    assert_true(strlen(r.page) < 500000);
    const cJSON *step = member(curve(r, "train", "loss"), "step");
    assert_true(cJSON_GetArraySize(step) <= 500);
    assert_near(value_at(step, cJSON_GetArraySize(step) - 1), 60000, 0);
    const cJSON *texts = member(first_run(r), "texts");
    assert_in_range(cJSON_GetArraySize(texts), 20, 24);
    assert_near(member(cJSON_GetArrayItem(texts, cJSON_GetArraySize(texts) - 1), "step")->valuedouble, 60000, 0);
    assert_int_equal(strlen(member(cJSON_GetArrayItem(texts, 0), "text")->valuestring), 4000);
    report_free(r);
    test_dir_remove(dir);
}

/* ---- what cannot be reported on ---------------------------------------------------------------------------------- */

static void test_errors(void **state) {
    (void)state;
    char *dir = test_dir_new();
    assert_status(TARE_ENOENT, tare_report_write(dir, NULL));
    assert_contains(tare_error(), "no run and no comparison");
    assert_status(TARE_ENOENT, tare_report_write(test_path(dir, "nowhere"), NULL));
    put(dir, "config.json", "{\"program\":\"mn");
    assert_status(TARE_EFORMAT, tare_report_write(dir, NULL));
    assert_contains(tare_error(), "config.json");
    assert_int_not_equal(access(test_path(dir, "report.html"), F_OK), 0);
    put(dir, "config.json", "{}");
    put(dir, "confusion.json", "[1,");
    assert_ok(tare_report_write(dir, test_path(dir, "elsewhere.html"))); /* what is no matter is left out */
    assert_int_equal(access(test_path(dir, "elsewhere.html"), F_OK), 0);
    assert_status(TARE_EIO, tare_report_write(dir, test_path(dir, "nowhere/report.html")));
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_steps_made_again_count_once),
        cmocka_unit_test(test_needs_nothing_else),
        cmocka_unit_test(test_hostile_text_stays_text),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_pictures_share_a_budget),
        cmocka_unit_test(test_thin_keeps_what_is_few),
        cmocka_unit_test(test_thin_keeps_extremes),
        cmocka_unit_test(test_long_run_stays_small),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
