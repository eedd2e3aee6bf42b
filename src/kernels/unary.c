/* unary.c - activations: one pass each way. Forward y = f(x); backward dx = dy f'(v), or dx += that, where v is x or y as
 * the op says it reads. `k` is the activation's own number (slope, alpha, beta), where it has one. NaN gives NaN. */
#include "kernels.h"
#include "vact.h"

#define FORWARD(name, value)                                                                                           \
    void TARE_K(name)(int64_t n, tare_real k, const tare_real *x, tare_real *y) {                                      \
        (void)k;                                                                                                       \
        V_SIMD for (int64_t i = 0; i < n; i++) {                                                                       \
            const tare_real v = x[i];                                                                                  \
            y[i] = value;                                                                                              \
        }                                                                                                              \
    }

#define BACKWARD(name, gradient)                                                                                       \
    void TARE_K(name)(int64_t n, tare_real k, const tare_real *values, const tare_real *dy, tare_real *dx, bool add) { \
        (void)k;                                                                                                       \
        if (add) {                                                                                                     \
            V_SIMD for (int64_t i = 0; i < n; i++) {                                                                   \
                const tare_real v = values[i], g = dy[i];                                                              \
                dx[i] += gradient;                                                                                     \
            }                                                                                                          \
        } else {                                                                                                       \
            V_SIMD for (int64_t i = 0; i < n; i++) {                                                                   \
                const tare_real v = values[i], g = dy[i];                                                              \
                dx[i] = gradient;                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

/* ---- relu, leaky_relu, elu --------------------------------------------------------------------------------------- */

FORWARD(relu, (v <= 0 ? 0 : v))
BACKWARD(relu_back, (v <= 0 ? 0 : g)) /* v: x or y, the sign is the same */

FORWARD(leaky_relu, (v > 0 ? v : k * v))
BACKWARD(leaky_relu_back, (v > 0 ? g : k * g))

FORWARD(elu, (v > 0 ? v : k * v_expm1(v)))
BACKWARD(elu_back, (v > 0 ? g : g * k * v_exp_neg(v)))

/* ---- sigmoid, tanh, silu, softplus ------------------------------------------------------------------------------- */

FORWARD(sigmoid, (v_sigmoid(v)))
BACKWARD(sigmoid_back, (g * v * (1 - v))) /* v: y */

FORWARD(tanh, (v_tanh(v)))
BACKWARD(tanh_back, (g * (1 - v * v))) /* v: y */

FORWARD(silu, (v * v_sigmoid(v)))
BACKWARD(silu_back, (g * silu_slope(v)))

/* log(1 + e^z) = max(z, 0) + log(1 + e^-|z|); beyond 20 the second term is lost in rounding anyway */
static inline tare_real softplus(tare_real x, tare_real beta) {
    tare_real z = beta * x, positive = z > 0 ? z : 0;
    tare_real y = (positive + v_log1p(v_exp_neg(z - 2 * positive))) / beta;
    return z > 20 ? x : y;
}

FORWARD(softplus, (softplus(v, k)))
BACKWARD(softplus_back, (k * v > 20 ? g : g * v_sigmoid(k * v)))

/* ---- gelu: x Phi(x), and its tanh form (Hendrycks & Gimpel 2016, arXiv:1606.08415) ------------------------------- */

FORWARD(gelu, (gelu(v)))
BACKWARD(gelu_back, (g * gelu_slope(v)))

/* (1 + tanh(u)) / 2 = sigmoid(2 u),  2 u = 2 sqrt(2 / pi) (x + 0.044715 x^3) */
static const tare_real two_u = (tare_real)1.59576912160573071176, two_u_cubic = (tare_real)0.07135481627260024527;

static inline tare_real gelu_tanh_slope(tare_real x) {
    tare_real square = x * x, slope, s = logistic(x * (two_u + two_u_cubic * square), &slope);
    return s + x * slope * (two_u + 3 * two_u_cubic * square);
}

FORWARD(gelu_tanh, (v * v_sigmoid(v * (two_u + two_u_cubic * v * v))))
BACKWARD(gelu_tanh_back, (g * gelu_tanh_slope(v)))
