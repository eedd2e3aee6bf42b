/* rmsprop.c - RMSprop, plain or centered, with or without momentum, as torch.optim.RMSprop. */
#include "../kernels/kernels.h"
#include "../kernels/optim.h"
#include "optim.h"

#include <math.h>

static double alpha_of(const tare_rmsprop_opt *opt) { return tare__option(opt->alpha, 0.99); }
static double eps_of(const tare_rmsprop_opt *opt) { return tare__option(opt->eps, 1e-8); }

static tare_status check(const void *attr) {
    const tare_rmsprop_opt *opt = attr;
    tare_status status = tare__option_check("rmsprop", "alpha", alpha_of(opt), 0, 1);
    if (!status) { status = tare__option_check("rmsprop", "eps", eps_of(opt), TARE__MIN_EPS, HUGE_VAL); }
    if (!status) { status = tare__option_check("rmsprop", "momentum", opt->momentum, 0, HUGE_VAL); }
    return status;
}

static unsigned slots(const void *attr) {
    const tare_rmsprop_opt *opt = attr;
    return 1u | (opt->centered ? 2u : 0u) | (opt->momentum != 0 ? 4u : 0u);
}

static void update(const tare_optim_range *r) {
    const tare_rmsprop_opt *opt = r->attr;
    tare__rmsprop k = {
        .lr = (tare_real)r->lr,
        .scale = (tare_real)r->grad_scale,
        .l2 = (tare_real)r->decay,
        .alpha = (tare_real)alpha_of(opt),
        .take = (tare_real)(1 - alpha_of(opt)),
        .eps = (tare_real)eps_of(opt),
        .momentum = (tare_real)opt->momentum,
    };
    tare__kernels()->rmsprop(r->data, r->grad, r->slot[0], r->slot[1], r->slot[2], r->n, &k);
}

const tare_optim_class tare__class_rmsprop = {
    .name = "rmsprop",
    .lr = 1e-2,
    .slot = { "square_avg", "grad_avg", "momentum_buffer" },
    .attr_size = sizeof(tare_rmsprop_opt),
    .attr = &(const tare_rmsprop_opt){ 0 },
    .check = check,
    .slots = slots,
    .update = update,
};

tare_optim *tare_rmsprop_new(tare_params *ps, tare_rmsprop_opt opt) {
    return tare_optim_new(ps, &tare__class_rmsprop, (tare_optim_opt){ opt.lr, opt.weight_decay, opt.decay_all, &opt });
}
