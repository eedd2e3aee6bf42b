/* sign.c - an optimizer that Tare does not have: sign descent, p -= lr (sign(g) + decay p). */
#include <tare/tare.h>

static void update(const tare_optim_range *r) {
    for (int64_t i = 0; i < r->n; i++) {
        double direction = (r->grad[i] > 0) - (r->grad[i] < 0);
        r->data[i] -= (tare_real)(r->lr * (direction + r->decay * (double)r->data[i]));
    }
}

static const tare_optim_class sign = { .name = "sign", .lr = 1e-3, .update = update };
TARE_PLUGIN(.name = "sign", .optimizers = (const tare_optim_class *const[]){ &sign, NULL });
