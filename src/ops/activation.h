/* activation.h - what every activation shares: one output per input, one kernel each way. */
#ifndef TARE_OPS_ACTIVATION_H
#define TARE_OPS_ACTIVATION_H

#include "common.h"

typedef void (*tare__activation_fn)(int64_t n, tare_real k, const tare_real *x, tare_real *y);
typedef void (*tare__activation_back_fn)(int64_t n, tare_real k, const tare_real *values, const tare_real *dy,
                                         tare_real *dx, bool add);

/* The output has the input's shape. */
tare_status tare__activation_check(tare_node *n);
/* y = f(x);  k is the activation's number, work its cost as tare__grain counts it. */
void tare__activation_forward(const tare_node *n, tare__activation_fn f, double k, double work);
/* dx (+)= dy f'(v), where v is what forward saved, else y if the op reads its output, else x. */
void tare__activation_backward(const tare_node *n, tare__activation_back_fn f, double k, double work);

/* The attribute of activations that have a number, and their check: it must be finite. */
typedef struct tare__activation_opt {
    double k;
} tare__activation_opt;
tare_status tare__activation_check_k(tare_node *n, const char *what);

#endif
