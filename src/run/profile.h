/* profile.h - the inside of a profile, shared by profile.c (time) and memory_plan.c (memory). */
#ifndef TARE_PROFILE_H
#define TARE_PROFILE_H

#include <tare/run.h>

#include <stdlib.h>

enum { PROFILE_ROWS = 96, PROFILE_PARTS = 4, PROFILE_DEPTH = 16, PLAN_ROWS = 256, PROFILE_PLAYERS = 8 };

typedef struct tare__profile_row {
    const tare_op *op;
    int64_t calls;
    double seconds[2]; /* forward, backward */
    double flops, bytes;
    double least; /* seconds that the machine's peaks would take */
} tare__profile_row;

/* A tape that takes part in the step, whose ops `trace` shows. */
typedef struct tare__profile_tape {
    struct tare_profile *profile;
    tare_tape *tape;
    tare_trace trace;
    uint64_t step; /* of the tape, when it was seen last */
} tare__profile_tape;

/* An optimizer, and the updates it had made when timing began. */
typedef struct tare__profile_optim {
    const tare_optim *optim;
    uint64_t before;
} tare__profile_optim;

/* One layer of the plan; sizes in bytes. */
typedef struct tare__plan_row {
    const char *layer;
    int64_t keeps; /* what its forward leaves behind, for backward or for the next layer */
    int64_t after; /* in use when its backward was done; -1: it had none */
} tare__plan_row;

struct tare_profile {
    tare__profile_tape tape[PROFILE_PLAYERS];
    tare__profile_optim optim[PROFILE_PLAYERS];
    int tapes, optims;
    int64_t steps, done;
    bool memory, planning, timing;
    /* time: place[depth] is what the clock runs for, place[0] a part of the step */
    tare_peak peak;
    double last, part[PROFILE_PARTS], *place[PROFILE_DEPTH];
    int depth, rows;
    tare__profile_row row[PROFILE_ROWS];
    /* memory */
    tare__plan_row plan[PLAN_ROWS];
    int plans, current;
    int64_t in_use, peak_bytes;
    bool peak_backward;
    const char *peak_op, *peak_layer;
    char *text;
    size_t room, used;
};

void tare__profile_line(tare_profile *p, const char *format, ...) TARE_PRINTF(2, 3);
void tare__plan_begin(tare__profile_tape *from, const tare_node *n, bool backward);
void tare__plan_end(tare__profile_tape *from, const tare_node *n, bool backward);
void tare__plan_print(tare_profile *p);

#endif
