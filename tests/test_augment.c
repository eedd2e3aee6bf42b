/* test_augment.c - flips, shifts and crops: only the changes asked for, evenly spread, fixed by seed, epoch and sample.
 * tare-test: double */
#include "data_fixtures.h"

enum { SIDE = 8, COUNT = 4000 };

/* Every pixel tells where it is: 1 + 8 y + x; black is 0. */
static tare_dataset *make_maps(int64_t count, int64_t height, int64_t width) {
    tare_dataset *ds = NULL;
    assert_ok(tare_dataset_new(count, 1, height, width, 2, &ds));
    for (int64_t i = 0; i < count * height * width; i++) { ds->images[i] = (uint8_t)(1 + i % (height * width)); }
    return ds;
}

typedef struct view {
    int top, left;
    bool flip;
} view;

/* Which window of a height x width map is x [h,w]?  Fails where it is none. */
static view find_view(const tare_real *x, int h, int w, int height, int width) {
    for (int top = -h; top <= height; top++) {
        for (int left = -w; left <= width; left++) {
            for (int flip = 0; flip < 2; flip++) {
                bool same = true;
                for (int i = 0; same && i < h * w; i++) {
                    const int row = top + i / w, column = left + (flip ? w - 1 - i % w : i % w);
                    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
                    const double want = inside ? (1 + row * width + column) / 255.0 : 0;
                    same = (double)x[i] > want - 1e-6 && (double)x[i] < want + 1e-6;
                }
                if (same) { return (view){ top, left, flip }; }
            }
        }
    }
    fail_msg("the batch holds something that is no window of the image");
    return (view){ 0, 0, false };
}

static tare_loader_opt with(tare_augment augment) {
    return (tare_loader_opt){ .batch = 100, .seed = 7, .scaling = TARE_SCALE_UNIT, .augment = augment };
}

/* The views of all samples in `epoch`. */
static void all_views(const tare_dataset *ds, tare_loader_opt opt, uint64_t epoch, view *out) {
    tare_loader *l = NULL;
    tare_batch b;
    assert_ok(tare_loader_new(ds, opt, &l));
    assert_ok(tare_loader_seek(l, (tare_loader_state){ .epoch = epoch }));
    while (tare_loader_next(l, &b)) {
        const int h = (int)b.shape.dim[2], w = (int)b.shape.dim[3];
        for (int64_t i = 0; i < b.n; i++) {
            out[b.index[i]] = find_view(b.x + i * h * w, h, w, (int)ds->height, (int)ds->width);
        }
    }
    tare_loader_free(l);
}

/* A count of n draws of probability p, within 5 standard deviations. */
static void assert_even(int count, int n, double p) {
    const double expected = n * p, variance = n * p * (1 - p);
    if ((count - expected) * (count - expected) > 25 * variance) {
        fail_msg("%d of %d, expected %g", count, n, expected);
    }
}

static view views[COUNT], more[COUNT];

static void test_none(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(200, SIDE, SIDE);
    all_views(ds, with((tare_augment){ .flip = false }), 0, views);
    for (int i = 0; i < 200; i++) { assert_true(views[i].top == 0 && views[i].left == 0 && !views[i].flip); }
    tare_dataset_free(ds);
}

static void test_flip(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(COUNT, SIDE, SIDE);
    all_views(ds, with((tare_augment){ .flip = true }), 0, views);
    int flips = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_true(views[i].top == 0 && views[i].left == 0);
        flips += views[i].flip;
    }
    assert_even(flips, COUNT, 0.5);
    all_views(ds, with((tare_augment){ .flip = true }), 1, more);
    int same = 0;
    for (int i = 0; i < COUNT; i++) { same += views[i].flip == more[i].flip; }
    assert_even(same, COUNT, 0.5); /* epochs do not depend on each other */
    tare_dataset_free(ds);
}

static void test_shift(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(COUNT, SIDE, SIDE);
    int tally[5][5] = { { 0 } };
    all_views(ds, with((tare_augment){ .shift = 2 }), 0, views);
    for (int i = 0; i < COUNT; i++) {
        assert_false(views[i].flip);
        assert_in_range(views[i].top + 2, 0, 4);
        assert_in_range(views[i].left + 2, 0, 4);
        tally[views[i].top + 2][views[i].left + 2]++;
    }
    for (int i = 0; i < 25; i++) { assert_even(tally[i / 5][i % 5], COUNT, 1.0 / 25); }
    tare_dataset_free(ds);
}

static void test_crop(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(COUNT, 9, SIDE);
    int tally[5][3] = { { 0 } };
    tare_loader_opt opt = with((tare_augment){ .crop = true });
    opt.height = 5;
    opt.width = 6;
    all_views(ds, opt, 0, views);
    for (int i = 0; i < COUNT; i++) { tally[views[i].top][views[i].left]++; }
    for (int i = 0; i < 15; i++) { assert_even(tally[i / 3][i % 3], COUNT, 1.0 / 15); }
    opt.augment.crop = false;
    all_views(ds, opt, 0, views);
    for (int i = 0; i < COUNT; i++) { assert_true(views[i].top == 2 && views[i].left == 1); }
    tare_dataset_free(ds);
}

/* A crop of one axis, padding of the other, shift and flip at once: still a window. */
static void test_all_at_once(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(500, SIDE, SIDE);
    tare_loader_opt opt = with((tare_augment){ .flip = true, .shift = 3, .crop = true });
    opt.height = 5;
    opt.width = 12;
    all_views(ds, opt, 0, views);
    for (int i = 0; i < 500; i++) {
        assert_in_range(views[i].top + 3, 0, 9);
        assert_in_range(views[i].left + 2 + 3, 0, 6);
    }
    tare_dataset_free(ds);
}

static void test_options_do_not_disturb_each_other(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(300, SIDE, SIDE);
    static view flips[300], shifts[300];
    all_views(ds, with((tare_augment){ .flip = true, .shift = 2 }), 3, views);
    all_views(ds, with((tare_augment){ .flip = true }), 3, flips);
    all_views(ds, with((tare_augment){ .shift = 2 }), 3, shifts);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(views[i].flip, flips[i].flip);
        assert_true(views[i].top == shifts[i].top && views[i].left == shifts[i].left);
    }
    tare_dataset_free(ds);
}

/* The same whatever the threads, the batch size, the order and what was drawn before; another seed gives others. */
static void test_fixed_by_seed_epoch_and_sample(void **state) {
    (void)state;
    tare_dataset *ds = make_maps(300, SIDE, SIDE);
    tare_loader_opt opt = with((tare_augment){ .flip = true, .shift = 2 });
    tare_threads_set(1);
    all_views(ds, opt, 2, views);
    opt.shuffle = true;
    opt.batch = 33;
    opt.limit = 299;
    tare_threads_set(2);
    for (int i = 0; i < 300; i++) { more[i] = views[i]; }
    all_views(ds, opt, 2, more);
    tare_threads_set(0);
    int differ = 0;
    for (int i = 0; i < 300; i++) {
        assert_true(views[i].top == more[i].top && views[i].left == more[i].left && views[i].flip == more[i].flip);
    }
    opt.seed++;
    all_views(ds, opt, 2, more);
    for (int i = 0; i < 300; i++) { differ += views[i].top != more[i].top || views[i].left != more[i].left; }
    assert_true(differ > 250);
    tare_dataset_free(ds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_shift),
        cmocka_unit_test(test_crop),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_options_do_not_disturb_each_other),
        cmocka_unit_test(test_fixed_by_seed_epoch_and_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
