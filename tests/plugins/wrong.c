/* wrong.c - a plugin with an op whose backward forgets a factor. */
#include <tare/tare.h>

static tare_status check(tare_node *n) {
    n->shape = n->in[0]->shape;
    return TARE_OK;
}

static void forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = 3 * n->in[0]->data[i]; }
}

static void backward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { tare_grad(n, 0)[i] += 2 * n->out->grad[i]; }
}

static const tare_opcase cases[] = { { .name = "plain", .in = { { 2, { 2, 3 } } } }, { .name = NULL } };
static const tare_op op = {
    .name = "threefold", .n_in = 1, .check = check, .forward = forward, .backward = backward, .cases = cases
};
TARE_PLUGIN(.name = "wrong", .ops = (const tare_op *const[]){ &op, NULL });
