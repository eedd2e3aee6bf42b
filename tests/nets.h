/* nets.h - the small nets of tests/golden/make_trajectories.py, for the tests that train. */
#ifndef TARE_TEST_NETS_H
#define TARE_TEST_NETS_H

#include "testing_support.h"

#include <tare/layers.h>
#include <tare/norms.h>
#include <tare/optim.h>

typedef struct net_kind {
    const char *name;
    const char *norm; /* NULL: the MLP */
    int64_t batch;
    double smoothing, clip, dropout;
} net_kind;

/* mlp, cnn_bn, cnn_gn, cnn_gn1, cnn_in as PyTorch trained them, then mlp_dropout and cnn_bn_dropout; name NULL ends them. */
extern const net_kind net_kinds[];

typedef struct net {
    const net_kind *kind;
    tare_params *ps;
    tare_layer *model;
    tare_optim *optim;
} net;

/* net_new - model and optimizer. Fails as the library does: *n is then empty, and nothing is left behind. */
tare_status net_new(net *n, const char *kind, uint64_t seed);
void net_free(net *n);

/* The shape of a batch. */
tare_shape net_batch_shape(const net *n);

/* net_loss - forward and cross-entropy with the net's smoothing (0 in evaluation). */
tare_tensor *net_loss(const net *n, tare_tape *tape, const tare_real *x, const int32_t *target);

/* net_step - reset, loss, backward, clip, step; *loss may be NULL. */
tare_status net_step(net *n, tare_tape *tape, const tare_real *x, const int32_t *target, double *loss);

/* net_fill - a batch of random numbers and classes that depends on the seed alone. */
void net_fill(const net *n, uint64_t seed, tare_real *x, int32_t *target);

#endif
