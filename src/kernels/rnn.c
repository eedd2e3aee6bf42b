/* rnn.c - one time step of gated recurrent cells after their matrix products, forward and back, for `cols` of the `width` features
 * of `rows` sequences. Gates lie as [rows, gates, width], rows `pitch` apart. Forward leaves their values where their sums were;
 * backward puts the gradients of the sums there. */
#include "kernels.h"
#include "vmath.h"

/* ---- LSTM: i, f, g, o;  c = f c' + i g,  h = o tanh(c) ------------------------------------------------------------- */

/* x: [4,width] still to be added to the sums. Called with a constant for `plus`. */
static inline void lstm_row(int64_t n, int64_t width, tare_real *gates, const bool plus, const tare_real *x,
                            const tare_real *before, tare_real *c, tare_real *h) {
    tare_real *i = gates, *f = i + width, *g = f + width, *o = g + width;
    V_SIMD
    for (int64_t j = 0; j < n; j++) {
        i[j] = v_sigmoid(plus ? i[j] + x[j] : i[j]);
        f[j] = v_sigmoid(plus ? f[j] + x[width + j] : f[j]);
        g[j] = v_tanh(plus ? g[j] + x[2 * width + j] : g[j]);
        o[j] = v_sigmoid(plus ? o[j] + x[3 * width + j] : o[j]);
        c[j] = f[j] * before[j] + i[j] * g[j];
        h[j] = o[j] * v_tanh(c[j]);
    }
}

/* x, if there is one, is added to the sums of every row. */
void TARE_K(lstm)(int64_t rows, int64_t cols, int64_t width, tare_real *gates, int64_t pitch, const tare_real *x,
                  const tare_real *before, tare_real *c, tare_real *h) {
    for (int64_t r = 0; r < rows; r++, gates += pitch, before += width, c += width, h += width) {
        if (x) {
            lstm_row(cols, width, gates, true, x, before, c, h);
        } else {
            lstm_row(cols, width, gates, false, x, before, c, h);
        }
    }
}

/* dh and dc: what reaches h and c from the step after. dc becomes what reaches the cell before. */
static inline void lstm_row_back(int64_t n, tare_real *i, tare_real *f, tare_real *g, tare_real *o,
                                 const tare_real *before, const tare_real *c, const tare_real *dy, const tare_real *dh,
                                 tare_real *dc) {
    V_SIMD
    for (int64_t j = 0; j < n; j++) {
        const tare_real in = i[j], keep = f[j], fresh = g[j], out = o[j];
        const tare_real d = dh[j] + dy[j], squashed = v_tanh(c[j]);
        const tare_real cell = dc[j] + d * out * (1 - squashed * squashed);
        i[j] = cell * fresh * in * (1 - in);
        f[j] = cell * before[j] * keep * (1 - keep);
        g[j] = cell * in * (1 - fresh * fresh);
        o[j] = d * squashed * out * (1 - out);
        dc[j] = cell * keep;
    }
}

enum { AHEAD = 3 }; /* rows: a part's are too short for a processor to foresee the next */

void TARE_K(lstm_back)(int64_t rows, int64_t cols, int64_t width, tare_real *gates, int64_t pitch,
                       const tare_real *before, const tare_real *c, const tare_real *dy, const tare_real *dh,
                       tare_real *dc) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * width;
        tare_real *g = gates + r * pitch;
        if (r + AHEAD < rows) {
            int64_t next = at + AHEAD * width;
            for (int64_t k = 0; k < 4; k++) { tare__fetch(g + AHEAD * pitch + k * width, cols); }
            tare__fetch(before + next, cols);
            tare__fetch(c + next, cols);
            tare__fetch(dy + next, cols);
        }
        lstm_row_back(cols, g, g + width, g + 2 * width, g + 3 * width, before + at, c + at, dy + at, dh + at, dc + at);
    }
}

/* ---- GRU: r, z, n;  n = tanh(x_n + r hidden_n),  h = (1 - z) n + z h' ---------------------------------------------- */

static inline void gru_row(int64_t cols, tare_real *r, tare_real *z, tare_real *n, const tare_real *hidden_r,
                           const tare_real *hidden_z, const tare_real *hidden, const tare_real *before,
                           tare_real *hidden_n, tare_real *h) {
    V_SIMD
    for (int64_t j = 0; j < cols; j++) {
        const tare_real recurrent = hidden[j];
        r[j] = v_sigmoid(r[j] + hidden_r[j]);
        z[j] = v_sigmoid(z[j] + hidden_z[j]);
        n[j] = v_tanh(n[j] + r[j] * recurrent);
        hidden_n[j] = recurrent;
        h[j] = n[j] + z[j] * (before[j] - n[j]);
    }
}

void TARE_K(gru)(int64_t rows, int64_t cols, int64_t width, tare_real *gates, int64_t pitch, const tare_real *hidden,
                 const tare_real *before, tare_real *hidden_n, tare_real *h) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * width;
        tare_real *g = gates + r * pitch;
        const tare_real *s = hidden + 3 * at;
        gru_row(cols, g, g + width, g + 2 * width, s, s + width, s + 2 * width, before + at, hidden_n + at, h + at);
    }
}

/* dh: what reaches h from the step after; becomes what reaches the h before on the direct way. hidden_n becomes its gradient. */
static inline void gru_row_back(int64_t cols, tare_real *r, tare_real *z, tare_real *n, tare_real *hidden_n,
                                const tare_real *before, const tare_real *dy, tare_real *dh) {
    V_SIMD
    for (int64_t j = 0; j < cols; j++) {
        const tare_real reset = r[j], update = z[j], fresh = n[j], d = dh[j] + dy[j];
        const tare_real dn = d * (1 - update) * (1 - fresh * fresh);
        r[j] = dn * hidden_n[j] * reset * (1 - reset);
        z[j] = d * (before[j] - fresh) * update * (1 - update);
        n[j] = dn;
        hidden_n[j] = dn * reset;
        dh[j] = d * update;
    }
}

void TARE_K(gru_back)(int64_t rows, int64_t cols, int64_t width, tare_real *gates, int64_t pitch, tare_real *hidden_n,
                      const tare_real *before, const tare_real *dy, tare_real *dh) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * width;
        tare_real *g = gates + r * pitch;
        gru_row_back(cols, g, g + width, g + 2 * width, hidden_n + at, before + at, dy + at, dh + at);
    }
}
