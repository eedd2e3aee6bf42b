/* optim.h - what the optimizers share. */
#ifndef TARE_SRC_OPTIM_H
#define TARE_SRC_OPTIM_H

#include <tare/optim.h>

extern const tare_optim_class tare__class_sgd, tare__class_adam, tare__class_adamw, tare__class_rmsprop;

/* The least eps: above 0 in either precision, so that where all is zero (padding, an unused weight) 0 / eps is 0. */
#define TARE__MIN_EPS 1e-37

/* An option as the user left it: 0 is the default, TARE_ZERO is 0. */
double tare__option(double value, double fallback);
/* TARE_EINVAL, saying which optimizer and option, unless lo <= value <= hi (never for NaN). */
tare_status tare__option_check(const char *optim, const char *option, double value, double lo, double hi);

/* One stretch of the flat block whose parameters all learn, and all decay or all do not. */
typedef struct tare__stretch {
    int64_t begin, end;
    bool decay;
} tare__stretch;

/* The stretch that parameter *index lies in or comes before, with *index moved past it; false after the last. Padding
 * between its parameters counts, and a stretch begins on a 64-byte boundary. split: also part where decay changes. */
bool tare__stretch_next(const tare_params *ps, int *index, bool split, tare__stretch *out);

#endif
