/* rnn_walk.c - how the work of a recurrent net is shared out. A step needs the whole state of the step before, so either each thread
 * takes some sequences through all steps and never waits, or each takes some features of all sequences and they meet after
 * every step. The first reads all of W_hh for a few sequences; the second leaves each thread its part of W_hh in its own cache,
 * and pays where that part is the more to read. */
#include "rnn.h"

enum {
    WIDE = 1 << 17,  /* numbers in W_hh; fewer fit any L2 beside the rest */
    COLUMN_PARTS = 4 /* as many threads find work */
};

typedef struct walk {
    const tare__rnn *r;
    int64_t first, last, way, step, cols;
    tare__rnn_step_fn f;
    const void *job;
} walk;

static void rows_through(void *context, int64_t begin, int64_t end) {
    const walk *w = context;
    tare__rnn_part part = { begin, end - begin, 0, w->r->width };
    for (int64_t step = w->first; step != w->last + w->way; step += w->way) { w->f(w->job, step, part); }
}

static void columns_of_step(void *context, int64_t begin, int64_t end) {
    const walk *w = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t col = i * w->cols;
        w->f(w->job, w->step, (tare__rnn_part){ 0, w->r->batch, col, tare__min(w->cols, w->r->width - col) });
    }
}

/* 8 rows are enough for the product to be bound by arithmetic, not by reading the weights, and few enough to lie in registers. */
static int64_t rows_at_once(int64_t batch) { return tare__min(8, tare__max(4, tare__ceil_div(batch, 2))); }

void tare__rnn_walk(const tare__rnn *r, int64_t first, int64_t last, tare__rnn_step_fn f, const void *job) {
    walk w = { .r = r, .first = first, .last = last, .way = last < first ? -1 : 1, .f = f, .job = job };
    if (r->steps == 1 || r->sums * r->width < WIDE) {
        tare_parallel_for(r->batch, rows_at_once(r->batch), rows_through, &w);
        return;
    }
    int64_t panel = tare__gemm_panel();
    w.cols = tare__ceil_div(tare__ceil_div(r->width, COLUMN_PARTS), panel) * panel;
    for (w.step = first; w.step != last + w.way; w.step += w.way) {
        tare_parallel_for(tare__ceil_div(r->width, w.cols), 1, columns_of_step, &w);
    }
}
