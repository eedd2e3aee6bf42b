/* gradient_penalty.c - R1 and WGAN-GP by first derivatives alone: the derivative of a gradient along a direction is the difference
 * of two gradients a small step apart. gan.h says how, and where it is not the same. */
#include <math.h>
#include <string.h>
#include <tare/gan.h>

/* The first layer at or below this one whose result for a sample depends on the others by statistics, or NULL. */
static const tare_layer *batch_layer(const tare_layer *layer) {
    static const char *const names[] = { "batch_norm", "switchable_norm" };
    for (int i = 0; i < 2; i++) {
        if (strcmp(layer->cls->name, names[i]) == 0) { return layer; }
    }
    const tare_layer *found = NULL;
    for (int i = 0; i < layer->n_children && !found; i++) { found = batch_layer(layer->children[i]); }
    return found;
}

static bool check(tare_tape *t, const tare_layer *d, const tare_tensor *x, const tare_gradient_penalty_opt *opt) {
    const tare_layer *batch = d ? batch_layer(d) : NULL;
    tare_shape_buf buf;
    if (!d) {
        tare_tape_fail(t, TARE_EINVAL, "gradient_penalty: D is NULL; see tare_params_error");
    } else if (batch) {
        tare_tape_fail(
            t, TARE_EINVAL,
            "gradient_penalty: %s \"%s\" ties the score of a sample to the rest of the batch, so that there is no "
            "slope of one sample; use another norm in D (in, ln, gn, sn) or no penalty",
            batch->cls->name, batch->name);
    } else if (!(opt->weight >= 0) || !(opt->step >= 0) || opt->kind < 0 || opt->kind > TARE_PENALTY_WGAN_GP) {
        tare_tape_fail(t, TARE_EINVAL, "gradient_penalty: kind %d, weight %g, step %g", (int)opt->kind, opt->weight,
                       opt->step);
    } else if (x->shape.ndim < 2 || x->numel == 0) {
        tare_tape_fail(t, TARE_ESHAPE, "gradient_penalty: x %s is not [N,...] with samples in it",
                       tare_shape_text(x->shape, &buf));
    }
    return tare_tape_status(t) == TARE_OK;
}

/* x as an input of its own that has, after this, the gradient of the sum of D's scores; D's parameters want none. */
static tare_tensor *with_slopes(tare_tape *t, tare_layer *d, tare_tensor *x) {
    bool frozen = tare_params_frozen(d->params);
    tare_params_freeze(d->params, true);
    tare_tensor *leaf = tare_detach(t, x);
    if (leaf) { leaf->requires_grad = true; }
    tare_tensor *y = tare_forward(d, t, leaf), *ones = y ? tare_input(t, y->shape, NULL) : NULL;
    tare_status status = tare_tape_status(t);
    if (ones) {
        for (int64_t i = 0; i < ones->numel; i++) { ones->data[i] = 1; }
        status = tare_backward_from(t, y, ones->data);
    }
    tare_params_freeze(d->params, frozen);
    return status || !ones ? NULL : leaf;
}

static double length(const tare_real *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) { sum += (double)x[i] * (double)x[i]; }
    return sqrt(sum);
}

/* Turn the slopes into the penalty's derivative by them; returns the penalty. *h is the factor that makes a step of it. */
static double direction(tare_tensor *x, const tare_gradient_penalty_opt *opt, double *h) {
    int64_t n = x->shape.dim[0], size = x->numel / n;
    double penalty = 0, longest = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        tare_real *g = x->grad + i * size;
        double r = length(g, size), at = length(x->data + i * size, size);
        bool r1 = opt->kind == TARE_PENALTY_R1;
        penalty += opt->weight / (double)n * (r1 ? 0.5 * r * r : (r - 1) * (r - 1));
        double factor = opt->weight / (double)n * (r1 ? 1 : r > 0 ? 2 * (1 - 1 / r) : 0);
        for (int64_t k = 0; k < size; k++) { g[k] = (tare_real)(factor * (double)g[k]); }
        longest = fmax(longest, fabs(factor) * r);
        square += at * at / (double)n;
    }
    double scale = square > 0 ? sqrt(square) : 1;
    *h = longest > 0 ? opt->step * scale / longest : 1;
    return penalty;
}

/* The sum of D's scores at x + h w. */
static tare_tensor *scores_at(tare_tape *t, tare_layer *d, const tare_tensor *x, double h) {
    tare_tensor *moved = tare_input(t, x->shape, NULL);
    for (int64_t i = 0; moved && i < x->numel; i++) {
        moved->data[i] = (tare_real)((double)x->data[i] + h * (double)x->grad[i]);
    }
    return tare_sum(t, tare_forward(d, t, moved), 0, false);
}

tare_tensor *tare_gradient_penalty(tare_tape *t, tare_layer *d, tare_tensor *x, tare_gradient_penalty_opt opt) {
    if (!x) { return NULL; }
    if (opt.weight == 0 && !signbit(opt.weight)) { opt.weight = 10; }
    if (opt.step == 0) { opt.step = sizeof(tare_real) == sizeof(double) ? 1e-4 : 1e-2; }
    if (!check(t, d, x, &opt)) { return NULL; }
    bool training = tare_tape_training(t);
    tare_tape_training_set(t, false);
    tare_tensor *leaf = with_slopes(t, d, x), *y = NULL;
    if (leaf) {
        double h, penalty = direction(leaf, &opt, &h);
        tare_tensor *there = scores_at(t, d, leaf, h), *back = scores_at(t, d, leaf, -h);
        y = tare_scale(t, tare_sub(t, there, back), 0.5 / h);
        /* the gradient is this one's, the value the penalty's */
        tare_tensor *rest = y ? tare_input(t, y->shape, NULL) : NULL;
        if (rest) { rest->data[0] = (tare_real)(penalty - (double)y->data[0]); }
        y = tare_add(t, y, rest);
    }
    tare_tape_training_set(t, training);
    return y;
}

tare_tensor *tare_mix(tare_tape *t, const tare_tensor *x, const tare_tensor *y, tare_rng *rng) {
    if (!x || !y) { return NULL; }
    tare_shape_buf left, right;
    if (!tare_shape_equal(x->shape, y->shape) || x->shape.ndim < 1) {
        return tare_tape_fail(t, TARE_ESHAPE, "mix: x %s and y %s must be [N,...] of one shape",
                              tare_shape_text(x->shape, &left), tare_shape_text(y->shape, &right));
    }
    if ((!x->data || !y->data) && x->numel) {
        return tare_tape_fail(t, TARE_EINVAL, "mix: x or y has no values any more: mix before backward");
    }
    tare_tensor *out = tare_input(t, x->shape, NULL);
    if (!out || out->numel == 0) { return out; }
    int64_t size = x->numel / x->shape.dim[0];
    for (int64_t i = 0; i < x->shape.dim[0]; i++) {
        double a = tare_rng_uniform(rng);
        for (int64_t k = i * size; k < (i + 1) * size; k++) {
            out->data[k] = (tare_real)(a * (double)x->data[k] + (1 - a) * (double)y->data[k]);
        }
    }
    return out;
}
