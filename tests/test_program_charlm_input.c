/* test_program_charlm_input.c - what bad input gets from tare charlm: options, texts, runs, weights of NaN. */
#include "charlm_words.h"

static void test_usage(void **state) {
    (void)state;
    static const struct {
        const char *args, *words[2];
    } cases[] = {
        { "--heads 3", { "--heads 3 do not divide --width 128" } },
        { "--context 100000", { "--context", "from 1 to 4096" } },
        { "--context 4000 --arch lstm", { "--context 4000 is too long", "or less" } },
        { "--arch gtp", { "did you mean \"gpt\"?" } },
        { "--arch lstm --heads 4", { "--heads: lstm has none" } },
        { "--arch lstm --nonlinearity relu", { "--nonlinearity" } },
        { "--arch gpt --embedding 4", { "--embedding: gpt has none" } },
        { "--arch lstm --norm-place pre", { "cell or input" } },
        { "--norm-place cell", { "pre or post" } },
        { "--arch gru --layers 9", { "8 at most" } },
        { "--arch gru --tied yes --embedding 5", { "--tied yes", "256" } },
        { "--arch lstm --norm wn", { "normalises weights" } },
        { "--norm nl", { "--norm" } },
        { "--ffn swigul", { "did you mean \"swiglu\"?" } },
        { "--positions rotary --width 12 --heads 4", { "rotary positions turn pairs" } },
        { "--temprature 1", { "did you mean --temperature?" } },
        { "--prompt xyz", { "--prompt: the model has never seen \"x\" (U+0078); it knows 17 characters" } },
        { "--prompt=the.cat.sat --context 4", { "--prompt has 11 characters", "sees 4 at once" } },
        { "--optimizer sgd --beta2 0.5", { "--beta1, --beta2: sgd has none" } },
        { "--warmup 5000", { "--warmup" } },
        { "--eval somewhere", { "--eval writes nothing" } },
        { "words.txt", { "unexpected word \"words.txt\"" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const outcome *o = run("tare-charlm --text %s/words.txt --out %s/never %s", work, work, cases[i].args);
        if (o->code != 2) { fail_msg("%s: exit code %d\n%s", cases[i].args, o->code, o->err); }
        for (int k = 0; k < 2 && cases[i].words[k]; k++) { assert_contains(o->err, cases[i].words[k]); }
        assert_true(strncmp(o->err, "tare charlm: ", 13) == 0);
        assert_false(exists(place("never")));
    }
    assert_code(2, run("tare-charlm --eval %s/nothing", work));
    assert_code(2, run("tare-charlm --eval %s --sample 5 --text %s/words.txt", writer(), work));
}

static void test_bad_text(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *words;
    } cases[] = {
        { "", 0, 1, "bad.txt: is empty" },
        { "good\nb\xff\xfe", 8, 1, "bad.txt: no text in UTF-8: byte 7 (line 2) is 0xff; convert it, or take --bytes" },
        { "a\0b", 3, 1, "byte 2 (line 1) is 0x00" },
        { "\xc3", 1, 1, "byte 1 (line 1) is 0xc3" },         /* cut short */
        { "\xc0\x80", 2, 1, "byte 1 (line 1) is 0xc0" },     /* longer than needed */
        { "\xed\xa0\x80", 3, 1, "byte 1 (line 1) is 0xed" }, /* half of a pair */
        { "four", 4, 2, "--context 64 is too long: there are 3 characters to train on; take --context 2 or less" },
        { "1", 1, 2, "too little to learn from: 0 characters; take a longer text" },
        { "\xef\xbb\xbf", 3, 1, "bad.txt: has a byte order mark and no text" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_bytes("bad.txt", cases[i].bytes, cases[i].size);
        const outcome *o = run("tare-charlm --text %s/bad.txt --out %s/never", work, work);
        assert_code(cases[i].code, o);
        assert_contains(o->err, cases[i].words);
        assert_false(exists(place("never")));
    }
    const outcome *o = run("tare-charlm --text %s/words.txt %s/missing.txt --out %s/never", work, work, work);
    assert_code(1, o);
    assert_contains(o->err, "missing.txt: cannot be opened: No such file or directory");
    o = run("tare-charlm --text %s --out %s/never", work, work);
    assert_code(1, o);
    assert_contains(o->err, "Is a directory");
}

/* Another program's run, a file without a vocabulary. */
static void test_strange_runs(void **state) {
    (void)state;
    assert_code(0, run("tare-charlm " SMALL "--steps 5 --quiet --out %s/strange", work, work));
    assert_int_equal(unlink(place("strange/best.safetensors")), 0);
    assert_int_equal(truncate(place("strange/last.safetensors"), 3000), 0);
    const outcome *o = run("tare-charlm --eval %s/strange", work);
    assert_code(1, o);
    assert_contains(o->err, "last.safetensors");
    tare_params *ps = tare_params_new(1);
    tare_param(ps, "w", TARE_SHAPE(2), 0);
    assert_ok(tare_params_save(ps, place("strange/last.safetensors")));
    tare_params_free(ps);
    o = run("tare-charlm --eval %s/strange", work);
    assert_code(1, o);
    assert_contains(o->err, "no vocabulary");
}

/* Weights of NaN say nothing, and write nothing; weights that are sound may still be too large for any text. */
static void test_eval_of_nan(void **state) {
    (void)state;
    const char *folder = place("spoilt");
    assert_code(0, run("tare-charlm " SMALL "--steps 1 --out %s", work, folder));
    spoil(folder, "best.safetensors");
    const char *const ways[] = { "", "--json", "--prompt the --sample 3" };
    for (size_t i = 0; i < 3; i++) {
        const outcome *o = run("tare-charlm --eval %s %s", folder, ways[i]);
        assert_code(3, o);
        assert_string_equal(o->out, "");
        assert_contains(o->err, "best.safetensors: ");
        assert_contains(o->err, " holds nan at 0 of ");
    }
}

/* A rate beyond all measure: the second step's loss is NaN; what is saved is the state before it. */
static void test_nonfinite(void **state) {
    (void)state;
    const char *folder = place("nan");
    for (int i = 0; i < 2; i++) {
        const outcome *o = run("tare-charlm " TEXT "--optimizer sgd --lr 1e30 --clip 0 --warmup 0 --schedule constant "
                               "--steps 5 --force %s --out %s",
                               work, i ? "--arch rnn --nonlinearity relu --lr 1e20" : "--norm none", folder);
        assert_code(3, o);
        assert_contains(o->err, "made NaN or Inf");
        assert_contains(o->err, "saved");
        assert_contains(o->err, "a lower --lr may help");
        assert_true(metric(folder, "nonfinite", "step") >= 2);
    }
    /* the step itself went well, what came of it fails in the test */
    const outcome *o = run("tare-charlm " SMALL "--optimizer sgd --lr 1e30 --clip 0 --warmup 0 --schedule constant "
                           "--norm none --steps 1 --force --out %s",
                           work, folder);
    assert_code(3, o);
    assert_contains(o->err, "step 1: the loss on the text held out is NaN; a lower --lr may help");
    assert_int_equal(metric(folder, "nonfinite", "step"), 1);
    assert_false(exists(test_path(folder, "best.safetensors")));
}

int main(void) {
    if (access(TARE_TEST_BIN "/tare-charlm", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),       cmocka_unit_test(test_bad_text),  cmocka_unit_test(test_strange_runs),
        cmocka_unit_test(test_eval_of_nan), cmocka_unit_test(test_nonfinite),
    };
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
