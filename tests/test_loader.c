/* test_loader.c - batches: their order, their ends, going on in the middle, and data sources of one's own.
 * tare-test: double */
#include "data_fixtures.h"

#include <stdatomic.h>

static uint64_t live_before;

static int setup(void **state) {
    (void)state;
    live_before = tare_alloc_live();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tare_alloc_fail_at(0);
    tare_threads_set(0);
    return tare_alloc_live() == live_before ? 0 : -1;
}

static tare_loader *make_loader(const tare_dataset *ds, tare_loader_opt opt) {
    tare_loader *l = NULL;
    assert_ok(tare_loader_new(ds, opt, &l));
    return l;
}

/* One epoch's samples into index, their number back. */
static int64_t run_epoch(tare_loader *l, int64_t *index) {
    tare_batch b = { .n = 0 };
    int64_t n = 0;
    while (tare_loader_next(l, &b)) {
        for (int64_t i = 0; i < b.n; i++) { index[n++] = b.index[i]; }
    }
    assert_int_equal(b.n, 0);
    return n;
}

/* ---- order ----------------------------------------------------------------------------------------------------------- */

enum { COUNT = 103 };

static void assert_permutation(const int64_t *index, int64_t n, int64_t count) {
    int seen[COUNT] = { 0 };
    for (int64_t i = 0; i < n; i++) {
        assert_in_range(index[i], 0, count - 1);
        assert_int_equal(seen[index[i]]++, 0);
    }
}

static void test_order(void **state) {
    (void)state;
    tare_dataset *ds = make_images(COUNT, 1, 2, 2, 4);
    int64_t a[COUNT], b[COUNT], c[COUNT], again[COUNT];
    tare_loader *l = make_loader(ds, (tare_loader_opt){ .batch = 10, .shuffle = true, .seed = 1 });
    tare_loader *other = make_loader(ds, (tare_loader_opt){ .batch = 10, .shuffle = true, .seed = 2 });
    assert_int_equal(run_epoch(l, a), COUNT);
    assert_int_equal(run_epoch(l, b), COUNT);
    assert_int_equal(run_epoch(other, c), COUNT);
    assert_permutation(a, COUNT, COUNT);
    assert_permutation(b, COUNT, COUNT);
    assert_permutation(c, COUNT, COUNT);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    tare_loader_free(other);
    other = make_loader(ds, (tare_loader_opt){ .batch = 7, .shuffle = true, .seed = 1 });
    run_epoch(other, again);
    assert_memory_equal(a, again, sizeof a); /* the batch size does not matter */
    tare_loader_free(other);
    other = make_loader(ds, (tare_loader_opt){ .batch = 10 });
    for (int epoch = 0; epoch < 2; epoch++) {
        run_epoch(other, again);
        for (int64_t i = 0; i < COUNT; i++) { assert_int_equal(again[i], i); }
    }
    tare_loader_free(other);
    tare_loader_free(l);
    tare_dataset_free(ds);
}

static void test_limit(void **state) {
    (void)state;
    tare_dataset *ds = make_images(COUNT, 1, 2, 2, 4);
    int64_t a[COUNT] = { 0 }, b[COUNT] = { 0 };
    tare_loader *l = make_loader(ds, (tare_loader_opt){ .limit = 40, .seed = 1 });
    tare_loader *shuffled = make_loader(ds, (tare_loader_opt){ .limit = 40, .shuffle = true, .seed = 2 });
    assert_int_equal(tare_loader_samples(l), 40);
    assert_int_equal(run_epoch(l, a), 40);
    assert_int_equal(run_epoch(shuffled, b), 40);
    assert_permutation(a, 40, COUNT);
    bool in_a[COUNT] = { false };
    int64_t beyond = 0;
    for (int i = 0; i < 40; i++) {
        in_a[a[i]] = true;
        beyond += a[i] >= 40;
    }
    for (int i = 0; i < 40; i++) { assert_true(in_a[b[i]]); } /* the same 40 for every seed */
    assert_memory_not_equal(a, b, 40 * sizeof a[0]);
    assert_true(beyond > 10); /* not simply the first ones */
    tare_loader_free(l);
    tare_loader_free(shuffled);
    l = make_loader(ds, (tare_loader_opt){ .limit = 1000 });
    assert_int_equal(tare_loader_samples(l), COUNT);
    tare_loader_free(l);
    tare_dataset_free(ds);
}

/* ---- last batches ---------------------------------------------------------------------------------------------------- */

static void test_last_batches(void **state) {
    (void)state;
    static const struct {
        int64_t count, batch;
        bool drop_last, avoid_single;
        int64_t samples, batches;
    } cases[] = {
        { 20, 5, true, true, 20, 4 },  { 21, 5, false, false, 21, 5 }, { 21, 5, true, false, 20, 4 },
        { 21, 5, false, true, 20, 4 }, { 22, 5, false, true, 22, 5 },  { 22, 5, true, true, 20, 4 },
        { 3, 5, false, true, 3, 1 },   { 1, 5, false, false, 1, 1 },   { 4, 1, false, true, 4, 4 },
        { 65, 0, false, true, 64, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tare_dataset *ds = make_images(cases[i].count, 1, 2, 2, 1);
        tare_loader *l = make_loader(ds, (tare_loader_opt){ .batch = cases[i].batch,
                                                            .drop_last = cases[i].drop_last,
                                                            .avoid_single = cases[i].avoid_single });
        assert_int_equal(tare_loader_samples(l), cases[i].samples);
        assert_int_equal(tare_loader_batches(l), cases[i].batches);
        assert_int_equal(tare_loader_dropped(l), cases[i].count - cases[i].samples);
        for (int epoch = 0; epoch < 2; epoch++) {
            tare_batch b = { .n = 0 };
            int64_t samples = 0, batches = 0;
            for (; tare_loader_next(l, &b); batches++) { samples += b.n; }
            assert_int_equal(samples, cases[i].samples);
            assert_int_equal(batches, cases[i].batches);
        }
        tare_loader_free(l);
        tare_dataset_free(ds);
    }
}

static void expect_refusal(const tare_dataset *ds, tare_status status, const char *words, tare_loader_opt opt) {
    tare_loader *l = NULL;
    assert_status(status, tare_loader_new(ds, opt, &l));
    assert_contains(tare_error(), words);
    assert_null(l);
}

static void test_options_refused(void **state) {
    (void)state;
    tare_dataset *ds = make_images(3, 3, 4, 5, 1), *one = make_images(1, 1, 4, 4, 1);
    expect_refusal(ds, TARE_EINVAL, "batch -1", (tare_loader_opt){ .batch = -1 });
    expect_refusal(ds, TARE_EINVAL, "limit -5", (tare_loader_opt){ .limit = -5 });
    expect_refusal(ds, TARE_EINVAL, "no batch of 4 from 3 samples: drop_last wants a whole one",
                   (tare_loader_opt){ .batch = 4, .drop_last = true });
    expect_refusal(one, TARE_EINVAL, "no batch of 8 from 1 sample: a batch norm has no variance over one",
                   (tare_loader_opt){ .batch = 8, .avoid_single = true });
    expect_refusal(ds, TARE_ESHAPE, "images have 3 channels, 1 are wanted", (tare_loader_opt){ .channels = 1 });
    expect_refusal(ds, TARE_EINVAL, "shift 4", (tare_loader_opt){ .augment = { .shift = 4 } });
    expect_refusal(ds, TARE_EINVAL, "shift -1", (tare_loader_opt){ .augment = { .shift = -1 } });
    expect_refusal(ds, TARE_EINVAL, "scaling 9", (tare_loader_opt){ .scaling = (tare_scaling)9 });
    expect_refusal(ds, TARE_EINVAL, "nothing may be negative", (tare_loader_opt){ .height = -1 });
    tare_dataset_free(ds);
    tare_dataset_free(one);
    tare_dataset *none = NULL;
    assert_status(TARE_EINVAL, tare_dataset_new(0, 1, 2, 2, 2, &none));
    assert_status(TARE_EINVAL, tare_dataset_new(1, 5, 2, 2, 2, &none));
    assert_status(TARE_EINVAL, tare_dataset_new(INT64_MAX, 1, INT64_MAX, 2, 2, &none));
    assert_null(none);
}

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

static void test_scaling(void **state) {
    (void)state;
    tare_dataset *ds = make_images(5, 3, 4, 6, 2);
    for (tare_scaling scaling = TARE_SCALE_STANDARD; scaling <= TARE_SCALE_UNIT; scaling++) {
        tare_loader *l = make_loader(ds, (tare_loader_opt){ .batch = 2, .scaling = scaling });
        tare_batch b = { .n = 0 };
        tare_real single[3 * 4 * 6];
        while (tare_loader_next(l, &b)) {
            assert_true(tare_shape_equal(b.shape, TARE_SHAPE(b.n, 3, 4, 6)));
            assert_true(tare_shape_equal(b.labels_shape, TARE_SHAPE(b.n, 1)));
            assert_null(b.target);
            for (int64_t i = 0; i < b.n; i++) {
                assert_int_equal(b.labels[i], b.index[i] % 2);
                for (int64_t k = 0; k < 72; k++) {
                    const double unit = ds->images[b.index[i] * 72 + k] / 255.0;
                    const double want[3] = { (unit - ds->mean[k / 24]) / ds->std[k / 24], 2 * unit - 1, unit };
                    assert_near(b.x[i * 72 + k], want[scaling], test_tol(1e-6, 1e-14));
                }
                assert_ok(tare_loader_convert(l, ds->images + b.index[i] * 72, single));
                assert_memory_equal(single, b.x + i * 72, sizeof single);
            }
        }
        tare_loader_free(l);
    }
    tare_dataset_free(ds);
}

/* 3 x 2 pixels in a 6 x 5 frame, three times; and the centre of 6 x 7 in 4 x 4. */
static void test_padding_and_centre(void **state) {
    (void)state;
    tare_dataset *ds = make_images(2, 1, 2, 3, 2);
    tare_loader *l = make_loader(
        ds, (tare_loader_opt){ .batch = 2, .channels = 3, .height = 5, .width = 6, .scaling = TARE_SCALE_UNIT });
    tare_batch b = { .n = 0 };
    assert_true(tare_loader_next(l, &b));
    assert_true(tare_shape_equal(b.shape, TARE_SHAPE(2, 3, 5, 6)));
    assert_true(tare_shape_equal(tare_loader_shape(l), b.shape));
    for (int i = 0; i < 2 * 3 * 5 * 6; i++) {
        const int y = i / 6 % 5 - 1, x = i % 6 - 1, sample = i / 90;
        const bool inside = y >= 0 && y < 2 && x >= 0 && x < 3;
        assert_near(b.x[i], inside ? pixel_at(sample * 6 + y * 3 + x) / 255.0 : 0, 1e-7);
    }
    tare_loader_free(l);
    tare_dataset_free(ds);
    ds = make_images(1, 1, 6, 7, 1);
    l = make_loader(ds, (tare_loader_opt){ .height = 4, .width = 4, .scaling = TARE_SCALE_UNIT });
    assert_true(tare_loader_next(l, &b));
    for (int i = 0; i < 16; i++) { assert_near(b.x[i], pixel_at((i / 4 + 1) * 7 + i % 4 + 1) / 255.0, 1e-7); }
    tare_loader_free(l);
    tare_dataset_free(ds);
}

/* ---- going on -------------------------------------------------------------------------------------------------------- */

static const tare_loader_opt FULL = {
    .batch = 10, .shuffle = true, .seed = 5, .augment = { .flip = true, .shift = 1 }
};

static void test_resume(void **state) {
    (void)state;
    tare_dataset *ds = make_images(COUNT, 1, 4, 4, 4);
    for (int stop = 0; stop < 24; stop++) { /* two epochs of 11 batches, and their ends */
        tare_loader *l = make_loader(ds, FULL), *later = make_loader(ds, FULL);
        tare_batch b = { .n = 0 }, c = { .n = 0 };
        for (int i = 0; i < stop; i++) { tare_loader_next(l, &b); }
        const tare_loader_state at = tare_loader_tell(l);
        assert_int_equal(at.epoch, stop / 12);
        tare_loader_next(later, &c); /* what it did before does not matter */
        assert_ok(tare_loader_seek(later, at));
        for (int i = 0; i < 24; i++) {
            assert_int_equal(tare_loader_next(l, &b), tare_loader_next(later, &c));
            assert_int_equal(b.n, c.n);
            if (b.n == 0) { continue; }
            assert_memory_equal(b.x, c.x, (size_t)b.n * 16 * sizeof *b.x);
            assert_memory_equal(b.labels, c.labels, (size_t)b.n * sizeof *b.labels);
        }
        tare_loader_free(l);
        tare_loader_free(later);
    }
    tare_loader *l = make_loader(ds, FULL);
    assert_status(TARE_EINVAL, tare_loader_seek(l, (tare_loader_state){ .position = COUNT + 1 }));
    assert_contains(tare_error(), "position 104 of an epoch of 103 samples");
    assert_status(TARE_EINVAL, tare_loader_seek(l, (tare_loader_state){ .position = -1 }));
    tare_loader_free(l);
    tare_dataset_free(ds);
}

static void test_threads_and_allocations(void **state) {
    (void)state;
    tare_dataset *ds = make_images(COUNT, 3, 32, 32, 4);
    tare_loader_opt opt = FULL;
    opt.batch = 50;
    tare_loader *one = make_loader(ds, opt), *two = make_loader(ds, opt);
    const uint64_t before = tare_alloc_count();
    for (int i = 0; i < 10; i++) {
        tare_batch a = { .n = 0 }, b = { .n = 0 };
        tare_threads_set(1);
        const bool more = tare_loader_next(one, &a);
        tare_threads_set(2);
        assert_int_equal(more, tare_loader_next(two, &b));
        assert_int_equal(a.n, b.n);
        if (more) { assert_memory_equal(a.x, b.x, (size_t)a.n * 3072 * sizeof *a.x); }
    }
    assert_int_equal(tare_alloc_count(), before);
    tare_loader_free(one);
    tare_loader_free(two);
    tare_dataset_free(ds);
}

static void test_out_of_memory(void **state) {
    (void)state;
    tare_dataset *ds = make_images(COUNT, 1, 4, 4, 4);
    const uint64_t live = tare_alloc_live();
    tare_status status = TARE_ENOMEM;
    uint64_t n = 1;
    for (; status != TARE_OK && n < 100; n++) {
        tare_loader_opt opt = FULL;
        tare_loader *l = NULL;
        opt.limit = 50;
        tare_alloc_fail_at(n);
        status = tare_loader_new(ds, opt, &l);
        tare_alloc_fail_at(0);
        if (status != TARE_OK) { assert_int_equal(status, TARE_ENOMEM); }
        tare_loader_free(l);
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_int_equal(status, TARE_OK);
    assert_true(n > 7);
    tare_dataset_free(ds);
}

/* ---- sources of one's own -------------------------------------------------------------------------------------------- */

typedef struct own {
    int64_t bad_sample, bad_label;
    atomic_int calls;
} own;

/* x = (i, i^2), target = i / 2 as [1,2,1], labels i % 4 and -100. */
static tare_status fill_own(void *user, int64_t index, tare_rng rng, tare_real *x, tare_real *target, int32_t *labels) {
    own *o = user;
    atomic_fetch_add(&o->calls, 1);
    if (index == o->bad_sample) { return tare_fail(TARE_EIO, "sample %lld is lost", (long long)index); }
    x[0] = (tare_real)index;
    x[1] = (tare_real)(index * index);
    target[0] = (tare_real)index / 2;
    target[1] = (tare_real)tare_rng_uniform(&rng);
    labels[0] = index == o->bad_label ? 4 : (int32_t)(index % 4);
    labels[1] = -100;
    labels[2] = 3;
    return TARE_OK;
}

static tare_dataset *own_dataset(own *o, bool threads) {
    tare_dataset *ds = NULL;
    assert_ok(tare_dataset_custom(&(tare_data_source){ .count = COUNT,
                                                       .x = TARE_SHAPE(2),
                                                       .target = TARE_SHAPE(1, 2, 1),
                                                       .labels = TARE_SHAPE(3),
                                                       .classes = 4,
                                                       .threads = threads,
                                                       .fill = fill_own,
                                                       .user = o },
                                  &ds));
    return ds;
}

static void test_source(void **state) {
    (void)state;
    own o = { .bad_sample = -1, .bad_label = -1 };
    double noise[2][COUNT] = { { 0 } };
    for (int round = 0; round < 2; round++) {
        tare_threads_set(round + 1);
        tare_dataset *ds = own_dataset(&o, round == 1);
        tare_loader *l = make_loader(ds, (tare_loader_opt){ .batch = round ? 50 : 7, .shuffle = true, .seed = 3 });
        tare_batch b = { .n = 0 };
        int64_t seen = 0;
        while (tare_loader_next(l, &b)) {
            assert_true(tare_shape_equal(b.shape, TARE_SHAPE(b.n, 2)));
            assert_true(tare_shape_equal(b.target_shape, TARE_SHAPE(b.n, 1, 2, 1)));
            assert_true(tare_shape_equal(b.labels_shape, TARE_SHAPE(b.n, 3)));
            for (int64_t i = 0; i < b.n; i++, seen++) {
                const int64_t k = b.index[i];
                assert_true(b.x[2 * i] == (tare_real)k && b.x[2 * i + 1] == (tare_real)(k * k));
                assert_true(b.target[2 * i] == (tare_real)k / 2);
                noise[round][k] = (double)b.target[2 * i + 1];
                assert_true(b.labels[3 * i] == k % 4 && b.labels[3 * i + 1] == -100 && b.labels[3 * i + 2] == 3);
            }
        }
        assert_int_equal(seen, COUNT);
        assert_ok(tare_loader_status(l));
        tare_loader_free(l);
        tare_dataset_free(ds);
    }
    assert_memory_equal(noise[0], noise[1], sizeof noise[0]); /* a sample's own stream */
    assert_true(noise[0][0] != noise[0][1]);
    assert_int_equal(atomic_load(&o.calls), 2 * COUNT);
}

static void test_source_fails(void **state) {
    (void)state;
    for (int round = 0; round < 4; round++) {
        const bool lost = round < 2;
        own o = { .bad_sample = lost ? 12 : -1, .bad_label = lost ? -1 : 12 };
        tare_threads_set(2);
        tare_dataset *ds = own_dataset(&o, round % 2);
        tare_loader *l = make_loader(ds, (tare_loader_opt){ .batch = 10 });
        tare_batch b = { .n = 0 };
        assert_true(tare_loader_next(l, &b));
        for (int i = 0; i < 2; i++) { /* the failure stays */
            assert_false(tare_loader_next(l, &b));
            assert_int_equal(b.n, 0);
            assert_int_equal(tare_loader_status(l), lost ? TARE_EIO : TARE_EINVAL);
        }
        assert_contains(tare_loader_error(l),
                        lost ? "sample 12 is lost" : "sample 12 has label 4 at position 0, out of range 0..3");
        o.bad_sample = o.bad_label = -1;
        const tare_loader_state at = tare_loader_tell(l);
        assert_int_equal(at.position, 10);
        assert_ok(tare_loader_seek(l, at));
        assert_string_equal(tare_loader_error(l), "");
        assert_true(tare_loader_next(l, &b));
        assert_int_equal(b.index[2], 12);
        tare_loader_free(l);
        tare_dataset_free(ds);
    }
}

static tare_status fill_tokens(void *user, int64_t index, tare_rng rng, tare_real *x, tare_real *target,
                               int32_t *labels) {
    (void)user, (void)rng;
    if (x || target) { return tare_fail(TARE_EINVAL, "there should be no x and no target"); }
    for (int i = 0; i < 9; i++) { labels[i] = (int32_t)(1000 * index) + i; }
    return TARE_OK;
}

static void test_source_of_tokens(void **state) {
    (void)state;
    tare_dataset *ds = NULL;
    assert_ok(
        tare_dataset_custom(&(tare_data_source){ .count = 5, .labels = TARE_SHAPE(9), .fill = fill_tokens }, &ds));
    tare_loader *l = make_loader(ds, (tare_loader_opt){ .batch = 4 });
    tare_batch b = { .n = 0 };
    assert_true(tare_loader_next(l, &b));
    assert_null(b.x);
    assert_int_equal(b.labels[3 * 9 + 8], 3008); /* classes 0: any token */
    assert_int_equal(tare_shape_numel(b.shape), 0);
    tare_real x[1];
    assert_status(TARE_EINVAL, tare_loader_convert(l, (const uint8_t *)"", x));
    tare_loader_free(l);
    expect_refusal(ds, TARE_EINVAL, "are for images", (tare_loader_opt){ .augment = { .flip = true } });
    tare_dataset_free(ds);
}

static void test_source_refused(void **state) {
    (void)state;
    tare_dataset *ds = NULL;
    tare_data_source s = { .count = 3, .x = TARE_SHAPE(2), .fill = fill_own };
    s.count = 0;
    assert_status(TARE_EINVAL, tare_dataset_custom(&s, &ds));
    assert_contains(tare_error(), "count 0");
    s.count = 3;
    s.x = TARE_SHAPE(2, 0);
    assert_status(TARE_ESHAPE, tare_dataset_custom(&s, &ds));
    assert_contains(tare_error(), "x [2,0]");
    s.x = TARE_SCALAR;
    assert_status(TARE_ESHAPE, tare_dataset_custom(&s, &ds));
    s.x = TARE_SHAPE(1, 1, 1, 1, 1, 1);
    assert_status(TARE_ESHAPE, tare_dataset_custom(&s, &ds)); /* no room for the batch in front */
    s.fill = NULL;
    assert_status(TARE_EINVAL, tare_dataset_custom(&s, &ds));
    assert_null(ds);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_order),          TEST(test_limit),
        TEST(test_last_batches),   TEST(test_options_refused),
        TEST(test_scaling),        TEST(test_padding_and_centre),
        TEST(test_resume),         TEST(test_threads_and_allocations),
        TEST(test_out_of_memory),  TEST(test_source),
        TEST(test_source_fails),   TEST(test_source_of_tokens),
        TEST(test_source_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
