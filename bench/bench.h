/* bench.h - what the workloads share. A workload is a model with its data and one training step, or a single layer and a pass
 * through it; bench_steps.c times it, and torch_workloads.py has its twin in PyTorch under the same name. */
#ifndef BENCH_H
#define BENCH_H

#include <tare/tare.h>

enum { BENCH_BATCHES = 8, BENCH_NETS = 2 };

typedef struct bench_workload bench_workload;

/* A workload at work: at most two nets (a GAN has two), and batches that are gone through again and again. */
typedef struct bench {
    const bench_workload *workload;
    tare_params *params[BENCH_NETS];
    tare_layer *net[BENCH_NETS];
    tare_optim *optim[BENCH_NETS];
    tare_tape *tape;
    tare_shape input;            /* of x */
    tare_real *x[BENCH_BATCHES]; /* NULL where the input is `index` */
    int32_t *index[BENCH_BATCHES], *target[BENCH_BATCHES];
    void *scratch; /* of a single layer's backward */
    double loss;   /* of the last step */
    /* called between forward and backward of each tape, where somebody wants to look; else NULL */
    void (*look)(const tare_tape *tape, void *context);
    void *context;
} bench;

struct bench_workload {
    const char *name;    /* "W3-gn8-b64" */
    const char *variant; /* a norm spec, or what else tells a family's members apart */
    int64_t batch;
    /* Fill in nets, optimizers and data. Errors of layers stick in params; bench_open looks at them. */
    tare_status (*make)(bench *b);
    tare_status (*step)(bench *b, int64_t i);
};

/* Each ends with a NULL name. */
extern const bench_workload bench_mlp[], bench_mnist_cnn[], bench_norm_cnn[], bench_resnet20[], bench_gpt[],
    bench_sngan[], bench_lstm[], bench_norms[], bench_conv[], bench_batches[], bench_depths[];

/* All workloads, NULL after the last; one by name, or NULL. */
const bench_workload *bench_at(int index);
const bench_workload *bench_find(const char *name);
/* Makes nets, data and tape. bench_close frees what there is, after a failure too. */
tare_status bench_open(bench *b, const bench_workload *w);
void bench_close(bench *b);

/* ---- for workloads ----------------------------------------------------------------------------------------------- */

/* Batches of x in [-1, 1) of this shape, each with `targets` classes below `classes`. */
tare_status bench_images(bench *b, tare_shape shape, int64_t targets, int64_t classes);
/* Batches of text: x[B,T] of `symbols` as index, the next symbols as target; steps first ([T,B]) if wanted. */
tare_status bench_text(bench *b, int64_t batch, int64_t length, int64_t symbols, bool steps_first);
/* Backward from the loss, an update of net `n`. */
tare_status bench_update(bench *b, int n, tare_tensor *loss);
/* The step of a classifier of images: forward, cross entropy, update. */
tare_status bench_classify(bench *b, int64_t i);

#endif
