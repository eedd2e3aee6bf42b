/* test_rng.c - the random numbers: Philox's published answers, streams that do not touch, distributions as promised.
 * tare-test: isa */
#include "testing_support.h"

#include <math.h>

/* Known answers of philox4x32-10 from Random123 1.14 (tests/kat_vectors): counter, key, result. */
static void philox_as_published(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const uint32_t *c = known[i].counter, *k = known[i].key;
        tare_rng rng = { .key = (uint64_t)k[1] << 32 | k[0], .stream = (uint64_t)c[3] << 32 | c[2] };
        uint32_t out[4];
        tare_rng_block(rng, (uint64_t)c[1] << 32 | c[0], out);
        assert_memory_equal(out, known[i].want, sizeof out);
    }
}

/* A run made by one version must be repeatable by the next: these numbers never change. */
static void streams_stay_what_they_are(void **state) {
    (void)state;
    tare_rng init = tare_rng_new(42, "init"), item = tare_rng_split(tare_rng_new(42, "order"), 3);
    assert_int_equal(tare_rng_u32(&init), 0x9a46c660u);
    assert_int_equal(tare_rng_u32(&item), 0x438e8052u);
    tare_rng name = tare_rng_split_name(tare_rng_new(42, "init"), "conv1.weight");
    assert_int_equal(tare_rng_u32(&name), 0xd507b21eu);
}

static void the_struct_is_the_whole_state(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(7, "order"), copy;
    for (int i = 0; i < 5; i++) { (void)tare_rng_normal(&rng); }
    copy = rng;
    for (int i = 0; i < 100; i++) {
        assert_true(tare_rng_uniform(&rng) == tare_rng_uniform(&copy));
        assert_true(tare_rng_below(&rng, 10) == tare_rng_below(&copy, 10));
    }
    assert_int_equal(rng.counter, copy.counter);
    /* Each draw takes one block; splitting takes none, and starts at 0. */
    uint64_t before = rng.counter;
    (void)tare_rng_u32(&rng), (void)tare_rng_uniform(&rng), (void)tare_rng_normal(&rng);
    assert_int_equal(rng.counter, before + 3);
    assert_int_equal(tare_rng_split(rng, 1).counter, 0);
    assert_int_equal(rng.counter, before + 3);
}

static void streams_do_not_touch(void **state) {
    (void)state;
    enum { N = 4096 };
    static uint64_t seen[N];
    const char *purpose[] = { "init", "order", "dropout", "augment" };
    int n = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        for (size_t p = 0; p < 4; p++) {
            for (uint64_t id = 0; id < N / 16; id++) {
                tare_rng rng = tare_rng_split(tare_rng_new(seed, purpose[p]), id);
                uint32_t word[4];
                tare_rng_block(rng, 0, word);
                seen[n++] = (uint64_t)word[1] << 32 | word[0];
            }
        }
    }
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < i; k++) { assert_true(seen[i] != seen[k]); }
    }
    /* Neighbouring streams, and neighbouring seeds, are uncorrelated: |r| < 4 / sqrt(n). */
    enum { DRAWS = 20000 };
    tare_rng a = tare_rng_split(tare_rng_new(1, "x"), 0), b = tare_rng_split(tare_rng_new(1, "x"), 1);
    tare_rng c = tare_rng_split(tare_rng_new(2, "x"), 0);
    double ab = 0, ac = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = tare_rng_normal(&a);
        ab += x * tare_rng_normal(&b) / DRAWS;
        ac += x * tare_rng_normal(&c) / DRAWS;
    }
    assert_near(ab, 0, 4 / sqrt(DRAWS));
    assert_near(ac, 0, 4 / sqrt(DRAWS));
}

static void order_of_splits_does_not_matter(void **state) {
    (void)state;
    tare_rng root = tare_rng_new(3, "dropout");
    tare_rng early = tare_rng_split(root, 17);
    for (uint64_t i = 0; i < 17; i++) { (void)tare_rng_split(root, i); }
    (void)tare_rng_u32(&root);
    tare_rng late = tare_rng_split(root, 17);
    assert_int_equal(early.key, late.key);
    assert_int_equal(early.stream, late.stream);
}

static void uniform_is_uniform(void **state) {
    (void)state;
    enum { N = 200000, BINS = 64 };
    tare_rng rng = tare_rng_new(11, "uniform");
    int64_t bin[BINS] = { 0 };
    double mean = 0, square = 0;
    bool fine = false;
    for (int i = 0; i < N; i++) {
        double u = tare_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        fine = fine || u != (double)(float)u; /* more than float's 24 bits */
        bin[(int)(u * BINS)]++;
        mean += u / N;
        square += u * u / N;
    }
    assert_true(fine);
    assert_near(mean, 0.5, 4 * sqrt(1.0 / 12 / N));
    assert_near(square - mean * mean, 1.0 / 12, 0.001);
    double chi2 = 0;
    for (int i = 0; i < BINS; i++) { chi2 += pow((double)bin[i] - (double)N / BINS, 2) / ((double)N / BINS); }
    assert_true(chi2 > 63 - 5 * sqrt(126) && chi2 < 63 + 5 * sqrt(126)); /* 63 degrees of freedom */
}

static void normal_is_normal(void **state) {
    (void)state;
    enum { N = 200000 };
    tare_rng rng = tare_rng_new(12, "normal");
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    int within1 = 0, beyond3 = 0;
    for (int i = 0; i < N; i++) {
        double z = tare_rng_normal(&rng);
        assert_true(isfinite(z));
        m1 += z / N, m2 += z * z / N, m3 += z * z * z / N, m4 += z * z * z * z / N;
        within1 += fabs(z) < 1;
        beyond3 += fabs(z) > 3;
    }
    assert_near(m1, 0, 4 / sqrt(N));
    assert_near(m2, 1, 4 * sqrt(2.0 / N));
    assert_near(m3, 0, 4 * sqrt(15.0 / N));
    assert_near(m4, 3, 4 * sqrt(96.0 / N));
    assert_near((double)within1 / N, 0.6827, 0.005);
    assert_near((double)beyond3 / N, 0.0027, 0.0006);
}

static void below_is_unbiased(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(13, "below");
    int64_t count[7] = { 0 };
    for (int i = 0; i < 70000; i++) {
        uint64_t v = tare_rng_below(&rng, 7);
        assert_true(v < 7);
        count[v]++;
    }
    for (int i = 0; i < 7; i++) { assert_near(count[i], 10000, 4 * 100); }
    for (int i = 0; i < 100; i++) { assert_int_equal(tare_rng_below(&rng, 1), 0); }
    /* With n = 3 * 2^62 a remainder of 64 bits would fall into the first third half of the time. */
    const uint64_t third = (uint64_t)1 << 62;
    int first = 0;
    for (int i = 0; i < 30000; i++) { first += tare_rng_below(&rng, 3 * third) < third; }
    assert_near(first, 10000, 400);
    assert_true(tare_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

static int permutation_rank(const uint32_t *p) {
    int rank = 0;
    for (int i = 0; i < 4; i++) {
        int smaller = 0;
        for (int k = i + 1; k < 4; k++) { smaller += p[k] < p[i]; }
        rank = rank * (4 - i) + smaller;
    }
    return rank;
}

static void shuffle_gives_every_order_alike(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(14, "order");
    int64_t count[24] = { 0 };
    for (int i = 0; i < 24000; i++) {
        uint32_t p[4] = { 0, 1, 2, 3 };
        tare_rng_shuffle(&rng, p, 4);
        assert_int_equal(1u << p[0] | 1u << p[1] | 1u << p[2] | 1u << p[3], 15);
        count[permutation_rank(p)]++;
    }
    for (int i = 0; i < 24; i++) { assert_near(count[i], 1000, 4.5 * sqrt(1000)); }
    uint32_t one = 9;
    tare_rng_shuffle(&rng, &one, 1);
    tare_rng_shuffle(&rng, NULL, 0);
    assert_int_equal(one, 9);
}

/* Many at once: what single draws give, from any place of the stream, into a strip's end and beyond a thread's share. */
static void a_fill_is_as_many_draws(void **state) {
    (void)state;
    static tare_real filled[9001];
    for (int normal = 0; normal < 2; normal++) {
        for (int64_t n = 1; n <= 9001; n = 9 * n + (n == 1) + 100) {
            tare_rng rng = tare_rng_new(3, "init"), single;
            rng.counter = UINT32_MAX - 70; /* so that the index passes 32 bits */
            single = rng;
            filled[n - 1] = 0;
            (normal ? tare_rng_fill_normal : tare_rng_fill_uniform)(&rng, 0.25, 3, n, filled);
            for (int64_t i = 0; i < n; i++) {
                double want = normal ? 0.25 + 3 * tare_rng_normal(&single) : 0.25 + 2.75 * tare_rng_uniform(&single);
                assert_true(filled[i] == (tare_real)want);
            }
            assert_int_equal(rng.counter, single.counter);
        }
    }
    tare_rng rng = tare_rng_new(3, "init");
    tare_rng_fill_uniform(&rng, 0, 1, 0, NULL);
    assert_int_equal(rng.counter, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_as_published),
        cmocka_unit_test(streams_stay_what_they_are),
        cmocka_unit_test(the_struct_is_the_whole_state),
        cmocka_unit_test(a_fill_is_as_many_draws),
        cmocka_unit_test(streams_do_not_touch),
        cmocka_unit_test(order_of_splits_does_not_matter),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(normal_is_normal),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(shuffle_gives_every_order_alike),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
