/* tare/optim.h - optimizers, gradient clipping, learning-rate schedules.
 *
 *     tare_optim *o = tare_adamw_new(ps, (tare_adam_opt){ .lr = 1e-3, .weight_decay = 0.1 });
 *     for each step t:  ... tare_backward(tape, loss) ...
 *         tare_optim_lr_set(o, tare_schedule_at(&schedule, t));
 *         tare_optim_step_clipped(o, 1.0, &norm);   or plain  tare_optim_step(o);
 *         tare_params_zero_grad(ps);
 *
 * Formulas and defaults are PyTorch's, with two exceptions, both meant: weight decay passes over parameters flagged
 * TARE_NO_DECAY (unless .decay_all), and it is never on by itself (torch.optim.AdamW decays by 0.01 unasked).
 * A step is one pass over the flat block; its bits do not depend on the number of threads.
 */
#ifndef TARE_OPTIM_H
#define TARE_OPTIM_H

#include <tare/params.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tare_optim tare_optim;

/* An option left 0 takes its default. TARE_ZERO says that 0 itself is meant: { .beta1 = TARE_ZERO }. */
#define TARE_ZERO (-0.0)

/* ---- the optimizers ---------------------------------------------------------------------------------------------- */
/* p parameter, g its gradient, t the number of this step (1 for the first).
 * Each returns NULL, with tare_error() set, where an option is out of range (negative, NaN, infinite) or memory is short.
 * The parameters must all be there already, and must outlive the optimizer. Pairs with tare_optim_free. */

/* tare_sgd_new - stochastic gradient descent
 *   g += weight_decay p;   b = g at t = 1, then b = momentum b + (1 - dampening) g;
 *   p -= lr (nesterov ? g + momentum b : b)                            without momentum: p -= lr g
 *   errors  also: nesterov without momentum or with dampening
 *   agrees with torch.optim.SGD (tests/golden) */
typedef struct tare_sgd_opt {
    double lr;           /* 1e-3 */
    double momentum;     /* 0: none */
    double dampening;    /* 0: none; at most 1 */
    double weight_decay; /* 0: none */
    bool nesterov;
    bool decay_all;
} tare_sgd_opt;
TARE_API tare_optim *tare_sgd_new(tare_params *ps, tare_sgd_opt opt);

/* tare_adam_new, tare_adamw_new - Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101
 *   Adam:  g += weight_decay p       AdamW:  p -= lr weight_decay p
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
 *   agrees with torch.optim.Adam and AdamW (tests/golden) */
typedef struct tare_adam_opt {
    double lr;           /* 1e-3 */
    double beta1, beta2; /* 0.9, 0.999; in [0, 1) */
    double eps;          /* 1e-8; above 0 */
    double weight_decay; /* 0: none */
    bool decay_all;
} tare_adam_opt;
TARE_API tare_optim *tare_adam_new(tare_params *ps, tare_adam_opt opt);
TARE_API tare_optim *tare_adamw_new(tare_params *ps, tare_adam_opt opt);

/* tare_rmsprop_new - Hinton's RMSprop; centered: Graves 2013, arXiv:1308.0850
 *   g += weight_decay p;  s = alpha s + (1 - alpha) g^2
 *   centered:  a = alpha a + (1 - alpha) g,  d = sqrt(max(s - a^2, 0)) + eps;     else  d = sqrt(s) + eps
 *   momentum:  b = momentum b + g / d,  p -= lr b;                                else  p -= lr g / d
 *   agrees with torch.optim.RMSprop (tests/golden), which takes the root of a negative number where s - a^2 rounds below 0 */
typedef struct tare_rmsprop_opt {
    double lr;           /* 1e-2 */
    double alpha;        /* 0.99; in [0, 1] */
    double eps;          /* 1e-8; above 0 */
    double momentum;     /* 0: none */
    double weight_decay; /* 0: none */
    bool centered;
    bool decay_all;
} tare_rmsprop_opt;
TARE_API tare_optim *tare_rmsprop_new(tare_params *ps, tare_rmsprop_opt opt);

TARE_API void tare_optim_free(tare_optim *o);

/* ---- stepping ---------------------------------------------------------------------------------------------------- */

/* tare_optim_step - one update from the gradients that are there. Parameters with requires_grad off stay as they are.
 *   errors  TARE_EINVAL: o is NULL, the parameters are frozen, or some were added since it was made; nothing has changed */
TARE_API tare_status tare_optim_step(tare_optim *o);
/* tare_optim_step_scaled - the same with every gradient multiplied by `scale` on the way (gradients are not written). */
TARE_API tare_status tare_optim_step_scaled(tare_optim *o, double scale);
/* tare_optim_step_clipped - clip to `max_norm` and step in one pass; *norm (may be NULL) is the norm before clipping.
 *   errors  TARE_ENONFINITE: the norm is NaN or Inf; nothing has changed */
TARE_API tare_status tare_optim_step_clipped(tare_optim *o, double max_norm, double *norm);

/* The learning rate of the next steps; setting one that is negative, NaN or infinite gives TARE_EINVAL, and 0 is 0. */
TARE_API double tare_optim_lr(const tare_optim *o);
TARE_API tare_status tare_optim_lr_set(tare_optim *o, double lr);

/* tare_grad_norm - the Euclidean norm of all gradients (of parameters that require one) as one vector; summed in double,
 * in an order that the shapes fix. NaN or Inf where a gradient is. */
TARE_API double tare_grad_norm(tare_params *ps);
/* tare_clip_scale - min(max_norm / (norm + 1e-6), 1), PyTorch's factor; 1 where norm is NaN or Inf or max_norm <= 0. */
TARE_API double tare_clip_scale(double norm, double max_norm);
/* tare_clip_grad_norm - multiply the gradients by that factor; returns the norm before. A norm of NaN or Inf leaves them
 * untouched. tare_optim_step_clipped does both in one pass. */
TARE_API double tare_clip_grad_norm(tare_params *ps, double max_norm);
/* tare_clip_weights - each value of each parameter that requires a gradient into [-limit, limit], biases too: after every step
 * of a Wasserstein critic.   errors  TARE_EINVAL: limit not above 0.   source  Arjovsky et al. 2017, arXiv:1701.07875 */
TARE_API tare_status tare_clip_weights(tare_params *ps, double limit);

/* ---- an average of the weights -------------------------------------------------------------------------------------- */

/* tare_ema - a second set of values for all parameters and buffers, which follows the first: to sample and evaluate with.
 *   parameters  average = d average + (1 - d) p,   d = decay, or with warm-up min(decay, (1 + t) / (10 + t)), t updates before
 *   buffers     copied
 * It begins as the values at hand. An update allocates nothing.   source  Polyak & Juditsky 1992; of generators: Yazici et al.
 * 2019, arXiv:1806.04498 */
typedef struct tare_ema tare_ema;
typedef struct tare_ema_opt {
    double decay; /* 0.999; in [0, 1] */
    bool warmup;  /* follow closely to begin with */
} tare_ema_opt;

/* tare_ema_new - NULL, with tare_error() set, where decay is out of range or memory short. The parameters must all be there
 * already, and must outlive the average. Pairs with tare_ema_free. */
TARE_API tare_ema *tare_ema_new(tare_params *ps, tare_ema_opt opt);
TARE_API void tare_ema_free(tare_ema *e);
/* tare_ema_update - after each step of the optimizer.
 *   errors  TARE_EINVAL: swapped in, or parameters were added since it was made; nothing has changed */
TARE_API tare_status tare_ema_update(tare_ema *e);
/* tare_ema_swap - exchange the average and the values in the tare_params, buffers too: once to use the average, once more to go
 * on training.   errors  TARE_EINVAL: parameters were added since */
TARE_API tare_status tare_ema_swap(tare_ema *e);
TARE_API bool tare_ema_swapped(const tare_ema *e);

/* What it consists of, for checkpoints (tare_checkpoint_ema): laid out like tare_params_flat and tare_params_buffer_flat. */
TARE_API tare_params *tare_ema_params(const tare_ema *e);
TARE_API tare_real *tare_ema_flat(const tare_ema *e);
TARE_API tare_real *tare_ema_buffer_flat(const tare_ema *e);
TARE_API bool tare_ema_fits(const tare_ema *e);
TARE_API uint64_t tare_ema_updates(const tare_ema *e);
TARE_API void tare_ema_updates_set(tare_ema *e, uint64_t updates);

/* ---- state, for checkpoints and displays ---------------------------------------------------------------------------- */

TARE_API const char *tare_optim_name(const tare_optim *o);
TARE_API tare_params *tare_optim_params(const tare_optim *o);
/* How many steps have been taken. */
TARE_API uint64_t tare_optim_steps(const tare_optim *o);
TARE_API void tare_optim_steps_set(tare_optim *o, uint64_t steps);
/* tare_optim_fits - false where parameters were added since the optimizer was made: it has no state for them. */
TARE_API bool tare_optim_fits(const tare_optim *o);
/* Its state arrays ("exp_avg", ...), each laid out like tare_params_flat (while the optimizer fits). */
TARE_API int tare_optim_slots(const tare_optim *o);
TARE_API const char *tare_optim_slot_name(const tare_optim *o, int index);
TARE_API tare_real *tare_optim_slot(const tare_optim *o, int index);

/* ---- what an optimizer is: fill one of these to bring your own ------------------------------------------------------- */

enum { TARE_OPTIM_SLOTS = 4, TARE_OPTIM_COEFS = 8 };

/* tare_optim_range - one stretch of the flat block to update. */
typedef struct tare_optim_range {
    tare_real *data;
    const tare_real *grad;
    tare_real *slot[TARE_OPTIM_SLOTS]; /* NULL where not used */
    int64_t n;
    double lr;
    double decay;      /* weight decay here: 0 in parameters that it passes over */
    double grad_scale; /* to multiply the gradient by */
    uint64_t step;     /* 1 for the first */
    const void *attr;
    const double *coef; /* what prepare computed */
} tare_optim_range;

typedef struct tare_optim_class {
    const char *name;
    double lr; /* what `--optimizer name` takes where the user says nothing; PyTorch's for the built-in ones */
    double weight_decay;
    const char *slot[TARE_OPTIM_SLOTS];                             /* names of the state arrays; they start as zeros */
    size_t attr_size;                                               /* of the optimizer's own options */
    const void *attr;                                               /* its defaults; NULL where attr_size is 0 */
    tare_status (*check)(const void *attr);                         /* may be NULL */
    unsigned (*slots)(const void *attr);                            /* bit i: slot i is used; NULL: every named one */
    void (*prepare)(const void *attr, uint64_t step, double *coef); /* numbers the whole step shares; may be NULL */
    /* Elementwise, so that any split gives the same bits; zeros in data, grad and slots (padding) must stay zeros. */
    void (*update)(const tare_optim_range *r);
} tare_optim_class;

typedef struct tare_optim_opt {
    double lr;           /* 0: the class's */
    double weight_decay; /* 0: none */
    bool decay_all;      /* decay TARE_NO_DECAY parameters too, as PyTorch does */
    const void *attr;    /* NULL: the class's; copied */
} tare_optim_opt;
TARE_API tare_optim *tare_optim_new(tare_params *ps, const tare_optim_class *cls, tare_optim_opt opt);

/* tare_optim_class_find - "sgd", "adam", "adamw", "rmsprop", one of an open plugin's, or NULL; tare_optim_class_at(0), (1), ...
 * NULL after the last. */
TARE_API const tare_optim_class *tare_optim_class_find(const char *name);
TARE_API const tare_optim_class *tare_optim_class_at(int index);

/* ---- schedules ----------------------------------------------------------------------------------------------------- */

typedef enum tare_schedule_kind {
    TARE_SCHEDULE_CONSTANT,
    TARE_SCHEDULE_STEP,
    TARE_SCHEDULE_COSINE,
    TARE_SCHEDULE_LINEAR,
} tare_schedule_kind;

/* tare_schedule - a learning rate over the steps of a run; plain data.
 * With t = 0 for the first step, w = warmup, T = steps - w, and u = min(t - w, T):
 *   t < w     lr (t + 1) / (w + 1)                                 torch: LinearLR(start_factor=1/(w+1), total_iters=w)
 *   constant  lr
 *   step      lr gamma^floor((t - w) / every)                       StepLR
 *   cosine    min + (lr - min) (1 + cos(pi u / T)) / 2              CosineAnnealingLR(T); stays at min after T
 *   linear    lr + (min - lr) u / T                                 LinearLR(1, min/lr, T) */
typedef struct tare_schedule {
    tare_schedule_kind kind;
    double lr;      /* the highest rate */
    double min;     /* where cosine and linear end */
    int64_t steps;  /* of the whole run, warm-up included */
    int64_t warmup; /* steps of warm-up */
    double every;   /* step: in steps, or below 1 as a share of T; 0: a third of T */
    double gamma;   /* step: 0 is 0.1 */
} tare_schedule;

/* tare_schedule_at - the rate of step t >= 0; depends on nothing else. */
TARE_API double tare_schedule_at(const tare_schedule *s, int64_t t);
/* tare_schedule_check - TARE_EINVAL, naming the field, where one is negative, NaN or infinite, or warmup > steps. */
TARE_API tare_status tare_schedule_check(const tare_schedule *s);
/* tare_schedule_parse - "cosine", "cosine:min=1e-5", "step:every=1000,gamma=0.5", "linear:warmup=100": sets kind and the
 * named fields (min, every, gamma, warmup) of *s; the rest stays. On error *s is unchanged.
 *   errors  TARE_EINVAL: unknown name or key (the message lists the known ones), not a number */
TARE_API tare_status tare_schedule_parse(tare_schedule *s, const char *text);
/* tare_schedule_text - the spec that parses back to *s, with the keys that its kind has; as tare_shape_text. */
typedef struct tare_schedule_buf {
    char text[160];
} tare_schedule_buf;
TARE_API const char *tare_schedule_text(const tare_schedule *s, tare_schedule_buf *buffer);
TARE_API const char *tare_schedule_name(tare_schedule_kind kind);

#ifdef __cplusplus
}
#endif
#endif
