/* rng.c - Philox4x32-10: ten rounds of multiply and mix turn (key, stream, counter) into four random words.
 * Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3. */
#include "../kernels/philox.h"

#include <math.h>

void tare_rng_block(tare_rng rng, uint64_t index, uint32_t out[4]) {
    const uint32_t M0 = 0xD2511F53u, M1 = 0xCD9E8D57u, W0 = 0x9E3779B9u, W1 = 0xBB67AE85u;
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)rng.stream, c3 = (uint32_t)(rng.stream >> 32);
    uint32_t k0 = (uint32_t)rng.key, k1 = (uint32_t)(rng.key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += W0;
        k1 += W1;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A block of another key's generator makes a well-mixed name for the stream. */
static uint64_t mix(uint64_t key, uint64_t value) {
    uint32_t word[4];
    tare_rng_block((tare_rng){ .key = key, .stream = 0x7461726573706C69u }, value, word);
    return (uint64_t)word[1] << 32 | word[0];
}

tare_rng tare_rng_split(tare_rng rng, uint64_t id) { return (tare_rng){ rng.key, mix(rng.stream, id), 0 }; }

tare_rng tare_rng_split_name(tare_rng rng, const char *name) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = name; *c; c++) { hash = (hash ^ (uint8_t)*c) * 1099511628211u; }
    return tare_rng_split(rng, hash);
}

tare_rng tare_rng_new(uint64_t seed, const char *purpose) {
    return tare_rng_split_name((tare_rng){ .key = seed }, purpose);
}

uint32_t tare_rng_u32(tare_rng *rng) {
    uint32_t word[4];
    tare_rng_block(*rng, rng->counter++, word);
    return word[0];
}

static double to_uniform(uint32_t high, uint32_t low) { return (double)((uint64_t)high << 21 | low >> 11) * 0x1p-53; }

double tare_rng_uniform(tare_rng *rng) {
    uint32_t word[4];
    tare_rng_block(*rng, rng->counter++, word);
    return to_uniform(word[0], word[1]);
}

/* Box and Muller 1958, of whose two values one is taken. */
static double to_normal(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3) {
    const double two_pi = 6.283185307179586476925;
    double u = 1 - to_uniform(w0, w1); /* (0, 1]: its logarithm is finite */
    return sqrt(-2 * log(u)) * cos(two_pi * to_uniform(w2, w3));
}

double tare_rng_normal(tare_rng *rng) {
    uint32_t word[4];
    tare_rng_block(*rng, rng->counter++, word);
    return to_normal(word[0], word[1], word[2], word[3]);
}

uint64_t tare_rng_below(tare_rng *rng, uint64_t n) {
    uint64_t limit = UINT64_MAX - UINT64_MAX % n; /* beyond it the remainders would be biased */
    for (;;) {
        uint32_t word[4];
        tare_rng_block(*rng, rng->counter++, word);
        uint64_t value = (uint64_t)word[1] << 32 | word[0];
        if (value < limit) { return value % n; }
    }
}

void tare_rng_shuffle(tare_rng *rng, uint32_t *index, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)tare_rng_below(rng, (uint64_t)i + 1);
        uint32_t swap = index[i];
        index[i] = index[j];
        index[j] = swap;
    }
}

/* ---- many at once ------------------------------------------------------------------------------------------------ */

enum {
    STRIP = TARE__PHILOX_BLOCKS,
    GRAIN = 64
}; /* values whose words are drawn together, strips that a thread takes */

typedef struct fill {
    tare_rng rng;
    int64_t n;
    double from, factor;
    bool normal;
    tare_real *to;
} fill;

static void fill_strips(void *context, int64_t begin, int64_t end) {
    const fill *f = context;
    uint32_t w[4][STRIP];
    for (int64_t at = begin * STRIP; at < end * STRIP && at < f->n; at += STRIP) {
        int64_t n = f->n - at < STRIP ? f->n - at : STRIP;
        tare_real *to = f->to + at;
        tare__kernels()->philox(f->rng, f->rng.counter + (uint64_t)at, w);
        for (int64_t i = 0; i < n; i++) {
            double x = f->normal ? to_normal(w[0][i], w[1][i], w[2][i], w[3][i]) : to_uniform(w[0][i], w[1][i]);
            to[i] = (tare_real)(f->from + f->factor * x);
        }
    }
}

static void fill_all(tare_rng *rng, int64_t n, fill f) {
    f.rng = *rng;
    f.n = n;
    tare_parallel_for((n + STRIP - 1) / STRIP, GRAIN, fill_strips, &f);
    rng->counter += (uint64_t)n;
}

void tare_rng_fill_uniform(tare_rng *rng, double lo, double hi, int64_t n, tare_real *to) {
    fill_all(rng, n, (fill){ .from = lo, .factor = hi - lo, .to = to });
}

void tare_rng_fill_normal(tare_rng *rng, double mean, double std, int64_t n, tare_real *to) {
    fill_all(rng, n, (fill){ .from = mean, .factor = std, .normal = true, .to = to });
}
