/* init.c - starting values: each tensor from the generator of its own name, so no layer's depend on another's. */
#include <tare/params.h>

#include <math.h>

/* fan_in and fan_out of [out, in, k...]; a vector counts as [n, 1]. */
static void fans(const tare_tensor *w, double *in, double *out) {
    double outputs = w->shape.ndim ? (double)w->shape.dim[0] : 1,
           inputs = w->shape.ndim > 1 ? (double)w->shape.dim[1] : 1;
    double field = 1;
    for (int d = 2; d < w->shape.ndim; d++) { field *= (double)w->shape.dim[d]; }
    *in = inputs * field;
    *out = outputs * field;
}

void tare_init_constant(tare_params *ps, tare_tensor *w, double value) {
    (void)ps;
    for (int64_t i = 0; w && i < w->numel; i++) { w->data[i] = (tare_real)value; }
}

void tare_init_uniform(tare_params *ps, tare_tensor *w, double lo, double hi) {
    if (!w) { return; }
    tare_rng rng = tare_params_rng(ps, w->name);
    tare_rng_fill_uniform(&rng, lo, hi, w->numel, w->data);
}

void tare_init_normal(tare_params *ps, tare_tensor *w, double mean, double std) {
    if (!w) { return; }
    tare_rng rng = tare_params_rng(ps, w->name);
    tare_rng_fill_normal(&rng, mean, std, w->numel, w->data);
}

/* The normal distribution's lower tail, and the z that has p below it (bisection: exact enough, and this runs once). */
static double below(double z) { return 0.5 * erfc(-z * 0.70710678118654752440); }

static double quantile(double p) {
    double lo = -40, hi = 40;
    for (int i = 0; i < 80; i++) {
        double mid = 0.5 * (lo + hi);
        *(below(mid) < p ? &lo : &hi) = mid;
    }
    return 0.5 * (lo + hi);
}

/* By the inverse distribution function, which takes one draw whatever the bounds: redrawing would hang on far ones. */
void tare_init_trunc_normal(tare_params *ps, tare_tensor *w, double mean, double std, double lo, double hi) {
    if (!w) { return; }
    tare_rng rng = tare_params_rng(ps, w->name);
    double a = (lo - mean) / std, b = (hi - mean) / std;
    /* far out in the upper tail 1 - p has no digits left: work in the lower one, and turn the sign */
    double side = a > 0 ? -1 : 1, from = below(side * (a > 0 ? b : a)), to = below(side * (a > 0 ? a : b));
    for (int64_t i = 0; i < w->numel; i++) {
        double x = mean + std * side * quantile(from + (to - from) * tare_rng_uniform(&rng));
        w->data[i] = (tare_real)fmin(fmax(x, lo), hi);
    }
}

void tare_init_kaiming_uniform(tare_params *ps, tare_tensor *w, double gain) {
    if (!w) { return; }
    double in, out;
    fans(w, &in, &out);
    double bound = gain * sqrt(3 / in);
    tare_init_uniform(ps, w, -bound, bound);
}

void tare_init_kaiming_normal(tare_params *ps, tare_tensor *w, double gain) {
    if (!w) { return; }
    double in, out;
    fans(w, &in, &out);
    tare_init_normal(ps, w, 0, gain / sqrt(in));
}

void tare_init_xavier_uniform(tare_params *ps, tare_tensor *w, double gain) {
    if (!w) { return; }
    double in, out;
    fans(w, &in, &out);
    double bound = gain * sqrt(6 / (in + out));
    tare_init_uniform(ps, w, -bound, bound);
}

void tare_init_xavier_normal(tare_params *ps, tare_tensor *w, double gain) {
    if (!w) { return; }
    double in, out;
    fans(w, &in, &out);
    tare_init_normal(ps, w, 0, gain * sqrt(2 / (in + out)));
}

void tare_init_default(tare_params *ps, tare_tensor *weight, tare_tensor *bias) {
    if (!weight) { return; }
    double in, out;
    fans(weight, &in, &out);
    double bound = 1 / sqrt(in);
    tare_init_uniform(ps, weight, -bound, bound);
    tare_init_uniform(ps, bias, -bound, bound);
}

/* ---- orthogonal -------------------------------------------------------------------------------------------------- */

/* `count` vectors of `length`, one after the other; count <= length */
typedef struct vectors {
    double *a;
    int64_t count, length;
} vectors;

static double product(const vectors *v, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < v->length; k++) { sum += v->a[i * v->length + k] * v->a[j * v->length + k]; }
    return sum;
}

static void subtract(const vectors *v, int64_t i, int64_t j, double factor) {
    for (int64_t k = 0; k < v->length; k++) { v->a[i * v->length + k] -= factor * v->a[j * v->length + k]; }
}

/* Modified Gram-Schmidt, each vector twice ("twice is enough", Giraud et al. 2005). Vectors drawn from a normal distribution,
 * no more of them than they are long, come out uniformly distributed, as the Q of a QR with positive diagonal does. */
static void orthonormalise(const vectors *v) {
    for (int64_t i = 0; i < v->count; i++) {
        for (int pass = 0; pass < 2; pass++) {
            for (int64_t j = 0; j < i; j++) { subtract(v, i, j, product(v, i, j)); }
            double norm = sqrt(product(v, i, i));
            for (int64_t k = 0; k < v->length; k++) { v->a[i * v->length + k] /= norm; }
        }
    }
}

void tare_init_orthogonal(tare_params *ps, tare_tensor *w, double gain) {
    if (!w || w->numel == 0) { return; }
    int64_t rows = w->shape.ndim ? w->shape.dim[0] : 1, cols = w->numel / rows;
    bool wide = rows <= cols;
    vectors v = { .count = wide ? rows : cols, .length = wide ? cols : rows };
    v.a = tare_malloc((size_t)w->numel * sizeof *v.a);
    if (!v.a) {
        tare_params_fail(ps, TARE_ENOMEM, "out of memory while initialising \"%s\"", w->name);
        return;
    }
    tare_rng rng = tare_params_rng(ps, w->name);
    for (int64_t i = 0; i < w->numel; i++) { v.a[i] = tare_rng_normal(&rng); }
    orthonormalise(&v);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            w->data[r * cols + c] = (tare_real)(gain * (wide ? v.a[r * cols + c] : v.a[c * rows + r]));
        }
    }
    tare_free(v.a);
}
