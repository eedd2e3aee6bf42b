/* bench_norms.c - times one norm:  bench_norms bn|ln|rms|lnchw|lnc|in|gn8|copy fwd|fwdbwd SECONDS DIM...
 * Prints the median, the 10th and the 90th percentile of one pass in microseconds. bench/norms.py runs it beside PyTorch. */
#include <tare/norms.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct subject {
    const char *op;
    tare_shape shape;
    bool backward;
    tare_params *ps;
    tare_layer *layer;
    tare_tape *tape;
    tare_real *x, *dy, *dx;
    void *scratch;
} subject;

static tare_layer *layer_of(subject *s) {
    tare_shape sample = { .ndim = s->shape.ndim - 1 };
    for (int d = 0; d < sample.ndim; d++) { sample.dim[d] = s->shape.dim[d + 1]; }
    const char *specs[][2] = { { "bn", "bn" },         { "ln", "ln" }, { "rms", "rms" }, { "lnchw", "ln" },
                               { "lnc", "ln:over=c" }, { "in", "in" }, { "gn8", "gn:8" } };
    for (int i = 0; i < 7; i++) {
        if (strcmp(s->op, specs[i][0]) == 0) { return tare_norm_layer(s->ps, "norm", specs[i][1], sample); }
    }
    return NULL;
}

static void copy_range(void *context, int64_t begin, int64_t end) {
    const subject *s = context;
    memcpy(s->dy + begin, s->x + begin, (size_t)(end - begin) * sizeof *s->x);
}

static void pass(subject *s) {
    if (!s->layer) {
        tare_parallel_for(tare_shape_numel(s->shape), 1 << 14, copy_range, s);
        return;
    }
    tare_tape_reset(s->tape);
    tare_params_zero_grad(s->ps);
    tare_tensor *x = tare_input_view(s->tape, s->shape, s->x);
    x->requires_grad = s->backward;
    tare_tensor *y = tare_forward(s->layer, s->tape, x);
    if (!s->backward || !y) { return; }
    /* The op's backward as the tape runs it in the middle of a net; tare_backward_from would copy dy first. */
    tare_node *n = y->node;
    if (!s->scratch) { s->scratch = tare_malloc(n->grad_scratch_bytes + 1); }
    n->scratch = s->scratch;
    y->grad = s->dy;
    x->grad = s->dx;
    x->grad_fresh = true;
    n->op->backward(n);
    x->grad = y->grad = NULL;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: bench_norms OP fwd|fwdbwd SECONDS DIM...\n");
        return 2;
    }
    subject s = { .op = argv[1], .backward = strcmp(argv[2], "fwdbwd") == 0, .shape = { .ndim = argc - 4 } };
    double seconds = atof(argv[3]);
    for (int d = 0; d < s.shape.ndim; d++) { s.shape.dim[d] = atoll(argv[4 + d]); }
    int64_t numel = tare_shape_numel(s.shape);
    s.ps = tare_params_new(1);
    s.layer = layer_of(&s);
    s.tape = tare_tape_new((tare_tape_opt){ .training = true, .no_grad = !s.backward });
    s.x = tare_malloc((size_t)numel * sizeof *s.x);
    s.dy = tare_malloc((size_t)numel * sizeof *s.dy);
    s.dx = tare_malloc((size_t)numel * sizeof *s.dx);
    tare_rng rng = tare_rng_new(1, "bench");
    for (int64_t i = 0; i < numel; i++) { s.x[i] = s.dy[i] = (tare_real)tare_rng_normal(&rng); }
    for (int i = 0; i < 5; i++) { pass(&s); }
    if (tare_tape_status(s.tape)) {
        fprintf(stderr, "bench_norms: %s\n", tare_tape_error(s.tape));
        return 1;
    }
    enum { MOST = 20000 };
    static double times[MOST];
    int n = 0;
    for (double start = now(); n < MOST && (n < 20 || now() - start < seconds); n++) {
        double before = now();
        pass(&s);
        times[n] = now() - before;
    }
    qsort(times, (size_t)n, sizeof *times, by_size);
    printf("%.2f %.2f %.2f\n", 1e6 * times[n / 2], 1e6 * times[n / 10], 1e6 * times[n * 9 / 10]);
    tare_free(s.x);
    tare_free(s.dy);
    tare_free(s.dx);
    tare_free(s.scratch);
    tare_tape_free(s.tape);
    tare_params_free(s.ps);
    return 0;
}
