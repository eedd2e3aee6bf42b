/* optim.h - the numbers an optimizer's loop needs, worked out once per step. */
#ifndef TARE_KERNELS_OPTIM_H
#define TARE_KERNELS_OPTIM_H

#include <tare/core.h>

/* What every update begins with: the gradient is  d = scale g + l2 p. */
typedef struct tare__sgd {
    tare_real lr, scale, l2;
    tare_real momentum, take; /* b = momentum b + take d */
    bool nesterov;
} tare__sgd;

typedef struct tare__adam {
    tare_real scale, l2;
    tare_real shrink;       /* decoupled decay: p is multiplied by it */
    tare_real beta1, take1; /* take = 1 - beta, subtracted in double: 1 - 0.999f is off in the fifth digit */
    tare_real beta2, take2;
    tare_real rate;   /* lr / (1 - beta1^t) */
    tare_real unbias; /* 1 / sqrt(1 - beta2^t) */
    tare_real eps;
} tare__adam;

typedef struct tare__rmsprop {
    tare_real lr, scale, l2;
    tare_real alpha, take; /* take = 1 - alpha */
    tare_real eps, momentum;
} tare__rmsprop;

#endif
