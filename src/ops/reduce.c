/* reduce.c - sums over any dimensions, cut into units and parts that depend on the shapes alone. */
#include "reduce.h"

enum { MOST_LANES = 256, TILE = 2048, MANY_UNITS = 32, MOST_PARTS = 64, LAST = TARE_MAX_DIMS - 1 };

/* ---- plan -------------------------------------------------------------------------------------------------------- */

static void take_dim(tare__reduction *r, const tare__space *s, int d, bool lane, bool run) {
    const int64_t stride[TARE__WALKERS] = { s->stride[0][d], s->stride[1][d], 0 };
    if (lane) {
        r->lanes = s->dim[d], r->lane_x = stride[0], r->lane_other = stride[1];
    } else if (run) {
        r->run = s->dim[d], r->run_x = stride[0], r->run_other = stride[1];
    } else {
        tare__space_add(s->stride[2][d] ? &r->kept : &r->summed, s->dim[d], stride);
    }
}

static int64_t space_size(const tare__space *s) {
    int64_t size = 1;
    for (int d = 0; d < TARE_MAX_DIMS; d++) { size *= s->dim[d]; }
    return size;
}

tare__reduction tare__reduction_plan(tare_shape from, tare_shape to, tare_shape other) {
    int64_t stride[TARE__WALKERS][TARE_MAX_DIMS];
    tare__strides(from, from, stride[0]);
    tare__strides(other, from, stride[1]);
    tare__strides(to, from, stride[2]);
    tare__space s = tare__space_of(from, stride);
    tare__reduction r = { .kept = tare__space_empty(), .summed = tare__space_empty(), .lanes = 1, .run = 1 };
    int lane = LAST, run = LAST;
    while (lane >= 0 && s.stride[2][lane] == 0) { lane--; }
    while (run >= 0 && s.stride[2][run] != 0) { run--; }
    for (int d = 0; d < TARE_MAX_DIMS; d++) { take_dim(&r, &s, d, d == lane, d == run); }
    r.lane_inner = lane == LAST;
    int64_t outer = space_size(&r.kept);
    r.results = outer * r.lanes;
    r.indices = space_size(&r.summed) * r.run;
    /* whole rows of memory are worth keeping together; separate ones are not */
    r.block =
        r.lane_inner ? MOST_LANES : tare__max(1, tare__min(MOST_LANES, TARE__CHUNK_WORK / tare__max(r.indices, 1)));
    r.units = outer * tare__ceil_div(r.lanes, r.block);
    r.parts = 1;
    double work = (double)r.results * (double)r.indices;
    if (r.units > 0 && r.units < MANY_UNITS && work > 2.0 * TARE__CHUNK_WORK) {
        double parts = work / TARE__CHUNK_WORK / (double)r.units;
        r.parts = tare__max(1, tare__min(r.indices, parts < MOST_PARTS ? (int64_t)parts : MOST_PARTS));
    }
    return r;
}

size_t tare__reduction_scratch(const tare__reduction *r) {
    return r->parts > 1 ? (size_t)(r->parts * r->results) * sizeof(double) : 0;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

typedef struct job {
    const tare__reduction *r;
    tare__sum sum;
    const tare__kernel_table *k;
} job;

/* `lanes` sums, each over `run` neighbours along the run; f's values pass through a buffer in L1. */
static void sum_block(const job *j, int64_t lanes, int64_t run, const int64_t at[TARE__WALKERS], double *sums) {
    const tare__reduction *r = j->r;
    int64_t rows = r->lane_inner ? run : lanes, cols = r->lane_inner ? lanes : run;
    int64_t x_row = r->lane_inner ? r->run_x : r->lane_x;
    const tare_real *x = j->sum.x + at[0];
    void (*add_up)(int64_t, int64_t, const tare_real *, int64_t, double *) =
        r->lane_inner ? j->k->sum_cols : j->k->sum_rows;
    if (!j->sum.f) {
        add_up(rows, cols, x, x_row, sums);
        return;
    }
    int64_t other_row = r->lane_inner ? r->run_other : r->lane_other;
    int64_t other_col = r->lane_inner ? r->lane_other : r->run_other;
    const tare_real *other = j->sum.other + at[1];
    tare_real tile[TILE];
    int64_t wide = tare__min(cols, TILE), high = TILE / tare__max(wide, 1);
    for (int64_t row = 0; row < rows; row += high) {
        int64_t h = tare__min(high, rows - row);
        for (int64_t col = 0; col < cols; col += wide) {
            int64_t w = tare__min(wide, cols - col);
            j->sum.f(h, w, (tare__view){ x + row * x_row + col, x_row, 1 },
                     (tare__view){ other + row * other_row + col * other_col, other_row, other_col }, tile, w, false);
            add_up(h, w, tile, w, r->lane_inner ? sums : sums + row);
        }
    }
}

static void store(const tare__sum *s, int64_t result, double value) {
    value *= s->factor;
    if (s->divisor) { value /= (double)s->divisor[result]; }
    s->to[result] = (tare_real)(s->add ? (double)s->to[result] + value : value);
}

static void sum_unit(const job *j, int64_t unit, int64_t part) {
    const tare__reduction *r = j->r;
    int64_t blocks = tare__ceil_div(r->lanes, r->block), outer = unit / blocks, lane = unit % blocks * r->block;
    int64_t lanes = tare__min(r->block, r->lanes - lane), result = outer * r->lanes + lane;
    int64_t begin = r->indices * part / r->parts, end = r->indices * (part + 1) / r->parts;
    int64_t base[TARE__WALKERS] = { lane * r->lane_x, lane * r->lane_other };
    tare__space_seek(&r->kept, TARE_MAX_DIMS, outer, base);
    double sums[MOST_LANES] = { 0 };
    while (begin < end) {
        int64_t step = begin % r->run, run = tare__min(r->run - step, end - begin);
        int64_t at[TARE__WALKERS] = { base[0] + step * r->run_x, base[1] + step * r->run_other };
        tare__space_seek(&r->summed, TARE_MAX_DIMS, begin / r->run, at);
        sum_block(j, lanes, run, at, sums);
        begin += run;
    }
    double *partial = r->parts > 1 ? (double *)j->sum.scratch + part * r->results : NULL;
    for (int64_t i = 0; i < lanes; i++) {
        if (partial) {
            partial[result + i] = sums[i];
        } else {
            store(&j->sum, result + i, sums[i]);
        }
    }
}

static void sum_units(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    for (int64_t i = begin; i < end; i++) { sum_unit(j, i / j->r->parts, i % j->r->parts); }
}

static void add_parts(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const double *partial = j->sum.scratch;
    for (int64_t i = begin; i < end; i++) {
        double value = 0;
        for (int64_t p = 0; p < j->r->parts; p++) { value += partial[p * j->r->results + i]; }
        store(&j->sum, i, value);
    }
}

void tare__reduce(const tare__reduction *r, tare__sum sum) {
    job j = { .r = r, .sum = sum, .k = tare__kernels() };
    double work = (double)r->indices * (double)tare__min(r->lanes, r->block) / (double)r->parts;
    tare_parallel_for(r->units * r->parts, tare__grain(work), sum_units, &j);
    if (r->parts > 1) { tare_parallel_for(r->results, tare__grain((double)r->parts), add_parts, &j); }
}
