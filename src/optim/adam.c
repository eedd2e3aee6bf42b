/* adam.c - Adam, and AdamW, which differ in where weight decay goes. */
#include "../kernels/kernels.h"
#include "../kernels/optim.h"
#include "optim.h"

#include <math.h>

enum { BETA1, BETA2, EPS, CORRECTION1, CORRECTION2 }; /* coefficients: options resolved, and 1 - beta^t */

static void resolve(const tare_adam_opt *opt, double *coef) {
    coef[BETA1] = tare__option(opt->beta1, 0.9);
    coef[BETA2] = tare__option(opt->beta2, 0.999);
    coef[EPS] = tare__option(opt->eps, 1e-8);
}

static tare_status check(const char *name, const tare_adam_opt *opt) {
    double coef[TARE_OPTIM_COEFS];
    const double below_one = nextafter(1, 0);
    resolve(opt, coef);
    tare_status status = tare__option_check(name, "beta1", coef[BETA1], 0, below_one);
    if (!status) { status = tare__option_check(name, "beta2", coef[BETA2], 0, below_one); }
    if (!status) { status = tare__option_check(name, "eps", coef[EPS], TARE__MIN_EPS, HUGE_VAL); }
    return status;
}

static tare_status check_adam(const void *attr) { return check("adam", attr); }
static tare_status check_adamw(const void *attr) { return check("adamw", attr); }

static void prepare(const void *attr, uint64_t step, double *coef) {
    resolve(attr, coef);
    coef[CORRECTION1] = 1 - pow(coef[BETA1], (double)step);
    coef[CORRECTION2] = 1 - pow(coef[BETA2], (double)step);
}

static void update(const tare_optim_range *r, double l2, double shrink) {
    const double *c = r->coef;
    tare__adam k = {
        .scale = (tare_real)r->grad_scale,
        .l2 = (tare_real)l2,
        .shrink = (tare_real)shrink,
        .beta1 = (tare_real)c[BETA1],
        .take1 = (tare_real)(1 - c[BETA1]),
        .beta2 = (tare_real)c[BETA2],
        .take2 = (tare_real)(1 - c[BETA2]),
        .rate = (tare_real)(r->lr / c[CORRECTION1]),
        .unbias = (tare_real)(1 / sqrt(c[CORRECTION2])),
        .eps = (tare_real)c[EPS],
    };
    tare__kernels()->adam(r->data, r->grad, r->slot[0], r->slot[1], r->n, &k);
}

static void update_adam(const tare_optim_range *r) { update(r, r->decay, 1); }
static void update_adamw(const tare_optim_range *r) { update(r, 0, 1 - r->lr * r->decay); }

static const tare_adam_opt defaults = { 0 };

const tare_optim_class tare__class_adam = {
    .name = "adam",
    .lr = 1e-3,
    .slot = { "exp_avg", "exp_avg_sq" },
    .attr_size = sizeof defaults,
    .attr = &defaults,
    .check = check_adam,
    .prepare = prepare,
    .update = update_adam,
};

const tare_optim_class tare__class_adamw = {
    .name = "adamw",
    .lr = 1e-3,
    .weight_decay = 1e-2,
    .slot = { "exp_avg", "exp_avg_sq" },
    .attr_size = sizeof defaults,
    .attr = &defaults,
    .check = check_adamw,
    .prepare = prepare,
    .update = update_adamw,
};

tare_optim *tare_adam_new(tare_params *ps, tare_adam_opt opt) {
    return tare_optim_new(ps, &tare__class_adam, (tare_optim_opt){ opt.lr, opt.weight_decay, opt.decay_all, &opt });
}

tare_optim *tare_adamw_new(tare_params *ps, tare_adam_opt opt) {
    return tare_optim_new(ps, &tare__class_adamw, (tare_optim_opt){ opt.lr, opt.weight_decay, opt.decay_all, &opt });
}
