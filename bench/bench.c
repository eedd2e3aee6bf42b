/* bench.c - what the workloads share: finding one, its data, an update. */
#include "bench.h"

#include <string.h>

const bench_workload *bench_at(int index) {
    const bench_workload *const families[] = { bench_mlp,  bench_mnist_cnn, bench_norm_cnn, bench_resnet20,
                                               bench_gpt,  bench_sngan,     bench_lstm,     bench_norms,
                                               bench_conv, bench_batches,   bench_depths };
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        for (const bench_workload *w = families[f]; w->name; w++) {
            if (index-- == 0) { return w; }
        }
    }
    return NULL;
}

const bench_workload *bench_find(const char *name) {
    const bench_workload *w;
    for (int i = 0; (w = bench_at(i)) && strcmp(w->name, name) != 0; i++) {}
    return w;
}

tare_status bench_open(bench *b, const bench_workload *w) {
    *b = (bench){ .workload = w };
    b->tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = 1 });
    for (int n = 0; n < BENCH_NETS; n++) { b->params[n] = tare_params_new(1); }
    if (!b->tape || !b->params[0] || !b->params[1]) { return TARE_ENOMEM; }
    tare_status made = w->make(b);
    if (made != TARE_OK) { return made; }
    for (int n = 0; n < BENCH_NETS; n++) {
        tare_status s = tare_params_status(b->params[n]);
        if (s != TARE_OK) { return tare_fail(s, "%s", tare_params_error(b->params[n])); }
    }
    return TARE_OK;
}

void bench_close(bench *b) {
    for (int i = 0; i < BENCH_BATCHES; i++) {
        tare_free(b->x[i]);
        tare_free(b->index[i]);
        tare_free(b->target[i]);
    }
    for (int n = 0; n < BENCH_NETS; n++) {
        tare_optim_free(b->optim[n]);
        tare_params_free(b->params[n]);
    }
    tare_free(b->scratch);
    tare_tape_free(b->tape);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static int32_t *classes_new(tare_rng *rng, int64_t n, int64_t classes) {
    int32_t *to = tare_malloc((size_t)n * sizeof *to);
    for (int64_t i = 0; to && i < n; i++) { to[i] = (int32_t)tare_rng_below(rng, (uint64_t)classes); }
    return to;
}

tare_status bench_images(bench *b, tare_shape shape, int64_t targets, int64_t classes) {
    tare_rng rng = tare_rng_new(1, "bench");
    int64_t numel = tare_shape_numel(shape);
    b->input = shape;
    for (int p = 0; p < BENCH_BATCHES; p++) {
        b->x[p] = tare_malloc((size_t)numel * sizeof(tare_real));
        if (!b->x[p]) { return TARE_ENOMEM; }
        tare_rng_fill_uniform(&rng, -1, 1, numel, b->x[p]);
        if (targets > 0 && !(b->target[p] = classes_new(&rng, targets, classes))) { return TARE_ENOMEM; }
    }
    return TARE_OK;
}

tare_status bench_text(bench *b, int64_t batch, int64_t length, int64_t symbols, bool steps_first) {
    tare_rng rng = tare_rng_new(1, "bench");
    int64_t numel = batch * length, far = steps_first ? batch : 1;
    b->input = steps_first ? TARE_SHAPE(length, batch) : TARE_SHAPE(batch, length);
    for (int p = 0; p < BENCH_BATCHES; p++) {
        b->index[p] = classes_new(&rng, numel, symbols);
        b->target[p] = classes_new(&rng, numel, symbols);
        if (!b->index[p] || !b->target[p]) { return TARE_ENOMEM; }
        /* The target is the next symbol, where the sequence has one. */
        for (int64_t i = 0; i < numel; i++) {
            int64_t t = steps_first ? i / batch : i % length;
            if (t + 1 < length) { b->target[p][i] = b->index[p][i + far]; }
        }
    }
    return TARE_OK;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

tare_status bench_update(bench *b, int n, tare_tensor *loss) {
    if (!b->optim[n]) { return TARE_ENOMEM; }
    if (b->look) { b->look(b->tape, b->context); }
    b->loss = tare_item(loss);
    tare_params_zero_grad(b->params[n]);
    tare_status s = tare_backward(b->tape, loss);
    return s == TARE_OK ? tare_optim_step(b->optim[n]) : s;
}

tare_status bench_classify(bench *b, int64_t i) {
    int64_t p = i % BENCH_BATCHES;
    tare_tape_reset(b->tape);
    tare_tensor *logits = tare_forward(b->net[0], b->tape, tare_input_view(b->tape, b->input, b->x[p]));
    return bench_update(b, 0, tare_cross_entropy(b->tape, logits, b->target[p], (tare_cross_entropy_opt){ 0 }));
}
