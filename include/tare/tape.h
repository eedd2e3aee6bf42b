/* tare/tape.h - the tape: run an op, remember it, go back for the gradients. And: what an op is.
 *
 * Define-by-run: each call computes at once and appends a node. The order of execution is a topological order, so
 * backward is one reverse loop and a recurrent net is a `for`. Errors stick: the tape keeps the first one, every later op
 * returns NULL, and NULL in gives NULL out, so a model needs no checks and the step checks once (tare_backward).
 */
#ifndef TARE_TAPE_H
#define TARE_TAPE_H

#include <tare/core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tare_tape tare_tape;
typedef struct tare_node tare_node;
typedef struct tare_op tare_op;
struct tare_layer; /* tare/layers.h */

/* ---- life of a tape ---------------------------------------------------------------------------------------------- */

typedef struct tare_tape_opt {
    bool training; /* BatchNorm takes batch statistics, dropout drops */
    bool no_grad;  /* nothing will go backward: intermediate values are dropped as soon as they are released */
    bool guard;    /* put canaries behind every buffer and check them (tare_tape_guard) */
    uint64_t seed; /* of the tape's random stream (dropout) */
} tare_tape_opt;

/* tare_tape_new - an empty tape; NULL with TARE_ENOMEM where memory is short. Pairs with tare_tape_free. */
TARE_API tare_tape *tare_tape_new(tare_tape_opt opt);
TARE_API void tare_tape_free(tare_tape *tape);

/* tare_tape_reset - forget all nodes, tensors and the error; keep the memory; go on to the next step's random stream.
 * From the third step of the same shapes on, a step allocates nothing. */
TARE_API void tare_tape_reset(tare_tape *tape);

TARE_API bool tare_tape_training(const tare_tape *tape);
TARE_API void tare_tape_training_set(tare_tape *tape, bool training);
/* The number of resets so far: with the seed it fixes the random stream, so a checkpoint stores it and resume sets it. */
TARE_API uint64_t tare_tape_step(const tare_tape *tape);
TARE_API void tare_tape_step_set(tare_tape *tape, uint64_t step);

/* tare_tape_status - TARE_OK or the first error since the reset; tare_tape_error is its message ("" if none). */
TARE_API tare_status tare_tape_status(const tare_tape *tape);
TARE_API const char *tare_tape_error(const tare_tape *tape);
/* tare_tape_fail - give the tape an error of your own (the first one stays); returns NULL for `return tare_tape_fail(..)`. */
TARE_API void *tare_tape_fail(tare_tape *tape, tare_status status, const char *format, ...) TARE_PRINTF(3, 4);

/* tare_tape_peak - most bytes that tensors, saved values and gradients took at once in any step so far. */
TARE_API size_t tare_tape_peak(const tare_tape *tape);
/* tare_tape_bytes - what they take at this moment. */
TARE_API size_t tare_tape_bytes(const tare_tape *tape);
/* tare_tape_limit_set - from now on a step should take no more than so many bytes: values of products (TARE_OP_AGAIN) are not kept for
 * backward but computed again there, as many as it takes; the same bits for more time. The first step does so with all of them, the next
 * ones with fewer, as far as there is room. What cannot be had is not: tare_tape_peak tells. 0: no limit. */
TARE_API void tare_tape_limit_set(tare_tape *tape, size_t bytes);
/* tare_tape_check_finite - from now on stop at the first op that makes NaN or Inf from finite inputs (or meets one in an
 * input or parameter), with TARE_ENONFINITE and a message naming op, layer and the range of its inputs. Slow: for replaying
 * a bad step. */
TARE_API void tare_tape_check_finite(tare_tape *tape, bool on);
/* tare_tape_guard - TARE_EINVAL, naming the op, if one wrote past the end of a buffer (needs opt.guard). */
TARE_API tare_status tare_tape_guard(tare_tape *tape);

/* tare_tape_layer_set - the layer name that nodes recorded from now on carry; returns the one before. Not copied. */
TARE_API const char *tare_tape_layer_set(tare_tape *tape, const char *layer);

/* tare_watch - is shown what each layer takes and gives, as soon as it has run, while both still have their values. */
typedef struct tare_watch {
    void (*see)(void *context, const struct tare_layer *layer, const tare_tensor *x, const tare_tensor *y);
    void *context;
} tare_watch;
/* tare_tape_watch_set - from now on every layer run on this tape (tare_forward) shows itself to `watch`, which is lent, not
 * copied, and leaves tape and tensors alone; NULL: no more. tare_tape_watch - the one that was set, or NULL. */
TARE_API void tare_tape_watch_set(tare_tape *tape, const tare_watch *watch);
TARE_API const tare_watch *tare_tape_watch(const tare_tape *tape);

/* tare_tape_fuses - may a layer do the work of the one behind it along with its own? Not while layers are watched, nor ops checked for
 * NaN: each of them then shows what it makes. */
TARE_API bool tare_tape_fuses(const tare_tape *tape);

/* tare_trace - is called before and after each op's forward and backward, on the caller's thread: for profiles. A forward that
 * backward runs once more (TARE_OP_CHEAP) shows itself as a part of backward. */
typedef struct tare_trace {
    void (*begin)(void *context, const tare_node *n, bool backward);
    void (*end)(void *context, const tare_node *n, bool backward);
    void *context;
} tare_trace;
/* tare_tape_trace_set - from now on every op on this tape shows itself to `trace`, which is lent, not copied; NULL: no more. */
TARE_API void tare_tape_trace_set(tare_tape *tape, const tare_trace *trace);

/* The nodes of this step in order, for summaries and profiles. */
TARE_API int64_t tare_tape_length(const tare_tape *tape);
TARE_API const tare_node *tare_tape_node(const tare_tape *tape, int64_t index);

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* tare_input - a tensor with a copy of `data` (NULL: uninitialised, fill x->data). Set x->requires_grad at once if its
 * gradient is wanted; it is there, in x->grad, after backward, until the reset. */
TARE_API tare_tensor *tare_input(tare_tape *tape, tare_shape shape, const tare_real *data);
/* tare_input_view - the same without the copy: `data` must stay as it is until the reset. */
TARE_API tare_tensor *tare_input_view(tare_tape *tape, tare_shape shape, tare_real *data);
/* tare_detach - a copy of x's values without its history: no gradient flows back, and backward leaves it alone. */
TARE_API tare_tensor *tare_detach(tare_tape *tape, tare_tensor *x);
/* tare_release - the caller will not read x again: its memory is reused as soon as backward does not need it, or at once where x is
 * large and computed again in no time (TARE_OP_CHEAP): what was written into x->data by hand is lost with it. To change values on the
 * way use an op; backward takes each op's result for what the op made. */
TARE_API void tare_release(tare_tape *tape, tare_tensor *x);
/* tare_item - the value of a one-element tensor; NaN for NULL. */
TARE_API double tare_item(const tare_tensor *x);

/* tare_backward - gradients of the one-element `loss` for every tensor upstream that requires one. Parameter gradients are
 * added to what is there (tare_params_zero_grad starts anew). Values computed on the way are dead afterwards (x->data is
 * NULL) except inputs, parameters and the loss: read predictions before.
 *   errors  the tape's first error, if it has one;  TARE_EINVAL: loss has more than one element, needs no gradient, or has
 *           been through backward already;  TARE_ENOMEM */
TARE_API tare_status tare_backward(tare_tape *tape, tare_tensor *loss);
/* tare_backward_from - the same from any tensor y, with dL/dy = dy (as many values as y has; NULL: TARE_EINVAL). */
TARE_API tare_status tare_backward_from(tare_tape *tape, tare_tensor *y, const tare_real *dy);

/* tare_recompute - y = f(x), of which only x and y are kept: backward runs f once more for the rest. Less memory, more time, and the
 * same bits: values, gradients, random numbers. f is any stretch of a model; it takes nothing with a gradient but x and parameters,
 * which it finds through `context`, and must be ready to run a second time before the reset. The second time it leaves the model's
 * state alone: tare_tape_repeats is true, and layers with running statistics or power iterations look at it. Without gradients
 * (no_grad) it is f(context, tape, x).
 *   source  Chen et al. 2016, arXiv:1604.06174 */
typedef tare_tensor *(*tare_recompute_fn)(void *context, tare_tape *tape, tare_tensor *x);
TARE_API tare_tensor *tare_recompute(tare_tape *tape, tare_recompute_fn f, void *context, tare_tensor *x);
TARE_API bool tare_tape_repeats(const tare_tape *tape);

/* ---- what an op is ----------------------------------------------------------------------------------------------- */

enum { TARE_MAX_INPUTS = 64, TARE_CASE_INPUTS = 8 };

/* What an op may promise (flags). */
enum {
    /* backward looks at tare_grad_add() and overwrites where it is false; without this flag it always adds, to zeros */
    TARE_OP_FRESH = 1,
    /* the output is input 0's memory under another shape: no forward, no backward, the tape does both */
    TARE_OP_ALIAS = 2,
    /* an input's gradient may be made in the memory of the output's, where shapes allow: backward reads dy[i] before it writes dx[i],
     * and not again. The tape then gives that input the output's own memory: tare_grad(n, i) == n->out->grad, overwritten. Without
     * TARE_OP_FRESH, which overwrites, it says nothing */
    TARE_OP_INPLACE = 4,
    /* a large result that has been released is computed again when backward wants to read it, rather than kept: forward costs little,
     * gives the same bits from the same inputs a second time, and changes nothing but its output and what it saves */
    TARE_OP_CHEAP = 8,
    /* the same of an op that does cost something: where memory is short (tare_tape_limit_set) */
    TARE_OP_AGAIN = 16,
    /* the gradient of input 0 may be made in the memory of that input's values: backward reads them before it writes, and not again. The
     * tape does so where no other backward is still to read them: tare_grad(n, 0) == n->in[0]->data. It wants TARE_OP_FRESH too */
    TARE_OP_OVER_INPUT = 32,
};

/* Which values backward reads (reads): TARE_READS_IN(0) | TARE_READS_OUT ...; 0 means all of them. The others may be gone by then. */
#define TARE_READS_IN(i)   (1u << (i))
#define TARE_READS_OUT     (1u << 30)
#define TARE_READS_NOTHING (1u << 31)

/* How a gradient check fills an input. */
typedef enum tare_fill_kind {
    TARE_FILL_NORMAL,   /* mean lo, standard deviation hi (0: 1) */
    TARE_FILL_UNIFORM,  /* in [lo, hi) */
    TARE_FILL_AWAY,     /* normal, but |x| >= lo: keeps clear of a kink at 0 */
    TARE_FILL_DISTINCT, /* a shuffled ladder with steps of at least 0.1: no two values near each other (max pooling) */
} tare_fill_kind;

typedef struct tare_fill {
    tare_fill_kind kind;
    double lo, hi;
} tare_fill;

/* tare_opcase - one situation an op must get right; gradcheck, goldens and thread tests all run it. */
typedef struct tare_opcase {
    const char *name;                /* unique within the op; golden file key */
    tare_shape in[TARE_CASE_INPUTS]; /* shapes of the inputs */
    int n_in;                        /* how many, for ops that take any number; 0: the op's own number */
    unsigned absent;                 /* bit i: input i is NULL (an optional one) */
    unsigned nograd;                 /* bit i: input i takes no gradient (targets, masks) */
    tare_fill fill[TARE_CASE_INPUTS];
    const void *attr; /* the op's attributes, attr_size bytes */
    bool eval;        /* run with training off */
    bool zero;        /* the output is constant, so every gradient is 0, and must be (softmax of one) */
} tare_opcase;

/* tare_op - an operation that can go backward. Identity is the pointer. */
struct tare_op {
    const char *name;
    int n_in;       /* inputs; -1: any number from 1 to TARE_MAX_INPUTS */
    int n_optional; /* the last so many of them may be NULL */
    size_t attr_size;
    unsigned flags;
    unsigned reads;
    /* Everything that can fail: check n->in and n->attr; set n->shape (the output's) and, as needed, saved_bytes,
     * scratch_bytes, grad_scratch_bytes, macs, grad_macs. Return tare_node_fail(n, ...) on error. */
    tare_status (*check)(tare_node *n);
    /* Compute n->out->data from n->in[i]->data. Cannot fail, cannot allocate. */
    void (*forward)(tare_node *n);
    /* From n->out->grad to tare_grad(n, i) for each i where that is not NULL. Cannot fail, cannot allocate.
     * NULL: the op refuses to be recorded where a gradient is wanted. */
    void (*backward)(tare_node *n);
    const tare_opcase *cases; /* at least one if there is a backward; ends with a case whose name is NULL */
};

/* tare_node - one op at work: all that its three functions see. */
struct tare_node {
    const tare_op *op;
    const char *layer; /* "features.0", or NULL */
    int n_in;
    tare_tensor **in;
    tare_tensor *out;
    const void *attr; /* the tape's copy of the attributes */
    bool training;
    bool grad; /* backward will come: save what it needs */
    /* set by check */
    tare_shape shape;
    size_t saved_bytes;        /* kept from forward to backward, only where grad is true */
    size_t scratch_bytes;      /* for forward alone */
    size_t grad_scratch_bytes; /* for backward alone */
    double macs;               /* multiply-adds of forward, for summaries */
    /* given by the tape; 64-byte aligned; NULL where 0 bytes were asked for */
    void *saved;
    void *scratch;
    tare_rng rng; /* this node's own stream, the same whenever the step is repeated */
    /* the tape's own */
    bool done;
    /* set by check, last so that plugins find the rest where it was */
    double grad_macs; /* multiply-adds of backward; 0: macs for each of the first two inputs that wants a gradient */
    int besides;      /* ops whose work it does besides its own: later nodes' random streams count them too */
};

/* tare_apply - check, run and record an op: what tare_relu and its kin call, and what your own ops call.
 * Returns the output, owned by the tape, or NULL with the tape's error set. attr is copied. */
TARE_API tare_tensor *tare_apply(tare_tape *tape, const tare_op *op, tare_tensor *const *in, int n_in,
                                 const void *attr);

/* tare_node_fail - an error that names op and layer first:  conv2d "features.0": <your text> */
TARE_API tare_status tare_node_fail(tare_node *n, tare_status status, const char *format, ...) TARE_PRINTF(3, 4);
/* tare_grad - where backward puts the gradient of input i; NULL: not wanted. */
TARE_API tare_real *tare_grad(const tare_node *n, int i);
/* tare_grad_add - add to tare_grad(n, i) (true), or overwrite it (false; only ever with TARE_OP_FRESH)? */
TARE_API bool tare_grad_add(const tare_node *n, int i);

/* tare_cost - work: floating-point operations of products, and bytes that have to move, each value read or written once.
 * tare_node_cost - that of a node's forward or backward: operations from macs and grad_macs, bytes from the sizes of what it reads,
 * saves and writes. 0 where there is nothing to do. For arithmetic this is exact; caches may save some of the bytes. */
typedef struct tare_cost {
    double flops, bytes;
} tare_cost;
TARE_API tare_cost tare_node_cost(const tare_node *n, bool backward);

/* tare_op_find - an op, built-in or of an open plugin, by name, or NULL; tare_op_at(0), (1), ... lists them, NULL after the
 * last. */
TARE_API const tare_op *tare_op_find(const char *name);
TARE_API const tare_op *tare_op_at(int index);

#ifdef __cplusplus
}
#endif
#endif
