/* norm_stats.c - activations, gradients and weights of one step in numbers, for metrics.jsonl. */
#include <tare/run.h>

#include <math.h>
#include <string.h>

enum { MOST_STEPS = 1000 }; /* of the power method */

/* Mean and sum of squared deviations of n values. */
typedef struct moments {
    double n, mean, m2;
} moments;

typedef struct layer_stats {
    const tare_layer *layer;
    moments in, out;
} layer_stats;

struct tare_norm_stats {
    tare_params *ps;
    tare_tape *tape;
    tare_watch watch;
    bool on;
    layer_stats *layer;
    int64_t count, room;
    tare_status status; /* memory ran out while looking */
};

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* Two passes; the second takes off what rounding of the mean adds. */
static moments moments_of(const tare_tensor *x) {
    double n = (double)x->numel, sum = 0, off = 0, squares = 0;
    for (int64_t i = 0; i < x->numel; i++) { sum += (double)x->data[i]; }
    double mean = x->numel ? sum / n : 0;
    for (int64_t i = 0; i < x->numel; i++) {
        double d = (double)x->data[i] - mean;
        off += d;
        squares += d * d;
    }
    return (moments){ n, mean, x->numel ? squares - off * off / n : 0 };
}

/* Chan, Golub & LeVeque 1983. */
static void merge(moments *to, moments more) {
    double n = to->n + more.n, d = more.mean - to->mean;
    if (!(n > 0)) { return; }
    to->mean += d * (more.n / n);
    to->m2 += more.m2 + d * d * (to->n * more.n / n);
    to->n = n;
}

static layer_stats *stats_of(tare_norm_stats *s, const tare_layer *layer) {
    for (int64_t i = 0; i < s->count; i++) {
        if (s->layer[i].layer == layer) { return &s->layer[i]; }
    }
    if (s->count == s->room) {
        int64_t room = s->room ? 2 * s->room : 64;
        layer_stats *larger = tare_malloc((size_t)room * sizeof *larger);
        if (!larger) { return NULL; }
        if (s->count) { memcpy(larger, s->layer, (size_t)s->count * sizeof *larger); }
        tare_free(s->layer);
        s->layer = larger;
        s->room = room;
    }
    s->layer[s->count] = (layer_stats){ .layer = layer };
    return &s->layer[s->count++];
}

static void see(void *context, const tare_layer *layer, const tare_tensor *x, const tare_tensor *y) {
    tare_norm_stats *s = context;
    if (layer->cls->container || s->status) { return; }
    layer_stats *l = stats_of(s, layer);
    if (!l) {
        s->status = TARE_ENOMEM;
        return;
    }
    merge(&l->in, moments_of(x));
    merge(&l->out, moments_of(y));
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

static double length(const double *v, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) { sum += v[i] * v[i]; }
    return sqrt(sum);
}

/* to = W'W from, row by row. Output r of w is `outer` pieces of `inner` values, `rows` such pieces apart. */
static void apply_gram(const tare_tensor *w, int out_dim, const double *from, double *to) {
    int64_t rows = w->shape.dim[out_dim], inner = 1;
    for (int d = out_dim + 1; d < w->shape.ndim; d++) { inner *= w->shape.dim[d]; }
    int64_t cols = w->numel / rows, outer = cols / inner;
    for (int64_t c = 0; c < cols; c++) { to[c] = 0; }
    for (int64_t r = 0; r < rows; r++) {
        double dot = 0;
        for (int64_t o = 0; o < outer; o++) {
            const tare_real *piece = w->data + (o * rows + r) * inner;
            for (int64_t i = 0; i < inner; i++) { dot += (double)piece[i] * from[o * inner + i]; }
        }
        for (int64_t o = 0; o < outer; o++) {
            const tare_real *piece = w->data + (o * rows + r) * inner;
            for (int64_t i = 0; i < inner; i++) { to[o * inner + i] += (double)piece[i] * dot; }
        }
    }
}

/* The power method from a fixed start: |W'W v| for |v| = 1 only grows from step to step, towards sigma squared. */
static tare_status find_sigma(const tare_tensor *w, int out_dim, double *sigma) {
    int64_t cols = w->numel / w->shape.dim[out_dim];
    double *memory = tare_malloc(2 * (size_t)cols * sizeof *memory), *v = memory;
    if (!memory) { return TARE_ENOMEM; }
    double *next = memory + cols;
    tare_rng rng = tare_rng_new(0, "sigma");
    for (int64_t c = 0; c < cols; c++) { v[c] = tare_rng_normal(&rng); }
    double scale = 1 / length(v, cols), square = 0, before = -1;
    for (int step = 0; step < MOST_STEPS && square - before > 1e-12 * square; step++) {
        for (int64_t c = 0; c < cols; c++) { v[c] *= scale; }
        apply_gram(w, out_dim, v, next);
        before = square;
        square = length(next, cols);
        scale = 1 / square;
        double *swap = v;
        v = next;
        next = swap;
    }
    tare_free(memory);
    *sigma = sqrt(square);
    return TARE_OK;
}

/* The dimension of parameter w that counts outputs: as the layer says that computes with it, else the first. */
static int out_dim_of(const tare_norm_stats *s, const tare_tensor *w) {
    for (int64_t i = 0; i < s->count; i++) {
        if (s->layer[i].layer->weight == w) { return s->layer[i].layer->out_dim; }
    }
    return 0;
}

static double grad_norm(const tare_params *ps, int index) {
    const tare_real *g = tare_params_flat_grad(ps) + tare_params_offset(ps, index);
    int64_t n = tare_params_at(ps, index)->numel;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) { sum += (double)g[i] * (double)g[i]; }
    return sqrt(sum);
}

/* ---- logging ----------------------------------------------------------------------------------------------------- */

static tare_status log_layer(const layer_stats *l, tare_run *run, int64_t step) {
    return tare_run_log(run, "norm_stats",
                        TARE_FIELDS(TARE_NUMBER("step", step), TARE_TEXT("layer", l->layer->name),
                                    TARE_TEXT("kind", l->layer->cls->name), TARE_NUMBER("in_mean", l->in.mean),
                                    TARE_NUMBER("in_var", l->in.m2 / l->in.n), TARE_NUMBER("out_mean", l->out.mean),
                                    TARE_NUMBER("out_var", l->out.m2 / l->out.n)));
}

static tare_status log_param(const tare_norm_stats *s, int index, tare_run *run, int64_t step) {
    const tare_tensor *w = tare_params_at(s->ps, index);
    double norm = grad_norm(s->ps, index);
    if (w->shape.ndim < 2) {
        return tare_run_log(
            run, "weight_stats",
            TARE_FIELDS(TARE_NUMBER("step", step), TARE_TEXT("parameter", w->name), TARE_NUMBER("grad_norm", norm)));
    }
    double sigma;
    tare_status status = find_sigma(w, out_dim_of(s, w), &sigma);
    if (status) { return status; }
    return tare_run_log(run, "weight_stats",
                        TARE_FIELDS(TARE_NUMBER("step", step), TARE_TEXT("parameter", w->name),
                                    TARE_NUMBER("grad_norm", norm), TARE_NUMBER("sigma", sigma)));
}

tare_status tare_norm_stats_log(tare_norm_stats *s, tare_run *run, int64_t step) {
    if (!s->on) { return TARE_OK; }
    s->on = false;
    tare_tape_watch_set(s->tape, NULL);
    tare_params_settle_grad(s->ps);
    tare_status status = s->status;
    for (int64_t i = 0; !status && i < s->count; i++) { status = log_layer(&s->layer[i], run, step); }
    for (int i = 0; !status && i < tare_params_count(s->ps); i++) { status = log_param(s, i, run, step); }
    return status;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

tare_norm_stats *tare_norm_stats_new(tare_params *ps, tare_tape *tape) {
    tare_norm_stats *s = tare_calloc(1, sizeof *s);
    if (s) { *s = (tare_norm_stats){ .ps = ps, .tape = tape, .watch = { see, s } }; }
    return s;
}

void tare_norm_stats_free(tare_norm_stats *s) {
    if (!s) { return; }
    if (s->on) { tare_tape_watch_set(s->tape, NULL); }
    tare_free(s->layer);
    tare_free(s);
}

void tare_norm_stats_begin(tare_norm_stats *s) {
    s->on = true;
    s->count = 0;
    s->status = TARE_OK;
    tare_tape_watch_set(s->tape, &s->watch);
}
