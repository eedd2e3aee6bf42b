/* tare/testing.h - gradient checks: is what backward computes the derivative of what forward computes?
 *
 * One check draws random inputs and a random upstream gradient dy (never the sum of y, which is blind to whatever removes
 * a mean), and compares backward's gradients with central differences of sum(dy * y). Beyond the numbers it proves that
 *   - no gradient is all zero; nothing is NaN or Inf (NaN passes no comparison here);
 *   - every subset of the inputs that may want gradients gets the same ones (all 2^n up to five inputs; beyond that all,
 *     none, each alone, and all but one);
 *   - gradients are added to what was there, where something was, and overwrite it where it was void;
 *   - inputs and unwanted gradients stay as they were, and nothing is written past a buffer;
 *   - a second, different input through the same tape is right too, and the first one again gives the same bits;
 *   - one, two and three threads give the same bits.
 * Use the double build (libtare_f64): relative errors near 1e-9 are usual there, and rtol is 1e-6. In the float build rounding
 * drowns all but gross errors, rtol is 0.02, and the message says so.
 */
#ifndef TARE_TESTING_H
#define TARE_TESTING_H

#include <tare/params.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARE_CHECK_MAP(X)                                                                                              \
    X(TARE_CHECK_OK, "ok")                                                                                             \
    X(TARE_CHECK_ERROR, "cannot run")                                                                                  \
    X(TARE_CHECK_WRONG, "wrong gradient")                                                                              \
    X(TARE_CHECK_ZERO, "gradient all zero")                                                                            \
    X(TARE_CHECK_NONFINITE, "NaN or Inf")                                                                              \
    X(TARE_CHECK_NOT_ADDED, "gradient not added")                                                                      \
    X(TARE_CHECK_SUBSET, "gradient depends on which others are wanted")                                                \
    X(TARE_CHECK_UNWANTED, "unwanted gradient written")                                                                \
    X(TARE_CHECK_INPUT, "input changed")                                                                               \
    X(TARE_CHECK_OVERRUN, "written past a buffer")                                                                     \
    X(TARE_CHECK_STALE, "state left over")                                                                             \
    X(TARE_CHECK_REPEAT, "not repeatable")                                                                             \
    X(TARE_CHECK_THREADS, "depends on the threads")

/* tare_check - what a gradient check found. */
typedef enum tare_check {
#define TARE_CHECK_ENUM(name, text) name,
    TARE_CHECK_MAP(TARE_CHECK_ENUM)
#undef TARE_CHECK_ENUM
} tare_check;

/* tare_check_text - the few words that stand for it; never NULL. */
TARE_API const char *tare_check_text(tare_check check);

/* tare_gradcheck_opt - 0 everywhere: the defaults. */
typedef struct tare_gradcheck_opt {
    uint64_t seed; /* of inputs, upstream gradient and the tape */
    double rtol;   /* allowed error, relative to |numeric| + its root mean square over the tensor: 1e-6 (float: 0.02) */
    double step;   /* of the differences, in units of the input's standard deviation: 1e-5 (float: 5e-3) */
    int64_t elements;    /* at most so many of a tensor's elements are differenced, drawn at random: 200 */
    bool eval;           /* run with training off */
    bool zero;           /* the output is constant: every gradient is 0, and must be */
    bool bits;           /* leave the differences out and check the rest: the part that makes sense in float */
    tare_params *params; /* graphs: parameters to be checked beside the inputs; restored afterwards, as buffers are */
} tare_gradcheck_opt;

typedef struct tare_gradcheck_report {
    tare_check check;
    double worst;             /* the largest error found, in the unit of rtol, which it may reach */
    int input;                /* where it was: which input (parameters follow the inputs) ... */
    int64_t element;          /* ... and which element of it */
    double analytic, numeric; /* the two values there */
    int64_t compared;         /* how many values were compared with differences */
    int subsets;              /* how many subsets of wanted gradients were run */
    char message[512];        /* what was found, for people; "" where all is well */
} tare_gradcheck_report;

/* tare_gradcheck_op - check one case of an op; case NULL: all of its cases, up to the first that fails.
 *   returns TARE_OK; TARE_EINVAL where the check failed (report->message and tare_error() say how); else the error that
 *   kept it from running: TARE_ENOGRAD for an op without backward, TARE_ENOENT for one without cases, TARE_ENOMEM, the op's own */
TARE_API tare_status tare_gradcheck_op(const tare_op *op, const tare_opcase *opcase, const tare_gradcheck_opt *opt,
                                       tare_gradcheck_report *report);

/* tare_graph_fn - computes anything from the inputs: a layer, a loss, a net. Returns the output (any shape). Called many
 * times; must compute the same from the same inputs. Random layers draw the same numbers in each call. */
typedef tare_tensor *(*tare_graph_fn)(tare_tape *tape, tare_tensor *const *in, void *user);

typedef struct tare_gradcheck_input {
    tare_shape shape;
    tare_fill fill;
    bool absent; /* passed as NULL */
    bool nograd; /* takes no gradient */
} tare_gradcheck_input;

/* tare_gradcheck - the same for a graph. `name` is for the messages; n inputs, 0 .. TARE_CASE_INPUTS.
 * opt->params (at most 56 of them) are moved a little from their values for the check, so that ones and zeros hide nothing.
 * opt and report may be NULL. Errors as above, and what tare_graph_fn left on the tape. */
TARE_API tare_status tare_gradcheck(const char *name, tare_graph_fn graph, void *user, const tare_gradcheck_input *in,
                                    int n, const tare_gradcheck_opt *opt, tare_gradcheck_report *report);

/* tare_fill_values - n values of that kind, rounded to float, so that both builds compute from the same numbers. */
TARE_API void tare_fill_values(tare_rng *rng, tare_fill fill, tare_real *data, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
