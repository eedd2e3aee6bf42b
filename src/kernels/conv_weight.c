/* conv_weight.c - one image's share of a convolution's gradient to weight and bias.
 *
 * dW[c,r,s][k] = sum over outputs f of patch[offset(c,r,s) + f] dy[f][k]: dy is turned round once per image, so that
 * filters lie side by side and fill the vectors even where the input has one channel; the patch is read where it lies. */
#include "conv_patch.h"
#include "gemm_pack.h"

enum {
    FC = 256,              /* outputs at a time: FC rows of dy's panel lie in L1 */
    TURNED_SIZE = 1 << 16, /* numbers of dy turned round at a time */
};

#define TILE_FNS(h)                                                                                                    \
    static void tile_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_ROW_TABLE, false); }                              \
    static void tile_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_ROW_TABLE, false); }
#define TILE_ENTRY(h) { tile_##h##_1, tile_##h##_2 },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn tile_fns[MR][NV] = { TILE_EACH_HEIGHT(TILE_ENTRY) };

/* `count` outputs of `filters` <= VL filters, from output `at` of the patch on (gaps not counted; whole rows, or one row),
 * to their places in the panel. */
static void turn_run(const tare_real *dy, int64_t plane, int64_t filters, int64_t count, const patch *p, int64_t at,
                     tare_real *panel) {
    _Alignas(64) tare_real square[VL * VL];
    int64_t column = at % p->columns, flat = at / p->columns * p->row + column;
    for (int64_t q = 0; q < count; q += VL) {
        int64_t some = min64(VL, count - q);
        if (some == VL) {
            transpose_square(dy + q, plane, filters, square, VL);
        } else {
            transpose_rows(dy + q, plane, filters, some, square, VL);
        }
        for (int64_t e = 0; e < some; e++, flat++) {
            vec_store(panel + flat * NR, vec_load(square + e * VL));
            if (++column == p->columns) { column = 0, flat += p->row - p->columns; }
        }
    }
}

/* Filters [k, k+count) of dy as panels of NR filters, p->flat rows each; zeros in the gaps and beyond the last filter. */
static void turn(const tare__conv *c, const patch *p, const tare_real *dy, int64_t k, int64_t count, tare_real *to) {
    int64_t plane = c->out_h * c->out_w, gap = p->row - p->columns;
    for (int64_t f = 0; f < count; f += VL) {
        const tare_real *from = dy + (k + f) * plane + p->i0 * c->out_w + p->j0;
        tare_real *panel = to + f / NR * NR * p->flat + f % NR;
        int64_t filters = min64(VL, count - f);
        if (p->columns == c->out_w) {
            turn_run(from, plane, filters, p->rows * p->columns, p, 0, panel);
        } else {
            for (int64_t i = 0; i < p->rows; i++) {
                turn_run(from + i * c->out_w, plane, filters, p->columns, p, i * p->columns, panel);
            }
        }
        for (int64_t i = 0; i < p->rows - 1; i++) {
            for (int64_t g = 0; g < gap; g++) { vec_store(panel + (i * p->row + p->columns + g) * NR, (vec){ 0 }); }
        }
    }
}

/* bias += the sums down a panel's columns. */
static void sum_panel(const tare_real *panel, int64_t rows, int64_t columns, double *bias) {
    for (int64_t v = 0; v < columns; v += VL) {
        _Alignas(64) tare_real sums[VL];
        vec even = { 0 }, odd = { 0 };
        for (int64_t f = 0; f + 1 < rows; f += 2) {
            even += vec_load(panel + f * NR + v);
            odd += vec_load(panel + (f + 1) * NR + v);
        }
        if (rows % 2) { even += vec_load(panel + (rows - 1) * NR + v); }
        vec_store(sums, even + odd);
        for (int64_t e = 0; e < min64(VL, columns - v); e++) { bias[v + e] += (double)sums[e]; }
    }
}

/* weight[taps][filters] += the patch's taps times the turned dy. */
static void multiply(const patch *p, const tare_real *in, const int64_t *offsets, int64_t taps, const tare_real *turned,
                     int64_t filters, tare_real *weight, int64_t step) {
    int64_t blocks = (p->flat + FC - 1) / FC, strips = (taps + MR - 1) / MR;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t f = piece(p->flat, blocks, b);
        tile t = { .k = piece(p->flat, blocks, b + 1) - f, .s = in + f, .v_step = NR, .alpha = 1, .add = true };
        t.c_step = step;
        for (int64_t k = 0; k < filters; k += NR) {
            t.v = turned + k * p->flat + f * NR;
            for (int64_t n = 0; n < strips; n++) {
                int64_t i = piece(taps, strips, n), rows = piece(taps, strips, n + 1) - i;
                t.s_table = offsets + i;
                t.c = weight + i * step + k;
                tile_fns[rows - 1][filters - k > VL](&t);
            }
        }
    }
}

typedef struct share {
    const tare__conv_sums *sums;
    tare_real *turned;
} share;

static void run_patch(const tare__conv *c, const patch *p, const tare_real *in, int64_t c0, int64_t channels,
                      void *context) {
    const share *x = context;
    const tare__conv_sums *sums = x->sums;
    int64_t offsets[PATCH_TAPS], taps = c->taps_h * c->taps_w;
    int64_t most = max64(NR, TURNED_SIZE / p->flat / NR * NR);
    patch_offsets(c, p, 0, channels * taps, offsets);
    for (int64_t k = 0; k < c->filters; k += most) {
        int64_t filters = min64(most, c->filters - k);
        turn(c, p, sums->dy, k, filters, x->turned);
        for (int64_t v = 0; sums->bias && c0 == 0 && v < filters; v += NR) {
            sum_panel(x->turned + v * p->flat, p->flat, min64(NR, filters - v), sums->bias + k + v);
        }
        multiply(p, in, offsets, channels * taps, x->turned, filters, sums->weight + c0 * taps * sums->step + k,
                 sums->step);
    }
}

void TARE_K(conv_weight)(const tare__conv *c, const tare__conv_sums *sums) {
    _Alignas(64) tare_real in[PATCH_SIZE + PATCH_SLACK];
    _Alignas(64) tare_real turned[TURNED_SIZE];
    if (patch_cut_of(c, c->out_h).rows == 0) {
        TARE_K(conv_weight_plain)(c, sums);
    } else {
        patch_walk(c, 0, c->out_h, in, run_patch, &(share){ sums, turned });
    }
}
