/* tape_impl.h - the inside of a tape, shared by tape.c, apply.c and backward.c. */
#ifndef TARE_TAPE_IMPL_H
#define TARE_TAPE_IMPL_H

#include "pool.h"

#include <tare/tape.h>

enum { TARE__ERROR_SIZE = 1024 };

struct tare_tape {
    tare_tape_opt opt;
    tare__pool values;  /* data, saved, scratch and gradients: come and go within a step */
    tare__pool records; /* nodes and tensors: stay until the reset */
    tare_node **node;
    int64_t length, room;
    const char *layer;
    const tare_watch *watch;
    const tare_trace *trace;
    tare_tape *inner; /* where stretches are recomputed, or NULL */
    uint64_t next;    /* number of the next node, which its random stream goes by */
    bool repeats;     /* this is an inner tape, at work for backward */
    uint64_t step;
    tare_rng step_rng;
    bool check_finite;
    /* a limit of memory, and bytes of this step: results made, those let go to be computed again, and how many of them to let go */
    size_t limit, made, gone, to_go, most_made;
    bool overrun; /* a canary was found damaged */
    tare_status status;
    char error[TARE__ERROR_SIZE];
};

/* Memory for values; with opt.guard a canary lies behind it. */
void *tare__value_alloc(tare_tape *t, size_t bytes);
/* Frees `memory` (NULL is fine); a damaged canary becomes the tape's error, in `n`'s name. */
void tare__value_free(tare_tape *t, void *memory, size_t bytes, const tare_node *n);

/* Take this thread's last message as the tape's error, unless it has one. */
tare_status tare__tape_fail_last(tare_tape *t, tare_status status);

/* apply.c. Forward with its scratch; `again`: for backward, which the trace is told. */
tare_status tare__run_forward(tare_tape *t, tare_node *n, bool again);

/* A zeroed tensor with its data still NULL. */
tare_tensor *tare__tensor_new(tare_tape *t, tare_shape shape, int64_t numel);

static inline size_t tare__bytes(int64_t numel) { return (size_t)numel * sizeof(tare_real); }

/* Does backward of the op read its result? */
static inline bool tare__reads_result(const tare_op *op) { return op->reads == 0 || (op->reads & TARE_READS_OUT); }
/* ... its input i? */
static inline bool tare__reads_input(const tare_op *op, int i) {
    return !(op->reads & TARE_READS_NOTHING) && (op->reads == 0 || i >= 30 || (op->reads & TARE_READS_IN(i)));
}

/* The tensor that owns the data x shows. */
static inline tare_tensor *tare__owner(tare_tensor *x) { return x->base ? x->base : x; }

/* Backward of n will read so many values, or (-1) has read them. */
static inline void tare__count_readers(const tare_node *n, int more) {
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] && tare__reads_input(n->op, i)) { tare__owner(n->in[i])->readers += more; }
    }
    if (tare__reads_result(n->op)) { n->out->readers += more; }
}

#endif
