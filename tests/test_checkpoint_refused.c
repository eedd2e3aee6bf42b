/* test_checkpoint_refused.c - checkpoints that are refused: in which words, and nothing changes.   tare-test: double */
#include "checkpoint_run.h"

/* Load `path` into a run that has trained a little; it must be refused with these words and leave everything alone. */
static void assert_refused(const char *path, tare_status want, const char *words) {
    run *r = make_run(), *before = make_run();
    train(r), train(before);
    assert_status(want, tare_checkpoint_load(r->c, path));
    assert_contains(tare_error(), words);
    assert_same(before, r);
    free_run(r);
    free_run(before);
}

static void test_no_checkpoint(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a.safetensors");
    tare_params *ps = make_net("up");
    assert_refused(path, TARE_ENOENT, "a.safetensors: cannot open");
    assert_ok(tare_params_save(ps, path));
    assert_refused(path, TARE_EMISMATCH, "holds no training state");
    tare_params_free(ps);
    test_dir_remove(dir);
}

static void test_other_model(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a.safetensors");
    run *r = make_run();
    tare_buffer(r->gen, "late", TARE_SHAPE(2));
    tare_params_find(r->dis, "down.bias")->shape = TARE_SHAPE(5, 1);
    assert_ok(tare_checkpoint_save(r->c, path));
    assert_refused(path, TARE_EMISMATCH, "1 unexpected, ");
    assert_contains(tare_error(), "unexpected  gen.late  [2]");
    assert_contains(tare_error(), "misshapen   dis.down.bias  [5,1] in the file, [5] here");
    free_run(r);
    test_dir_remove(dir);
}

static void test_other_optimizer(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a.safetensors");
    run *r = make_run();
    tare_checkpoint_free(r->c);
    tare_optim_free(r->dis_optim);
    r->dis_optim = tare_sgd_new(r->dis, (tare_sgd_opt){ .momentum = 0.9 });
    bind_all(r);
    assert_ok(tare_checkpoint_save(r->c, path));
    assert_refused(path, TARE_EMISMATCH, "\"dis_optim\" was saved from sgd and cannot go on as rmsprop");
    free_run(r);
    test_dir_remove(dir);
}

/* A saved run, written again with the metadata `key` replaced (dropped where text is NULL). */
static void rewrite(const char *from, const char *to, const char *key, const char *text) {
    static const char *const keys[] = { "tare.format",
                                        "tare.checkpoint",
                                        "gen_optim.name",
                                        "gen_optim.steps",
                                        "gen_optim.lr",
                                        "dis_optim.name",
                                        "dis_optim.steps",
                                        "dis_optim.lr",
                                        "tape.step",
                                        "order.key",
                                        "order.stream",
                                        "order.counter",
                                        "step",
                                        "epoch",
                                        "best",
                                        "note" };
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(from, &r));
    tare_writer *w = tare_writer_new();
    int replaced = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *old = tare_reader_meta(r, keys[i]);
        assert_non_null(old);
        bool this = strcmp(keys[i], key) == 0;
        replaced += this;
        if (!this || text) { tare_writer_meta(w, keys[i], this ? text : old); }
    }
    assert_int_equal(replaced, 1);
    for (int64_t i = 0; i < tare_reader_count(r); i++) {
        const tare_entry *e = tare_reader_at(r, i);
        tare_writer_tensor(w, e->name, e->dtype, e->shape, e->data);
    }
    assert_ok(tare_writer_save(w, to));
    tare_writer_free(w);
    tare_reader_free(r);
}

static void test_bad_numbers(void **state) {
    (void)state;
    const struct {
        const char *key, *text;
        tare_status status;
        const char *words;
    } cases[] = {
        { "tare.format", "2", TARE_EMISMATCH, "written by a newer Tare: format 2, this one reads up to 1" },
        { "tare.format", "x", TARE_EFORMAT, "\"tare.format\" is not a number" },
        { "tare.checkpoint", NULL, TARE_EMISMATCH, "holds no training state" },
        { "step", NULL, TARE_EMISMATCH, "has no \"step\"" },
        { "step", "1.5", TARE_EFORMAT, "\"step\" is \"1.5\", which is no such number" },
        { "epoch", "-1", TARE_EFORMAT, "\"epoch\" is \"-1\"" },
        { "best", "0.5", TARE_EFORMAT, "\"best\" is \"0.5\"" },
        { "note", NULL, TARE_EMISMATCH, "has no \"note\"" },
        { "order.counter", NULL, TARE_EMISMATCH, "has no \"order.counter\"" },
        { "order.stream", "18446744073709551616", TARE_EFORMAT, "\"order.stream\"" },
        { "tape.step", "", TARE_EFORMAT, "\"tape.step\"" },
        { "gen_optim.steps", "x", TARE_EFORMAT, "\"gen_optim.steps\"" },
        { "gen_optim.lr", "nan", TARE_EFORMAT, "the learning rate of \"gen_optim\" is nan" },
        { "dis_optim.lr", "-0x1.0000000000000p+0", TARE_EFORMAT, "the learning rate of \"dis_optim\" is -1" },
        { "dis_optim.name", "adam\x1b[2J", TARE_EMISMATCH, "was saved from adam?[2J" },
    };
    char *dir = test_dir_new();
    const char *good = test_path(dir, "good"), *bad = test_path(dir, "bad");
    run *r = make_run();
    for (int t = 0; t < 3; t++) { train(r); }
    assert_ok(tare_checkpoint_save(r->c, good));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rewrite(good, bad, cases[i].key, cases[i].text);
        assert_refused(bad, cases[i].status, cases[i].words);
    }
    run *back = make_run();
    rewrite(good, bad, "note", r->note); /* the helper itself changes nothing */
    assert_ok(tare_checkpoint_load(back->c, bad));
    assert_same(r, back);
    free_run(r);
    free_run(back);
    test_dir_remove(dir);
}

static void test_bad_bindings(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a");
    char name[102];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    int64_t one = 1, two = 2;
    for (int i = 0; i < 3; i++) {
        tare_checkpoint *c = tare_checkpoint_new();
        tare_checkpoint_int(c, "n", &one);
        if (i == 0) { tare_checkpoint_int(c, "n", &two); }
        if (i == 1) { tare_checkpoint_params(c, "net", NULL); }
        if (i == 2) { tare_checkpoint_int(c, name, &two); }
        const char *const words[] = { "the name \"n\" is there twice", "nothing given for \"net\"", "longer than 100" };
        assert_status(i == 0 ? TARE_EEXIST : TARE_EINVAL, tare_checkpoint_save(c, path));
        assert_contains(tare_error(), words[i]);
        if (i) { assert_status(TARE_EINVAL, tare_checkpoint_load(c, path)); }
        tare_checkpoint_free(c);
    }
    test_dir_remove(dir);
}

/* State arrays made for fewer parameters than there are now: said, not read beyond their end. */
static void test_parameters_added_later(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a");
    for (int i = 0; i < 2; i++) {
        run *r = make_run();
        assert_ok(tare_checkpoint_save(r->c, path));
        tare_param(i ? r->dis : r->gen, "late", TARE_SHAPE(100000), 0);
        assert_status(TARE_EINVAL, tare_checkpoint_save(r->c, path));
        assert_contains(tare_error(), i ? "\"dis_optim\" has no room for parameters added after it was made"
                                        : "\"gen_optim\" has no room for parameters added after it was made");
        assert_status(TARE_EINVAL, tare_checkpoint_load(r->c, path));
        tare_checkpoint *c = tare_checkpoint_new();
        tare_checkpoint_flat(c, "ema", r->gen, r->average);
        if (i) {
            tare_param(r->gen, "late", TARE_SHAPE(100000), 0);
            assert_status(TARE_EINVAL, tare_checkpoint_save(c, path));
            assert_contains(tare_error(), "\"ema\" has no room for parameters added after it was bound");
        }
        tare_checkpoint_free(c);
        free_run(r);
    }
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_checkpoint),   cmocka_unit_test(test_other_model),
        cmocka_unit_test(test_other_optimizer), cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_bad_bindings),    cmocka_unit_test(test_parameters_added_later),
    };
    return cmocka_run_group_tests_name("checkpoint refused", tests, NULL, NULL);
}
