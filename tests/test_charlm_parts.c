/* test_charlm_parts.c - what tare charlm makes of text before a model sees it: characters, holes for bert, windows and streams. */
#include "../examples/charlm/charlm.h"

/* The program's own, which prints. Before cmocka, which has a macro of this name. */
int fail(int code) { return code; }

#include "../examples/charlm/batch.c"
#include "../examples/charlm/options.c"
#include "../examples/charlm/utf8.c"

#include "testing_support.h"

/* ---- characters ---------------------------------------------------------------------------------------------------- */

static void every_character_comes_back(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xd800 && code < 0xe000) { continue; }
        char text[5];
        uint32_t got = 0;
        int size = utf8_put(code, text);
        if (utf8_get((const unsigned char *)text, (size_t)size, &got) != size || got != code) {
            fail_msg("U+%04X came back as U+%04X", (unsigned)code, (unsigned)got);
        }
        if (size > 1) { assert_int_equal(utf8_get((const unsigned char *)text, (size_t)size - 1, &got), 0); }
    }
}

static void what_is_not_utf8(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5", "\xff", "\xc3(",    "\xe2\x82("
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t code;
        assert_int_equal(utf8_get((const unsigned char *)wrong[i], strlen(wrong[i]), &code), 0);
    }
}

static void names_of_characters(void **state) {
    (void)state;
    utf8_name name;
    assert_string_equal(utf8_describe(0xe9, &name), "\"\xc3\xa9\" (U+00E9)");
    assert_string_equal(utf8_describe('\t', &name), "U+0009"); /* nothing that moves a terminal's cursor */
    assert_string_equal(utf8_describe(0x9b, &name), "U+009B");
}

/* ---- holes --------------------------------------------------------------------------------------------------------- */

enum { MANY = 200000, TOKENS = 50, MASK = TOKENS };

/* 15% are to be found: 80% of those masked, 10% another (one time in 50 the same), 10% as they were. */
static void fifteen_percent_hide(void **state) {
    (void)state;
    static int32_t x[MANY], y[MANY];
    for (int i = 0; i < MANY; i++) { x[i] = i % TOKENS; }
    int64_t hidden = hide(tare_rng_new(1, "test"), MASK, MANY, x, y), found = 0, masked = 0, same = 0;
    for (int i = 0; i < MANY; i++) {
        if (y[i] == -100) {
            assert_int_equal(x[i], i % TOKENS);
            continue;
        }
        assert_int_equal(y[i], i % TOKENS);
        assert_in_range(x[i], 0, MASK);
        found++;
        masked += x[i] == MASK;
        same += x[i] == y[i];
    }
    assert_int_equal(hidden, found);
    assert_near((double)hidden / MANY, 0.15, 0.003);
    assert_near((double)masked / (double)hidden, 0.8, 0.01);
    assert_near((double)same / (double)hidden, 0.1 + 0.1 / TOKENS, 0.01);
}

static void one_hides_at_least(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        int32_t x[2] = { 3, 4 }, y[2];
        int64_t hidden = hide(tare_rng_split(tare_rng_new(1, "test"), (uint64_t)i), MASK, 2, x, y);
        assert_in_range(hidden, 1, 2);
        assert_int_equal((y[0] != -100) + (y[1] != -100), hidden);
    }
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

enum { LENGTH = 1000 };

static void text_of_numbers(corpus *c, int32_t *train) {
    for (int i = 0; i < LENGTH; i++) { train[i] = i; }
    *c = (corpus){ .train = train, .trained = LENGTH };
}

/* Anywhere in the text, and y is x one character later; a step's batch is the same whenever it is asked for. */
static void windows_depend_on_the_step(void **state) {
    (void)state;
    int32_t train[LENGTH], first[6 * 20];
    corpus text;
    feeder f;
    options o = { .arch = "gpt", .batch = 6, .context = 20, .run.seed = 4 };
    text_of_numbers(&text, train);
    assert_ok(feeder_new(&f, &o, &text, -1));
    int32_t least = LENGTH, most = 0;
    for (int step = 0; step < 200; step++) {
        assert_false(feeder_fill(&f, step));
        if (step == 7) { memcpy(first, f.x, sizeof first); }
        for (int i = 0; i < 6 * 20; i++) {
            assert_int_equal(f.y[i], f.x[i] + 1);
            assert_int_equal(f.x[i], f.x[i - i % 20] + i % 20);
            least = f.x[i] < least ? f.x[i] : least;
            most = f.y[i] > most ? f.y[i] : most;
        }
    }
    assert_true(least < 20 && most > LENGTH - 20 && most < LENGTH);
    feeder_fill(&f, 7);
    assert_memory_equal(first, f.x, sizeof first);
    feeder_free(&f);
}

/* Time first. Each stream goes on where it was until its part of the text is used up; then all begin anew, elsewhere. */
static void streams_go_on(void **state) {
    (void)state;
    int32_t train[LENGTH], last[4] = { 0 }, begun[3] = { 0 };
    corpus text;
    feeder f;
    options o = { .arch = "lstm", .batch = 4, .context = 20, .run.seed = 4 };
    text_of_numbers(&text, train);
    assert_ok(feeder_new(&f, &o, &text, -1));
    assert_true(tare_shape_equal(f.shape, TARE_SHAPE(20, 4)));
    int passes = 0;
    for (int step = 0; step < 30; step++) {
        bool begins = feeder_fill(&f, step);
        assert_int_equal(begins, step % 11 == 0); /* 250 characters each: 11 stretches of 20, and 19 to spare */
        if (begins) { begun[passes++] = f.x[0]; }
        for (int b = 0; b < 4; b++) {
            if (!begins) { assert_int_equal(f.x[b], last[b] + 1); }
            for (int t = 0; t < 20; t++) {
                assert_int_equal(f.x[t * 4 + b], f.x[b] + t);
                assert_int_equal(f.y[t * 4 + b], f.x[b] + t + 1);
                assert_in_range(f.y[t * 4 + b], 250 * b, 250 * b + 249);
            }
            last[b] = f.x[19 * 4 + b];
        }
    }
    assert_int_equal(passes, 3);
    assert_true(begun[0] != begun[1] || begun[1] != begun[2]);
    feeder_free(&f);
}

/* The shortest text that will do. */
static void shortest_streams(void **state) {
    (void)state;
    int32_t train[LENGTH];
    corpus text;
    feeder f;
    options o = { .arch = "rnn", .batch = 2, .context = 20 };
    text_of_numbers(&text, train);
    text.trained = 42;
    assert_ok(feeder_new(&f, &o, &text, -1));
    assert_true(feeder_fill(&f, 0));
    assert_int_equal(f.x[0], 0);
    assert_int_equal(f.y[19 * 2 + 1], 41);
    assert_true(feeder_fill(&f, 1));
    feeder_free(&f);
    text.trained = 41;
    assert_status(TARE_EINVAL, feeder_new(&f, &o, &text, -1));
    assert_contains(tare_error(), "41 characters to train on in --batch streams; take --context 19 or less");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_comes_back),
        cmocka_unit_test(what_is_not_utf8),
        cmocka_unit_test(names_of_characters),
        cmocka_unit_test(fifteen_percent_hide),
        cmocka_unit_test(one_hides_at_least),
        cmocka_unit_test(windows_depend_on_the_step),
        cmocka_unit_test(streams_go_on),
        cmocka_unit_test(shortest_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
