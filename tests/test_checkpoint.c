/* test_checkpoint.c - a run's state to a file and back: exact, composed of parts, all or nothing.
 * tare-test: double */
#include "testing_support.h"

#include <tare/io.h>

#include "io/io.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* ---- a run with one of everything -------------------------------------------------------------------------------- */

typedef struct run {
    tare_params *gen, *dis;
    tare_optim *gen_optim, *dis_optim;
    tare_real *average, *seen;
    tare_tape *tape;
    tare_rng rng;
    int64_t step;
    uint64_t epoch;
    double best;
    char *note;
    tare_checkpoint *c;
} run;

static tare_params *make_net(const char *layer) {
    tare_params *ps = tare_params_new(1);
    tare_params_push(ps, layer);
    tare_param(ps, "weight", TARE_SHAPE(4, 5), 0);
    tare_param(ps, "bias", TARE_SHAPE(5), TARE_NO_DECAY);
    tare_buffer(ps, "mean", TARE_SHAPE(5));
    tare_params_pop(ps);
    assert_ok(tare_params_status(ps));
    tare_rng rng = tare_rng_new(1, layer);
    for (int64_t i = 0; i < 20; i++) { tare_params_at(ps, 0)->data[i] = (tare_real)tare_rng_normal(&rng); }
    return ps;
}

static void bind_all(run *r) {
    r->c = tare_checkpoint_new();
    tare_checkpoint_params(r->c, "gen", r->gen);
    tare_checkpoint_params(r->c, "dis", r->dis);
    tare_checkpoint_optim(r->c, "gen_optim", r->gen_optim);
    tare_checkpoint_optim(r->c, "dis_optim", r->dis_optim);
    tare_checkpoint_flat(r->c, "ema", r->gen, r->average);
    tare_checkpoint_tensor(r->c, "seen", TARE_SHAPE(3), r->seen);
    tare_checkpoint_tape(r->c, "tape", r->tape);
    tare_checkpoint_rng(r->c, "order", &r->rng);
    tare_checkpoint_int(r->c, "step", &r->step);
    tare_checkpoint_uint(r->c, "epoch", &r->epoch);
    tare_checkpoint_double(r->c, "best", &r->best);
    tare_checkpoint_text(r->c, "note", &r->note);
}

/* In place, since its checkpoint points into it; free_run frees it. */
static run *make_run(void) {
    run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->gen = make_net("up");
    r->dis = make_net("down");
    r->gen_optim = tare_adamw_new(r->gen, (tare_adam_opt){ .weight_decay = 0.1 });
    r->dis_optim = tare_rmsprop_new(r->dis, (tare_rmsprop_opt){ .centered = true, .momentum = 0.5 });
    r->average = tare_calloc((size_t)tare_params_flat_size(r->gen), sizeof(tare_real));
    r->seen = tare_calloc(3, sizeof(tare_real));
    r->tape = tare_tape_new((tare_tape_opt){ .seed = 1 });
    r->rng = tare_rng_new(5, "order");
    r->note = tare_strdup("new");
    bind_all(r);
    return r;
}

static void free_run(run *r) {
    tare_checkpoint_free(r->c);
    tare_optim_free(r->gen_optim);
    tare_optim_free(r->dis_optim);
    tare_tape_free(r->tape);
    tare_params_free(r->gen);
    tare_params_free(r->dis);
    tare_free(r->average);
    tare_free(r->seen);
    tare_free(r->note);
    free(r);
}

/* One step; gradients come from the run's own generator, so that going on depends on all of the state. */
static void train(run *r) {
    tare_params *nets[] = { r->gen, r->dis };
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < tare_params_count(nets[n]); i++) {
            tare_tensor *p = tare_params_at(nets[n], i);
            for (int64_t j = 0; j < p->numel; j++) { p->grad[j] = (tare_real)tare_rng_normal(&r->rng); }
            p->grad_fresh = false;
        }
        tare_tensor *mean = tare_params_buffer_at(nets[n], 0);
        for (int64_t j = 0; j < mean->numel; j++) { mean->data[j] += (tare_real)tare_rng_uniform(&r->rng); }
    }
    assert_ok(tare_optim_lr_set(r->gen_optim, 0.01 / (double)(r->step + 1)));
    assert_ok(tare_optim_step_clipped(r->gen_optim, 1, &r->best));
    assert_ok(tare_optim_step(r->dis_optim));
    for (int64_t j = 0; j < tare_params_flat_size(r->gen); j++) {
        r->average[j] += (tare_real)0.1 * (tare_params_flat(r->gen)[j] - r->average[j]);
    }
    r->seen[r->step % 3] += 1;
    tare_tape_reset(r->tape);
    r->step++;
    r->epoch = UINT64_MAX - (uint64_t)r->step;
    tare_free(r->note);
    r->note = tare_strdup(r->step % 2 ? "odd \"step\"\n" : "even");
}

static void assert_same_flat(const tare_real *a, const tare_real *b, int64_t n) {
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

static void assert_same_optim(const tare_optim *a, const tare_optim *b) {
    assert_true(tare_optim_steps(a) == tare_optim_steps(b) && tare_optim_lr(a) == tare_optim_lr(b));
    for (int i = 0; i < tare_optim_slots(a); i++) {
        assert_same_flat(tare_optim_slot(a, i), tare_optim_slot(b, i), tare_params_flat_size(tare_optim_params(a)));
    }
}

static void assert_same(const run *a, const run *b) {
    assert_same_flat(tare_params_flat(a->gen), tare_params_flat(b->gen), tare_params_flat_size(a->gen));
    assert_same_flat(tare_params_flat(a->dis), tare_params_flat(b->dis), tare_params_flat_size(a->dis));
    assert_same_flat(tare_params_buffer_flat(a->gen), tare_params_buffer_flat(b->gen),
                     tare_params_buffer_flat_size(a->gen));
    assert_same_flat(tare_params_buffer_flat(a->dis), tare_params_buffer_flat(b->dis),
                     tare_params_buffer_flat_size(a->dis));
    assert_same_flat(a->average, b->average, tare_params_flat_size(a->gen));
    assert_same_flat(a->seen, b->seen, 3);
    assert_same_optim(a->gen_optim, b->gen_optim);
    assert_same_optim(a->dis_optim, b->dis_optim);
    assert_true(tare_tape_step(a->tape) == tare_tape_step(b->tape));
    assert_memory_equal(&a->rng, &b->rng, sizeof a->rng);
    assert_true(a->step == b->step && a->epoch == b->epoch && a->best == b->best);
    assert_string_equal(a->note, b->note);
}

/* ---- exactness --------------------------------------------------------------------------------------------------- */

static void test_resume(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    run *whole = make_run(), *first = make_run(), *second = make_run();
    for (int t = 0; t < 10; t++) { train(whole); }
    for (int t = 0; t < 5; t++) { train(first); }
    assert_ok(tare_checkpoint_save(first->c, path));
    train(second); /* whatever it held before is replaced */
    assert_ok(tare_checkpoint_load(second->c, path));
    assert_same(first, second);
    for (int t = 0; t < 5; t++) { train(second); }
    assert_same(whole, second);
    free_run(whole);
    free_run(first);
    free_run(second);
    test_dir_remove(dir);
}

static void test_exact_numbers(void **state) {
    (void)state;
    const double values[] = { 0,
                              -0.0,
                              1,
                              -1.5,
                              0.1,
                              1e300,
                              DBL_MAX,
                              DBL_MIN,
                              0x1p-1074,
                              -0x1.8p-1060,
                              3.141592653589793,
                              (double)INFINITY,
                              -(double)INFINITY,
                              (double)NAN };
    tare__exact text;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double back = 7;
        assert_true(tare__exact_parse_double(tare__exact_double(values[i], &text), &back));
        assert_true(isnan(values[i]) ? isnan(back) != 0 : memcmp(&back, &values[i], sizeof back) == 0);
        if (isfinite(values[i])) { assert_true(strtod(text.text, NULL) == values[i]); } /* it is C99's notation */
    }
    const int64_t whole[] = { 0, 1, -1, INT64_MAX, INT64_MIN };
    for (int i = 0; i < 5; i++) {
        int64_t back = 7;
        assert_true(tare__exact_parse_int(tare__exact_int(whole[i], &text), &back));
        assert_true(back == whole[i]);
    }
    uint64_t back = 7;
    assert_true(tare__exact_parse_uint(tare__exact_uint(UINT64_MAX, &text), &back));
    assert_true(back == UINT64_MAX);
}

static void test_not_numbers(void **state) {
    (void)state;
    const char *const bad[] = { "",
                                "-",
                                "1",
                                "0x",
                                "0x2.0000000000000p+0",
                                "0x1.000000000000p+0",
                                "0x1.0000000000000",
                                "0x1.0000000000000p",
                                "0x1.0000000000000p0",
                                "0x1.0000000000000p+",
                                "0x1.000000000000gp+0",
                                "0x1.0000000000000p+1024",
                                "0x1.0000000000000p-1023",
                                "0x0.8000000000000p+0",
                                "infinity",
                                "-nan",
                                "0x1.0000000000000p+0 ",
                                "--0x1.0000000000000p+0",
                                "0x1.0000000000000p+-1" };
    double value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tare__exact_parse_double(bad[i], &value)) { fail_msg("\"%s\" was taken for %g", bad[i], value); }
    }
    const char *const not_int[] = { "",   "-", "+1", " 1", "1 ", "1.0", "9223372036854775808", "-9223372036854775809",
                                    "0x1" };
    int64_t whole = 7;
    for (size_t i = 0; i < sizeof not_int / sizeof *not_int; i++) {
        assert_true(!tare__exact_parse_int(not_int[i], &whole));
    }
    uint64_t natural = 7;
    assert_true(!tare__exact_parse_uint("18446744073709551616", &natural));
    assert_true(!tare__exact_parse_uint("-1", &natural));
    assert_true(value == 7 && whole == 7 && natural == 7);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* The weights of one net, and the average in place of them, without the rest. */
static void test_weights_alone(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    run *r = make_run();
    train(r);
    assert_ok(tare_checkpoint_save(r->c, path));
    tare_params *ps = make_net("up");
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ .prefix = "gen" }));
    assert_same_flat(tare_params_flat(ps), tare_params_flat(r->gen), tare_params_flat_size(ps));
    assert_status(TARE_EMISMATCH,
                  tare_params_load(ps, path, (tare_load_opt){ .prefix = "@ema" })); /* no buffers there */
    assert_contains(tare_error(), "1 missing\n  missing     @ema.up.mean");
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ .prefix = "@ema", .partial = true }));
    assert_same_flat(tare_params_flat(ps), r->average, tare_params_flat_size(ps));
    tare_params_free(ps);
    free_run(r);
    test_dir_remove(dir);
}

/* A net under the name "" has plain names, and its optimizer's state is in nobody's way. */
static void test_plain_names(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    tare_params *ps = make_net("fc"), *other = make_net("fc");
    tare_optim *o = tare_adam_new(ps, (tare_adam_opt){ 0 });
    tare_checkpoint *c = tare_checkpoint_new();
    tare_checkpoint_params(c, "", ps);
    tare_checkpoint_optim(c, "optim", o);
    assert_ok(tare_checkpoint_save(c, path));
    tare_params_at(other, 0)->data[3] = 99;
    assert_ok(tare_params_load(other, path, (tare_load_opt){ 0 }));
    assert_same_flat(tare_params_flat(ps), tare_params_flat(other), tare_params_flat_size(ps));
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(path, &r));
    assert_non_null(tare_reader_find(r, "fc.weight"));
    assert_non_null(tare_reader_find(r, "@optim.exp_avg_sq.fc.weight"));
    assert_string_equal(tare_reader_meta(r, "optim.name"), "adam");
    assert_string_equal(tare_reader_meta(r, "optim.steps"), "0");
    tare_reader_free(r);
    tare_checkpoint_free(c);
    tare_optim_free(o);
    tare_params_free(ps);
    tare_params_free(other);
    test_dir_remove(dir);
}

/* ---- refusals: nothing changes ------------------------------------------------------------------------------------ */

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

static void test_no_memory(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a");
    run *r = make_run(), *other = make_run(), *same = make_run();
    train(r);
    uint64_t live = tare_alloc_live();
    tare_status status = TARE_ENOMEM;
    int saves = 0, loads = 0, binds = 0;
    for (uint64_t n = 1; status; n++, saves++) {
        tare_alloc_fail_at(n);
        status = tare_checkpoint_save(r->c, path);
        tare_alloc_fail_at(0);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        assert_int_equal(tare_alloc_live(), live);
    }
    status = TARE_ENOMEM;
    for (uint64_t n = 1; status; n++, loads++) {
        tare_alloc_fail_at(n);
        status = tare_checkpoint_load(other->c, path);
        tare_alloc_fail_at(0);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        assert_int_equal(tare_alloc_live(), live);
        assert_same(status ? same : r, other);
    }
    status = TARE_ENOMEM;
    for (uint64_t n = 1; status; n++, binds++) {
        tare_checkpoint *kept = r->c;
        tare_alloc_fail_at(n);
        bind_all(r);
        tare_alloc_fail_at(0);
        status = tare_checkpoint_save(r->c, path);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        tare_checkpoint_free(r->c);
        r->c = kept;
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_true(saves > 40 && loads > 8 && binds > 12);
    free_run(r);
    free_run(other);
    free_run(same);
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),      cmocka_unit_test(test_exact_numbers),
        cmocka_unit_test(test_not_numbers), cmocka_unit_test(test_weights_alone),
        cmocka_unit_test(test_plain_names), cmocka_unit_test(test_no_checkpoint),
        cmocka_unit_test(test_other_model), cmocka_unit_test(test_other_optimizer),
        cmocka_unit_test(test_bad_numbers), cmocka_unit_test(test_bad_bindings),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_parameters_added_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
