/* gradcheck.h - the inside of a gradient check, shared by gradcheck.c (what is asked), gradcheck_compare.c (what is
 * compared) and gradcheck_run.c (one run). */
#ifndef TARE_GRADCHECK_H
#define TARE_GRADCHECK_H

#include <tare/testing.h>

#ifdef TARE_F64
#define TARE__EPS 2.220446049250313e-16
#else
#define TARE__EPS 1.1920929e-7
#endif

enum { CHECK_SLOTS = 64, CHECK_SETS = 2 };

/* How one run treats gradients. */
typedef enum tare__mode {
    MODE_FRESH, /* their memory is void: NaN, to be overwritten */
    MODE_ADD,   /* they hold something: to be added to */
} tare__mode;

/* One thing the gradient can be wanted of: an input, or a parameter of the caller's. */
typedef struct tare__slot {
    tare_shape shape;
    int64_t numel;
    bool absent, wants;
    tare_tensor *param;           /* stands for it where a run needs a parameter: the caller's, or one of our own */
    bool own;                     /* param is our own, so fresh runs use an input of the tape instead */
    tare_real *before;            /* the caller's value, to be restored; NULL for inputs */
    tare_real *value[CHECK_SETS]; /* two different inputs */
    tare_real *first[CHECK_SETS]; /* their gradients, all wanted, into fresh memory */
    tare_real *held;              /* what the gradient holds before an adding run */
    tare_real *grad;              /* the gradient of the latest run */
} tare__slot;

typedef struct tare__check {
    const char *name;
    tare_graph_fn graph;
    void *user;
    tare_gradcheck_opt opt;
    tare_gradcheck_report *report;
    tare_tape *tape;
    tare_params *own;   /* parameters that stand for inputs, and every array of the check */
    tare_real *buffers; /* the caller's buffers as they were */
    int inputs, slots;
    tare__slot slot[CHECK_SLOTS];
    int64_t n_out;
    tare_real *dy, *y, *y_first[CHECK_SETS], *y_plus;
} tare__check;

/* What a run is to do; bit s of `wanted`: the gradient of slot s is wanted. */
typedef struct tare__run {
    int set;
    uint64_t wanted;
    tare__mode mode;
} tare__run;

/* Run forward, and backward where something is wanted: leaves c->y and each wanted slot's grad. Fails, with the report
 * filled in, where the graph does, where an input changed, a canary is damaged, or an unwanted gradient was written. */
tare_status tare__check_run(tare__check *c, tare__run run);

/* Forward alone: y into `to`. */
tare_status tare__check_forward(tare__check *c, int set, tare_real *to);

/* The whole check of what has been set up. */
tare_status tare__check_everything(tare__check *c);

/* An array of n values that lives as long as the check; NULL with TARE_ENOMEM's message set. */
tare_real *tare__check_array(tare__check *c, int64_t n);

/* Fill in the report and fail: "<name>: <verdict>: <text>". */
tare_status tare__check_fail(tare__check *c, tare_check check, const char *format, ...) TARE_PRINTF(3, 4);

/* "input 1", or "parameter bn.weight", for messages. */
typedef struct tare__slot_name {
    char text[160];
} tare__slot_name;
const char *tare__slot_text(const tare__check *c, int s, tare__slot_name *buffer);

#endif
