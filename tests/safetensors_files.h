/* safetensors_files.h - files as bytes, and a small model to put into them. */
#ifndef TARE_SAFETENSORS_FILES_H
#define TARE_SAFETENSORS_FILES_H

#include "testing_support.h"

#include <tare/io.h>

#include <dirent.h>
#include <stdio.h>

typedef struct bytes {
    unsigned char data[16384];
    size_t size;
} bytes;

static inline bytes read_file(const char *path) {
    bytes b;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    b.size = fread(b.data, 1, sizeof b.data, file);
    assert_true(b.size < sizeof b.data);
    fclose(file);
    return b;
}

static inline void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fwrite(data, 1, size, file) == size);
    fclose(file);
}

static inline int files_in(const char *dir) {
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    int n = 0;
    while (readdir(folder)) { n++; }
    closedir(folder);
    return n - 2;
}

/* One layer "fc" with weight [2,3], bias [3], buffer fc.mean [3]; values from `start` upwards. */
static inline tare_params *make_model(double start) {
    tare_params *ps = tare_params_new(1);
    tare_params_push(ps, "fc");
    tare_param(ps, "weight", TARE_SHAPE(2, 3), 0);
    tare_param(ps, "bias", TARE_SHAPE(3), TARE_NO_DECAY);
    tare_buffer(ps, "mean", TARE_SHAPE(3));
    tare_params_pop(ps);
    assert_ok(tare_params_status(ps));
    const char *const names[] = { "fc.weight", "fc.bias", "fc.mean" };
    for (int i = 0; i < 3; i++) {
        tare_tensor *p = tare_params_find(ps, names[i]);
        for (int64_t j = 0; j < p->numel; j++) { p->data[j] = (tare_real)start++; }
    }
    return ps;
}

static inline void assert_model(const tare_params *ps, double start) {
    const char *const names[] = { "fc.weight", "fc.bias", "fc.mean" };
    for (int i = 0; i < 3; i++) {
        const tare_tensor *p = tare_params_find(ps, names[i]);
        for (int64_t j = 0; j < p->numel; j++) { assert_true((double)p->data[j] == start++); }
    }
}

#endif
