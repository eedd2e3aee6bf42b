/* sgd.c - stochastic gradient descent with momentum, dampening and Nesterov's variant, as torch.optim.SGD. */
#include "../kernels/kernels.h"
#include "../kernels/optim.h"
#include "optim.h"

#include <math.h>

static tare_status check(const void *attr) {
    const tare_sgd_opt *opt = attr;
    tare_status status = tare__option_check("sgd", "momentum", opt->momentum, 0, HUGE_VAL);
    if (!status) { status = tare__option_check("sgd", "dampening", opt->dampening, 0, 1); }
    if (!status && opt->nesterov && (opt->momentum == 0 || opt->dampening != 0)) {
        status = tare_fail(TARE_EINVAL, "sgd: nesterov wants a momentum above 0 and no dampening, not %g and %g",
                           opt->momentum, opt->dampening);
    }
    return status;
}

static unsigned slots(const void *attr) { return ((const tare_sgd_opt *)attr)->momentum != 0; }

static void update(const tare_optim_range *r) {
    const tare_sgd_opt *opt = r->attr;
    tare__sgd k = {
        .lr = (tare_real)r->lr,
        .scale = (tare_real)r->grad_scale,
        .l2 = (tare_real)r->decay,
        .momentum = (tare_real)opt->momentum,
        .take = (tare_real)(r->step == 1 ? 1 : 1 - opt->dampening), /* the first gradient is taken whole */
        .nesterov = opt->nesterov,
    };
    tare__kernels()->sgd(r->data, r->grad, r->slot[0], r->n, &k);
}

const tare_optim_class tare__class_sgd = {
    .name = "sgd",
    .lr = 1e-3,
    .slot = { "momentum_buffer" },
    .attr_size = sizeof(tare_sgd_opt),
    .attr = &(const tare_sgd_opt){ 0 },
    .check = check,
    .slots = slots,
    .update = update,
};

tare_optim *tare_sgd_new(tare_params *ps, tare_sgd_opt opt) {
    return tare_optim_new(ps, &tare__class_sgd, (tare_optim_opt){ opt.lr, opt.weight_decay, opt.decay_all, &opt });
}
