/* conv_weight.c - one image's share of a convolution's gradient to weight and bias.
 *
 * dW[c,r,s][k] = sum over outputs f of patch[tap(c,r,s) + output(f)] dy[f][k]: dy is turned round once per image, so that
 * filters lie side by side and fill the vectors even where the input has one channel; tables say where the patch has what. */
#include "conv_tables.h"

enum {
    FC = 256,              /* outputs at a time: FC rows of dy's panel lie in L1 */
    TURNED_SIZE = 1 << 16, /* numbers of dy turned round at a time */
};

/* Filters [k, k+count) of dy as panels of NR filters, a row for each of the patch's outputs; zeros beyond the last filter. */
static void turn(const tare__conv *c, const patch *p, const tare_real *dy, int64_t k, int64_t count, tare_real *to) {
    int64_t plane = c->out_h * c->out_w, outputs = p->rows * p->columns;
    int64_t lines = p->columns == c->out_w ? 1 : p->rows, columns = outputs / lines;
    for (int64_t f = 0; f < count; f += VL) {
        const tare_real *from = dy + (k + f) * plane + p->i0 * c->out_w + p->j0;
        tare_real *panel = to + f / NR * NR * outputs + f % NR;
        for (int64_t i = 0; i < lines; i++) {
            transpose_rows(from + i * c->out_w, plane, min64(VL, count - f), columns, panel + i * columns * NR, NR);
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

typedef struct share {
    const tare__conv_sums *sums;
    tare_real *turned;
    int64_t taps[PATCH_TAPS], outputs[PATCH_FLAT]; /* where they lie in the patch */
} share;

/* weight[taps][filters] += the patch's taps times the turned dy of so many outputs. */
static void multiply(const share *x, const tare_real *in, int64_t taps, int64_t outputs, int64_t filters,
                     tare_real *weight) {
    int64_t blocks = (outputs + FC - 1) / FC, strips = (taps + MR - 1) / MR, step = x->sums->step;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t f = piece(outputs, blocks, b);
        tile t = { .k = piece(outputs, blocks, b + 1) - f, .s = in, .v_step = NR, .alpha = 1, .add = true };
        t.s_columns = x->outputs + f;
        t.c_step = step;
        for (int64_t k = 0; k < filters; k += NR) {
            t.v = x->turned + k * outputs + f * NR;
            for (int64_t n = 0; n < strips; n++) {
                int64_t i = piece(taps, strips, n), rows = piece(taps, strips, n + 1) - i;
                t.s_rows = x->taps + i;
                t.c = weight + i * step + k;
                tile_fns[rows - 1][filters - k > VL](&t);
            }
        }
    }
}

static void run_patch(const tare__conv *c, const patch *p, const tare_real *in, int64_t c0, int64_t channels,
                      void *context) {
    share *x = context;
    const tare__conv_sums *sums = x->sums;
    int64_t taps = c->taps_h * c->taps_w, outputs = p->rows * p->columns;
    int64_t most = max64(NR, TURNED_SIZE / outputs / NR * NR);
    patch_offsets(c, p, 0, channels * taps, x->taps);
    patch_places(p, x->outputs);
    for (int64_t k = 0; k < c->filters; k += most) {
        int64_t filters = min64(most, c->filters - k);
        turn(c, p, sums->dy, k, filters, x->turned);
        for (int64_t v = 0; sums->bias && c0 == 0 && v < filters; v += NR) {
            sum_panel(x->turned + v * outputs, outputs, min64(NR, filters - v), sums->bias + k + v);
        }
        multiply(x, in, channels * taps, outputs, filters, sums->weight + c0 * taps * sums->step + k);
    }
}

void TARE_K(conv_weight)(const tare__conv *c, const tare__conv_sums *sums) {
    _Alignas(64) tare_real in[PATCH_SIZE + PATCH_SLACK];
    _Alignas(64) tare_real turned[TURNED_SIZE];
    if (patch_cut_of(c, false, c->out_h).rows == 0) {
        TARE_K(conv_weight_plain)(c, sums);
    } else {
        share x = { .sums = sums, .turned = turned };
        patch_walk(c, false, 0, c->out_h, in, run_patch, &x);
    }
}
