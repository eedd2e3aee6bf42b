/* mnist_stripes.h - small data for the tests of tare mnist: five classes, each a bright stripe at its own height, in noise. */
#ifndef TARE_MNIST_STRIPES_H
#define TARE_MNIST_STRIPES_H

#include "data_fixtures.h"
#include "run_folder.h"

/* Commands share this: few images, few steps, everything random switched on. */
#define SMALL "--data %s/data --batch 20 --seed 3 --threads 1 "

enum { SIZE = 12, CLASSES = 5, TRAIN = 301, TEST = 100 };

static inline void draw(tare_rng *rng, int label, uint8_t *pixels) {
    for (int i = 0; i < SIZE * SIZE; i++) { pixels[i] = (uint8_t)tare_rng_below(rng, 100); }
    for (int x = 0; x < SIZE; x++) { pixels[(2 * label + 1) * SIZE + x] = (uint8_t)(100 + tare_rng_below(rng, 150)); }
}

static inline void write_idx(const char *dir, const char *images, const char *labels, int n) {
    tare_rng rng = tare_rng_new(5, images);
    buffer x = { .size = 0 }, y = { .size = 0 };
    put_big32(&x, 0x0803);
    put_big32(&x, (uint32_t)n);
    put_big32(&x, SIZE);
    put_big32(&x, SIZE);
    put_big32(&y, 0x0801);
    put_big32(&y, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        uint8_t pixels[SIZE * SIZE];
        draw(&rng, i % CLASSES, pixels);
        put(&x, pixels, sizeof pixels);
        put_byte(&y, i % CLASSES);
    }
    write_buffer(dir, images, &x);
    write_buffer(dir, labels, &y);
}

static inline int make_data(void **state) {
    (void)state;
    work = test_dir_new();
    const char *dir = make_dir(work, "data");
    write_idx(dir, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", TRAIN);
    write_idx(dir, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", TEST);
    return 0;
}

static inline int remove_data(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

#endif
