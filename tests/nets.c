/* nets.c - see nets.h. */
#include "nets.h"

#include <tare/testing.h>

enum { CLASSES = 5 };

const net_kind net_kinds[] = {
    { "mlp", NULL, 16, 0, 0, 0 },
    { "cnn_bn", "bn", 6, 0.1, 0, 0 },
    { "cnn_gn", "gn:4", 6, 0, 0.5, 0 },
    { "cnn_gn1", "gn:1", 6, 0, 0, 0 },
    { "cnn_in", "in", 6, 0, 0, 0 },
    { "mlp_dropout", NULL, 16, 0, 1, 0.3 },
    { "cnn_bn_dropout", "bn", 6, 0.1, 1, 0.3 },
    { 0 },
};

static tare_layer *make_mlp(tare_params *ps, const net_kind *k) {
    tare_layer *layers[] = {
        tare_layer_linear(ps, "fc1", 12, 24, (tare_layer_linear_opt){ 0 }),
        tare_layer_relu(ps, NULL),
        k->dropout > 0 ? tare_layer_dropout(ps, NULL, k->dropout) : tare_layer_identity(ps, NULL),
        tare_layer_linear(ps, "fc2", 24, 16, (tare_layer_linear_opt){ 0 }),
        tare_layer_activation(ps, NULL, "tanh"),
        tare_layer_linear(ps, "fc3", 16, CLASSES, (tare_layer_linear_opt){ 0 }),
    };
    return tare_layer_sequential(ps, "mlp", layers, sizeof layers / sizeof layers[0]);
}

static tare_layer *conv(tare_params *ps, const char *name, int64_t in, int64_t out, int stride) {
    return tare_layer_conv2d(ps, name, in, out, 3,
                             (tare_layer_conv2d_opt){ .stride = stride, .pad = 1, .no_bias = true });
}

static tare_layer *make_cnn(tare_params *ps, const net_kind *k) {
    tare_layer *body[] = { conv(ps, "conv2", 8, 8, 1), tare_norm_layer(ps, "norm2", k->norm, TARE_SHAPE(8, 4, 4)) };
    tare_layer *layers[] = {
        conv(ps, "conv1", 1, 8, 1),
        tare_norm_layer(ps, "norm1", k->norm, TARE_SHAPE(8, 8, 8)),
        tare_layer_relu(ps, NULL),
        tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 }),
        tare_layer_residual(ps, "block", tare_layer_sequential(ps, "body", body, 2), NULL, tare_layer_relu(ps, NULL)),
        k->dropout > 0 ? tare_layer_dropout(ps, NULL, k->dropout) : tare_layer_identity(ps, NULL),
        conv(ps, "conv3", 8, 12, 2),
        tare_norm_layer(ps, "norm3", k->norm, TARE_SHAPE(12, 2, 2)),
        tare_layer_activation(ps, NULL, "silu"),
        tare_layer_global_avg_pool2d(ps, NULL),
        tare_layer_flatten(ps, NULL),
        tare_layer_linear(ps, "fc", 12, CLASSES, (tare_layer_linear_opt){ 0 }),
    };
    return tare_layer_sequential(ps, "cnn", layers, sizeof layers / sizeof layers[0]);
}

static tare_optim *make_optim(tare_params *ps, const char *name) {
    if (strncmp(name, "mlp", 3) == 0) {
        return tare_sgd_new(
            ps,
            (tare_sgd_opt){ .lr = 0.2, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3, .decay_all = true });
    }
    if (strncmp(name, "cnn_bn", 6) == 0) {
        return tare_adamw_new(ps, (tare_adam_opt){ .lr = 1e-2, .weight_decay = 0.1 });
    }
    if (strcmp(name, "cnn_gn") == 0) { return tare_adam_new(ps, (tare_adam_opt){ .lr = 1e-2, .weight_decay = 0.01 }); }
    if (strcmp(name, "cnn_gn1") == 0) {
        return tare_rmsprop_new(ps, (tare_rmsprop_opt){ .lr = 2e-3, .momentum = 0.5 });
    }
    return tare_sgd_new(ps, (tare_sgd_opt){ .lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3 });
}

tare_status net_new(net *n, const char *kind, uint64_t seed) {
    *n = (net){ .kind = net_kinds };
    while (n->kind->name && strcmp(n->kind->name, kind) != 0) { n->kind++; }
    if (!n->kind->name) { return tare_fail(TARE_ENOENT, "no net %s", kind); }
    n->ps = tare_params_new(seed);
    if (!n->ps) { return TARE_ENOMEM; }
    n->model = n->kind->norm ? make_cnn(n->ps, n->kind) : make_mlp(n->ps, n->kind);
    tare_status status = tare_params_status(n->ps);
    if (!status) {
        n->optim = make_optim(n->ps, kind);
        if (!n->optim) { status = TARE_ENOMEM; }
    }
    if (status) { net_free(n); }
    return status;
}

void net_free(net *n) {
    tare_optim_free(n->optim);
    tare_params_free(n->ps);
    n->optim = NULL, n->ps = NULL, n->model = NULL;
}

tare_shape net_batch_shape(const net *n) {
    return n->kind->norm ? TARE_SHAPE(n->kind->batch, 1, 8, 8) : TARE_SHAPE(n->kind->batch, 12);
}

tare_tensor *net_loss(const net *n, tare_tape *tape, const tare_real *x, const int32_t *target) {
    tare_tensor *logits = tare_forward(n->model, tape, tare_input(tape, net_batch_shape(n), x));
    double smoothing = tare_tape_training(tape) ? n->kind->smoothing : 0;
    return tare_cross_entropy(tape, logits, target, (tare_cross_entropy_opt){ .label_smoothing = smoothing });
}

tare_status net_step(net *n, tare_tape *tape, const tare_real *x, const int32_t *target, double *loss) {
    tare_tape_reset(tape);
    tare_params_zero_grad(n->ps);
    tare_tensor *l = net_loss(n, tape, x, target);
    tare_status status = tare_backward(tape, l);
    if (status) { return status; }
    if (loss) { *loss = tare_item(l); }
    if (n->kind->clip > 0) { return tare_optim_step_clipped(n->optim, n->kind->clip, NULL); }
    return tare_optim_step(n->optim);
}

void net_fill(const net *n, uint64_t seed, tare_real *x, int32_t *target) {
    tare_rng rng = tare_rng_new(seed, "test batch");
    tare_fill_values(&rng, (tare_fill){ TARE_FILL_NORMAL, 0, 1 }, x, tare_shape_numel(net_batch_shape(n)));
    for (int64_t i = 0; i < n->kind->batch; i++) { target[i] = (int32_t)tare_rng_below(&rng, CLASSES); }
}
