/* test_program_gan.c - tare gan from end to end: points and small pictures, resuming, stopping, drawing, bad input. */
#include "run_folder.h"

#include <tare/gan.h>

#include "data_fixtures.h"

#include <dirent.h>

#define QUICK    "--data ring8 --width 32 --batch 64 --seed 3 --threads 1 "
#define PICTURES "--data %s/data --width 4 --z-dim 8 --batch 16 --eval-samples 64 --seed 3 --threads 1 "

/* ---- data: five classes, each a bright stripe at its own height ------------------------------------------------------ */

enum { SIZE = 12, CLASSES = 5 };

static void draw(tare_rng *rng, int label, uint8_t *pixels) {
    for (int i = 0; i < SIZE * SIZE; i++) { pixels[i] = (uint8_t)tare_rng_below(rng, 60); }
    for (int x = 0; x < SIZE; x++) { pixels[(2 * label + 1) * SIZE + x] = (uint8_t)(150 + tare_rng_below(rng, 100)); }
}

static void write_idx(const char *dir, const char *images, const char *labels, int n) {
    tare_rng rng = tare_rng_new(5, images);
    buffer x = idx_images((uint32_t)n, SIZE, SIZE), y = idx_labels((uint32_t)n, CLASSES);
    for (int i = 0; i < n; i++) { draw(&rng, i % CLASSES, x.data + 16 + i * SIZE * SIZE); }
    write_buffer(dir, images, &x);
    write_buffer(dir, labels, &y);
}

/* Pictures in colour without any class. */
static void write_colours(const char *dir, int n) {
    uint8_t pixels[3 * 10 * 9];
    for (int i = 0; i < n; i++) {
        char name[32];
        for (size_t k = 0; k < sizeof pixels; k++) { pixels[k] = pixel_at((int64_t)k + 17 * i); }
        snprintf(name, sizeof name, "p%02d.png", i);
        assert_ok(tare_image_save(test_path(dir, name), pixels, 3, 10, 9));
    }
}

static int make_data(void **state) {
    (void)state;
    work = test_dir_new();
    const char *dir = make_dir(work, "data");
    write_idx(dir, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 300);
    write_idx(dir, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 100);
    write_colours(make_dir(work, "colours"), 20);
    return setenv("XDG_CACHE_HOME", make_dir(work, "cache"), 1);
}

static int remove_data(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

/* ---- points -------------------------------------------------------------------------------------------------------- */

static void test_ring(void **state) {
    (void)state;
    const char *folder = place("ring");
    const outcome *o = run("tare-gan --data ring8 --steps 600 --seed 1 --threads 1 --d-norm sn:iterations=50 --lr-g "
                           "1e-3 --lr-d 1e-3 --out %s",
                           folder);
    assert_code(0, o);
    assert_contains(o->out, "8 Gaussians on a ring");
    assert_contains(o->out, "of 8 modes");
    assert_null(strchr(o->out, '\r')); /* no bar where there is no terminal */
    assert_null(strchr(o->out, '\033'));
    double modes = metric(folder, "end", "modes_hit");
    if (!(modes >= 6)) { fail_msg("%g modes of 8", modes); }
    assert_true(metric(folder, "end", "coverage") == modes / 8);
    assert_true(metric(folder, "eval", "spread") > 0.5);
    assert_true(isnan(metric(folder, "eval", "frechet"))); /* no number where there is none */
    int64_t c, h, w;
    assert_ok(tare_image_size(place("ring/samples/step-000600.png"), &c, &h, &w));
    assert_int_equal(count_of(folder, "{\"event\":\"sample\""), 3);
    assert_int_equal(count_of(folder, "{\"event\":\"train\""), 12);
    assert_int_equal(count_of(folder, "\"layer\":\"d.fc\",\"sigma\":"), 3);
    double sigma = metric(folder, "eval", "d_sigma");
    if (!(fabs(sigma - 1) < 0.01)) { fail_msg("sigma %g with spectral norm", sigma); }
}

static void test_grid_of_every_kind(void **state) {
    (void)state;
    static const char *const specs[] = {
        "--data grid25 --loss logistic --g-norm none --d-norm none",
        "--data ring8 --loss least_squares --g-norm ln --d-norm wn+ln",
        "--data ring8 --loss wasserstein --clip-weights 0.05 --n-dis 3 --d-norm none",
        "--data ring8 --g-norm sn+bn --d-norm sn:iterations=3 --ema 0",
        "--data grid25 --classes --g-norm ln --d-norm sn --minibatch-stddev",
        "--data ring8 --d-norm ln --gp 10 --loss wasserstein",
        "--data ring8 --d-norm sn --r1 1 --classes",
    };
    for (int i = 0; i < 7; i++) {
        const outcome *o = run("tare-gan %s --steps 6 --sample-every 3 --batch 32 --width 16 --out %s --force",
                               specs[i], place("kinds"));
        assert_code(0, o);
        assert_true(isfinite(metric(place("kinds"), "end", "d_loss")));
    }
}

/* In the last number of each file in the folder. */
static void turn_a_bit(const char *folder) {
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (const struct dirent *e; (e = readdir(stream));) {
        if (e->d_name[0] == '.') { continue; }
        FILE *f = fopen(test_path(folder, e->d_name), "r+b");
        assert_non_null(f);
        assert_int_equal(fseek(f, -4, SEEK_END), 0);
        int byte = fgetc(f);
        assert_int_equal(fseek(f, -4, SEEK_END), 0);
        assert_true(fputc(byte ^ 1, f) >= 0);
        assert_int_equal(fclose(f), 0);
    }
    closedir(stream);
}

/* --seconds ends between two looks, looks then, and goes on when there is more time. */
static void test_seconds(void **state) {
    (void)state;
    const char *folder = place("seconds");
    assert_code(0, run("tare-gan --data ring8 --batch 32 --width 16 --steps 1000000 --sample-every 1000000 --seconds "
                       "0.2 --out %s",
                       folder));
    double step = metric(folder, "end", "step");
    assert_true(metric(folder, "end", "seconds") >= 0.2 && step > 0 && step < 1e6);
    assert_true(metric(folder, "eval", "step") == step && isfinite(metric(folder, "end", "modes_hit")));
    const outcome *o = run("tare-gan --resume %s", folder);
    assert_code(0, o);
    assert_contains(o->out, "--seconds S adds more");
    assert_true(metric(folder, "end", "step") == step && isfinite(metric(folder, "end", "modes_hit")));
    assert_code(0, run("tare-gan --resume %s --seconds 0.3", folder));
    assert_true(metric(folder, "end", "step") > step && metric(folder, "end", "seconds") >= 0.3);
}

/* ---- pictures ------------------------------------------------------------------------------------------------------ */

static void test_pictures(void **state) {
    (void)state;
    const char *folder = place("pictures");
    const outcome *o = run("tare-gan " PICTURES "--steps 40 --sample-every 20 --out %s", work, folder);
    assert_code(0, o);
    assert_contains(o->out, "training a small classifier");
    assert_contains(o->out, "kept in");
    assert_true(metric(folder, "end", "frechet") > 0);
    assert_true(metric(folder, "end", "inception_score") >= 1);
    assert_true(metric(folder, "end", "best") <= metric(folder, "end", "frechet"));
    assert_true(isfinite(metric(folder, "end", "classes_hit")));
    assert_true(isnan(metric(folder, "end", "high_quality")));
    int64_t c, h, w;
    assert_ok(tare_image_size(place("pictures/samples/step-000040.png"), &c, &h, &w));
    assert_int_equal(c, 1);
    assert_int_equal(w, 8 * (2 * 16 + 2) + 2); /* 12 x 12 in black 16 x 16, twice as large, 8 to a row */
    assert_true(exists(place("pictures/samples/interpolation.png")));

    /* the same data again: the classifier is there, and judges the same */
    o = run("tare-gan " PICTURES "--steps 40 --sample-every 20 --out %s/again", work, work);
    assert_code(0, o);
    assert_null(strstr(o->out, "training a small classifier"));
    assert_true(metric(folder, "end", "frechet") == metric(place("again"), "end", "frechet"));

    /* a bit of the kept one turned: it is trained anew, and judges the same */
    turn_a_bit(place("cache/tare"));
    o = run("tare-gan --eval %s", folder);
    assert_code(0, o);
    assert_contains(o->out, "training a small classifier");
    assert_contains(o->out, "Frechet distance");
    assert_contains(o->out, "measured on 64 samples");
}

/* Colour, no classes: nothing to judge by but how different the samples are. Other ways to double a picture. */
static void test_folder_of_colours(void **state) {
    (void)state;
    static const char *const ways[] = { "nearest", "bilinear" };
    for (int i = 0; i < 2; i++) {
        const char *folder = place(ways[i]);
        assert_code(0,
                    run("tare-gan --data %s/colours --size 16 --width 4 --batch 8 --g-norm in --upsample %s --steps 4 "
                        "--eval-samples 32 --out %s",
                        work, ways[i], folder));
        assert_true(metric(folder, "end", "spread") >= 0);
        assert_true(isnan(metric(folder, "end", "frechet")));
        assert_true(isnan(metric(folder, "end", "coverage")));
        const outcome *o = run("tare-gan --eval %s --sample 5 --png %s/five.png", folder, work);
        assert_code(0, o);
        int64_t c, h, w;
        assert_ok(tare_image_size(place("five.png"), &c, &h, &w));
        assert_int_equal(c, 3);
        assert_int_equal(w, 3 * (2 * 16 + 2) + 2);
        assert_int_equal(h, 2 * (2 * 16 + 2) + 2);
    }
}

/* ---- resuming ------------------------------------------------------------------------------------------------------ */

static void assert_same_end(const char *a, const char *b) {
    static const char *const names[] = { "d_loss",       "g_loss", "frechet",         "coverage",
                                         "high_quality", "best",   "inception_score", "spread" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        double x = metric(a, "end", names[i]), y = metric(b, "end", names[i]);
        if (!(x == y || (isnan(x) && isnan(y)))) { fail_msg("%s: %.17g and %.17g", names[i], x, y); }
    }
}

/* Both nets, both optimizers, the average, statistics, singular vectors, sums between two events: to the last bit. */
static void test_resume(void **state) {
    (void)state;
    static const char *const specs[] = { "--g-norm sn+bn --d-norm sn+bn --ema 0.9",
                                         "--g-norm in --n-dis 2 --ema 0 --classes --minibatch-stddev --gp 10" };
    for (int i = 0; i < 2; i++) {
        const char *whole = place(i ? "whole1" : "whole0"), *parts = place(i ? "parts1" : "parts0");
        const char *common = "--sample-every 15";
        assert_code(0, run("tare-gan " PICTURES "%s %s --steps 70 --out %s", work, specs[i], common, whole));
        assert_code(0, run("tare-gan " PICTURES "%s %s --steps 30 --out %s", work, specs[i], common, parts));
        const outcome *o = run("tare-gan --resume %s --steps 70 --threads 2", parts);
        assert_code(0, o);
        assert_contains(o->out, "going on after step 30");
        assert_same_model(whole, parts);
        assert_same_end(whole, parts);
    }
}

static void test_resume_after_signal(void **state) {
    (void)state;
    const char *folder = place("stopped"), *whole = place("unstopped");
    char line[16384];
    snprintf(line, sizeof line, "tare-gan " QUICK "--ema 0.99 --sample-every 1000 --steps 100000 --out %s", folder);
    pid_t child = spawn(&(start){ .out = place("s.txt"), .err = place("e.txt") }, line);
    assert_true(wait_for(test_path(folder, "metrics.jsonl"), "\"step\":50,"));
    kill(child, SIGINT);
    assert_int_equal(wait_code(child), 130);
    char said[16384];
    read_text(place("s.txt"), said, sizeof said);
    assert_contains(said, "go on with:  tare gan --resume");
    int64_t steps = (int64_t)metric(folder, "stop", "step");
    assert_true(steps >= 50);
    assert_code(0, run("tare-gan --resume %s --steps %lld", folder, (long long)steps + 20));
    assert_code(
        0, run("tare-gan " QUICK "--ema 0.99 --sample-every 1000 --steps %lld --out %s", (long long)steps + 20, whole));
    assert_same_model(folder, whole);
    assert_same_end(folder, whole);
    assert_code(0, run("tare-gan --resume %s", folder)); /* nothing left to do */
    assert_same_model(folder, whole);
}

/* ---- who is frozen ------------------------------------------------------------------------------------------------- */

/* The tensor as the runs in two folders left it. */
static bool same_tensor(const char *a, const char *b, const char *name) {
    tare_reader *x = NULL, *y = NULL;
    assert_ok(tare_reader_open(test_path(a, "last.safetensors"), &x));
    assert_ok(tare_reader_open(test_path(b, "last.safetensors"), &y));
    const tare_entry *e = tare_reader_find(x, name), *f = tare_reader_find(y, name);
    assert_non_null(e);
    assert_non_null(f);
    bool same = memcmp(e->data, f->data, (size_t)e->numel * sizeof(tare_real)) == 0;
    tare_reader_free(x);
    tare_reader_free(y);
    return same;
}

/* With rates of 0 a singular vector tells how often its player learned: four forwards of D in two steps as in one with two
 * updates of D, and one of G however often D learns. */
static void test_the_other_player_is_frozen(void **state) {
    (void)state;
    static const char *const runs[][2] = { { "frozen2", "--steps 2" }, { "frozen1", "--steps 1 --n-dis 2" } };
    char two[512], one[512];
    snprintf(two, sizeof two, "%s", place(runs[0][0]));
    snprintf(one, sizeof one, "%s", place(runs[1][0]));
    for (int i = 0; i < 2; i++) {
        assert_code(0, run("tare-gan " QUICK "--g-norm sn+bn --lr-g 0 --lr-d 0 --eval-samples 16 %s --out %s",
                           runs[i][1], i ? one : two));
    }
    assert_true(same_tensor(two, one, "d.fc2.weight"));
    assert_true(same_tensor(two, one, "d.fc2.weight_u"));
    assert_false(same_tensor(two, one, "g.fc2.weight_u")); /* learned twice and once */
    assert_code(
        0, run("tare-gan " QUICK "--g-norm sn+bn --lr-g 0 --lr-d 0 --eval-samples 16 --steps 1 --out %s --force", two));
    assert_true(same_tensor(two, one, "g.fc2.weight_u"));
    assert_false(same_tensor(two, one, "d.fc2.weight_u"));
}

/* ---- collapse ------------------------------------------------------------------------------------------------------ */

static void test_collapse_is_named(void **state) {
    (void)state;
    const char *folder = place("zero");
    assert_code(0, run("tare-gan " QUICK "--d-norm none --lr-g 0 --lr-d 1e-2 --steps 400 --out %s", folder));
    assert_int_equal(count_of(folder, "\"kind\":\"d_at_zero_loss\""), 1); /* once, however long it lasts */

    folder = place("one"); /* D hardly learns, and G runs to wherever its scores are highest */
    assert_code(0, run("tare-gan " QUICK "--d-norm none --lr-g 1e-2 --lr-d 1e-6 --ema 0 --steps 400 --out %s", folder));
    assert_int_equal(count_of(folder, "\"kind\":\"one_mode\""), 1);

    folder = place("nan");
    const outcome *o = run("tare-gan " QUICK "--d-norm none --g-norm none --loss least_squares --lr-d 1e12 --lr-g 1e12 "
                           "--steps 2000 --out %s",
                           folder);
    assert_code(3, o);
    assert_contains(o->err, "step ");
    assert_int_equal(count_of(folder, "{\"event\":\"nonfinite\""), 1);
    assert_int_equal(count_of(folder, "\"kind\":\"nonfinite\""), 1);
    assert_true(exists(test_path(folder, "last.safetensors")));
}

/* ---- output, and what is refused ----------------------------------------------------------------------------------- */

static void test_quiet_json_dry(void **state) {
    (void)state;
    const outcome *o = run("tare-gan " QUICK "--steps 4 --quiet --out %s/quiet", work);
    assert_code(0, o);
    assert_string_equal(o->out, "");
    assert_string_equal(o->err, "");
    o = run("tare-gan " QUICK "--steps 4 --json --out %s/json", work);
    assert_code(0, o);
    char metrics[16384];
    read_text(place("json/metrics.jsonl"), metrics, sizeof metrics);
    assert_string_equal(o->out, metrics);
    o = run("tare-gan " QUICK "--dry-run --out %s/dry", work);
    assert_code(0, o);
    assert_contains(o->out, "MiB for a step of 64 samples");
    assert_false(exists(place("dry")));
    o = run("tare-gan --eval %s/json --json", work);
    assert_code(0, o);
    assert_contains(o->out, "{\"event\":\"test\",\"samples\":2048,\"coverage\":");
    spoil(place("json"), "best.safetensors");
    o = run("tare-gan --eval %s/json --json", work);
    assert_code(3, o);
    assert_contains(o->err, " holds nan at 0 of ");
    assert_string_equal(o->out, "");
}

/* Time and memory of both players; neither changes a weight. */
static void test_profile(void **state) {
    (void)state;
    char with[512];
    snprintf(with, sizeof with, "%s", place("profile"));
    const outcome *o = run("tare-gan " QUICK "--steps 8 --profile 3 --memory --n-dis 2 --out %s", with);
    assert_code(0, o);
    assert_contains(o->out, "memory of a step, in MiB");
    assert_contains(o->out, "\ng.fc1 ");
    assert_contains(o->out, "\nd.fc1 ");
    assert_contains(o->out, "(3 steps on 1 threads)");
    assert_contains(o->out, "\n(optimizer) ");
    const char *without = place("no_profile");
    assert_code(0, run("tare-gan " QUICK "--steps 8 --n-dis 2 --out %s", without));
    assert_true(same_tensor(with, without, "g.fc1.weight"));
    assert_true(same_tensor(with, without, "d.fc1.weight"));
    o = run("tare-gan --eval %s --memory", with);
    assert_code(2, o);
    assert_contains(o->err, "--eval makes none");
}

static void test_usage(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } bad[] = {
        { "--d-nrom sn", "did you mean" },
        { "--g-norm in", "positions" }, /* points have one value per channel */
        { "--loss hinged", "hinge" },
        { "--upsample cubic", "transpose" },
        { "--beta1 1", "beta1" },
        { "--size 20", "divisible by 8" },
        { "--batch 1 --d-norm bn", "--batch 2" },
        { "--sample 4", "--eval RUN" },
        { "--g-norm none --classes", "--classes" },
        { "--gp 1 --r1 1", "choose one" },
        { "--gp 1 --d-norm bn", "--d-norm bn" },
        { "--minibatch-stddev --batch 6", "divisible by 4" },
        { "--resume x --eval y", "choose one" },
        { "--upsample nearest", "--upsample" }, /* points are not doubled, resized, or counted */
        { "--size 64", "--size" },
        { "--limit 100", "--limit" },
        { "--batch 1", "--batch 2" }, /* batch norm in G */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const outcome *o = run("tare-gan --data ring8 --steps 2 %s --out %s/bad", bad[i].line, work);
        if (o->code != 2) { fail_msg("%s: exit code %d\n%s", bad[i].line, o->code, o->err); }
        assert_contains(o->err, bad[i].says);
    }
    const outcome *o = run("tare-gan --data %s/nowhere", work);
    assert_code(1, o);
    assert_contains(o->err, "nowhere");
    assert_contains(o->err, "ring8");
    assert_code(2, run("tare-gan --eval %s/nowhere", work));
    o = run("tare-gan --help");
    assert_code(0, o);
    for (const char *s = o->out; *s; s += strcspn(s, "\n") + 1) { assert_true(strcspn(s, "\n") <= 80); }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_grid_of_every_kind),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_folder_of_colours),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_after_signal),
        cmocka_unit_test(test_the_other_player_is_frozen),
        cmocka_unit_test(test_collapse_is_named),
        cmocka_unit_test(test_quiet_json_dry),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
