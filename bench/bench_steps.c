/* bench_steps.c - times whole training steps (forward, loss, backward, Adam):  bench_steps mlp|cnn NORM BATCH SECONDS
 * Prints the median, the 10th and the 90th percentile in milliseconds, then the peak bytes of a step. The nets are those of
 * bench/steps.py, which runs this beside PyTorch. */
#include <tare/tare.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10, POOL = 8, MOST_STEPS = 20000 };

static tare_layer *mlp(tare_params *ps, const char *norm) {
    static const int64_t width[] = { 784, 256, 128, CLASSES };
    static const char *const name[] = { "fc1", "fc2", "fc3" }, *const norm_name[] = { "norm1", "norm2" };
    tare_layer *layer[9];
    int n = 0;
    layer[n++] = tare_layer_flatten(ps, NULL);
    for (int i = 0; i < 3; i++) {
        layer[n++] = tare_layer_linear(ps, name[i], width[i], width[i + 1], (tare_layer_linear_opt){ 0 });
        if (i == 2) { break; }
        if (strcmp(norm, "none") != 0) {
            layer[n++] = tare_norm_layer(ps, norm_name[i], norm, TARE_SHAPE(width[i + 1]));
        }
        layer[n++] = tare_layer_relu(ps, NULL);
    }
    return tare_layer_sequential(ps, "mlp", layer, n);
}

static tare_layer *cnn(tare_params *ps, const char *norm) {
    static const int64_t channels[] = { 1, 32, 64, 128 };
    static const char *const scope[] = { "block1", "block2", "block3" };
    tare_layer *layer[14];
    int n = 0;
    for (int i = 0; i < 3; i++) {
        int64_t side = 28 >> i, c = channels[i + 1];
        tare_params_push(ps, scope[i]);
        layer[n++] = tare_layer_conv2d(ps, "conv", channels[i], c, 3, (tare_layer_conv2d_opt){ .pad = 1 });
        if (strcmp(norm, "none") != 0) { layer[n++] = tare_norm_layer(ps, "norm", norm, TARE_SHAPE(c, side, side)); }
        layer[n++] = tare_layer_relu(ps, NULL);
        layer[n++] = tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 });
        tare_params_pop(ps);
    }
    layer[n++] = tare_layer_flatten(ps, NULL);
    layer[n++] = tare_layer_linear(ps, "fc", 1152, CLASSES, (tare_layer_linear_opt){ 0 });
    return tare_layer_sequential(ps, "cnn", layer, n);
}

typedef struct bench {
    tare_layer *model;
    tare_params *ps;
    tare_optim *optim;
    tare_tape *tape;
    tare_real *x[POOL];
    int32_t *label[POOL];
    int64_t batch;
} bench;

static tare_status step(bench *b, int i) {
    tare_tape_reset(b->tape);
    tare_tensor *x = tare_input_view(b->tape, TARE_SHAPE(b->batch, 1, 28, 28), b->x[i % POOL]);
    tare_tensor *logits = tare_forward(b->model, b->tape, x);
    tare_tensor *loss = tare_cross_entropy(b->tape, logits, b->label[i % POOL], (tare_cross_entropy_opt){ 0 });
    tare_params_zero_grad(b->ps);
    tare_status s = tare_backward(b->tape, loss);
    return s ? s : tare_optim_step(b->optim);
}

static bool fill(bench *b) {
    tare_rng rng = tare_rng_new(1, "bench");
    for (int p = 0; p < POOL; p++) {
        b->x[p] = tare_malloc((size_t)(b->batch * 784) * sizeof(tare_real));
        b->label[p] = tare_malloc((size_t)b->batch * sizeof(int32_t));
        if (!b->x[p] || !b->label[p]) { return false; }
        for (int64_t i = 0; i < b->batch * 784; i++) { b->x[p][i] = (tare_real)tare_rng_normal(&rng); }
        for (int64_t i = 0; i < b->batch; i++) { b->label[p][i] = (int32_t)tare_rng_below(&rng, CLASSES); }
    }
    return true;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: bench_steps mlp|cnn NORM BATCH SECONDS\n");
        return 2;
    }
    bench b = { .batch = strtoll(argv[3], NULL, 10), .ps = tare_params_new(1) };
    b.model = strcmp(argv[1], "mlp") == 0 ? mlp(b.ps, argv[2]) : cnn(b.ps, argv[2]);
    b.optim = tare_adam_new(b.ps, (tare_adam_opt){ .lr = 1e-3 });
    b.tape = tare_tape_new((tare_tape_opt){ .training = true });
    static double ms[MOST_STEPS];
    int n = 0, failed = !b.model || !b.optim || !b.tape || b.batch < 1 || !fill(&b);
    for (int i = 0; !failed && i < 10; i++) { failed = step(&b, i) != TARE_OK; }
    double end = tare_clock() + strtod(argv[4], NULL);
    while (!failed && n < MOST_STEPS && (n < 10 || tare_clock() < end)) {
        double start = tare_clock();
        failed = step(&b, n) != TARE_OK;
        ms[n++] = 1e3 * (tare_clock() - start);
    }
    if (failed) {
        fprintf(stderr, "bench_steps: %s\n", tare_error());
        return 1;
    }
    qsort(ms, (size_t)n, sizeof *ms, by_size);
    printf("%.4f %.4f %.4f %zu\n", ms[n / 2], ms[n / 10], ms[n - 1 - n / 10], tare_tape_peak(b.tape));
    for (int p = 0; p < POOL; p++) {
        tare_free(b.x[p]);
        tare_free(b.label[p]);
    }
    tare_tape_free(b.tape);
    tare_optim_free(b.optim);
    tare_params_free(b.ps);
    return 0;
}
