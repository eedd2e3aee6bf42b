/* tare/params.h - the named parameters and buffers of one model, each kind in one block of memory.
 *
 * Values and gradients of all parameters are two flat arrays, so an optimizer is one loop and a checkpoint one write.
 * Each tensor starts on a 64-byte boundary; the padding between stays zero.
 */
#ifndef TARE_PARAMS_H
#define TARE_PARAMS_H

#include <tare/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tare_params tare_params;

/* tare_params_new - no parameters yet; `seed` decides the initialisation. Pairs with tare_params_free, which frees the
 * layers made in it too. Errors of tare_param, tare_buffer and layer constructors stick here, the first one stays: check
 * tare_params_status once the model stands. */
TARE_API tare_params *tare_params_new(uint64_t seed);
TARE_API void tare_params_free(tare_params *ps);
TARE_API tare_status tare_params_status(const tare_params *ps);
TARE_API const char *tare_params_error(const tare_params *ps);
/* tare_params_fail - set the sticky error; returns NULL, for constructors. */
TARE_API void *tare_params_fail(tare_params *ps, tare_status status, const char *format, ...) TARE_PRINTF(3, 4);

/* tare_params_push / pop - prefix the names that follow: push "layer1", push "0", param "weight" -> "layer1.0.weight". */
TARE_API void tare_params_push(tare_params *ps, const char *scope);
TARE_API void tare_params_pop(tare_params *ps);
/* tare_params_name - `name` under the current scopes, owned by ps. */
TARE_API const char *tare_params_name(tare_params *ps, const char *name);

enum {
    TARE_NO_DECAY = 1, /* weight decay passes over it (norm scales and shifts, biases) */
};

/* tare_param - a new parameter, zero until initialised (tare_init_*). Its name must be new. Owned by ps; stays where it is
 * for ps's life, though its data may move while parameters are still being added.
 *   errors (sticky, returns NULL)  TARE_EEXIST: name taken;  TARE_ESHAPE: shape not positive;  TARE_ENOMEM */
TARE_API tare_tensor *tare_param(tare_params *ps, const char *name, tare_shape shape, unsigned flags);
/* tare_buffer - a named tensor without gradient that is part of the model's state (running statistics, u and v). */
TARE_API tare_tensor *tare_buffer(tare_params *ps, const char *name, tare_shape shape);

/* tare_params_rng - the generator that initialises `full_name`: depends on the seed and the name alone, so two models that
 * differ in one layer start from the same weights everywhere else. */
TARE_API tare_rng tare_params_rng(const tare_params *ps, const char *full_name);

/* Parameters and buffers in order of creation. */
TARE_API int tare_params_count(const tare_params *ps);
TARE_API tare_tensor *tare_params_at(const tare_params *ps, int index);
TARE_API unsigned tare_params_flags(const tare_params *ps, int index);
TARE_API int tare_params_buffers(const tare_params *ps);
TARE_API tare_tensor *tare_params_buffer_at(const tare_params *ps, int index);
/* tare_params_find - parameter or buffer by full name, or NULL. */
TARE_API tare_tensor *tare_params_find(const tare_params *ps, const char *full_name);
/* tare_params_numel - trainable values, padding not counted. */
TARE_API int64_t tare_params_numel(const tare_params *ps);

/* The flat blocks, padding counted; parameter i lies at tare_params_offset(ps, i). */
TARE_API int64_t tare_params_flat_size(const tare_params *ps);
TARE_API tare_real *tare_params_flat(const tare_params *ps);
TARE_API tare_real *tare_params_flat_grad(const tare_params *ps);
TARE_API int64_t tare_params_offset(const tare_params *ps, int index);
TARE_API int64_t tare_params_buffer_flat_size(const tare_params *ps);
TARE_API tare_real *tare_params_buffer_flat(const tare_params *ps);

/* tare_params_zero_grad - the next backward overwrites the gradients. Costs nothing: it marks them fresh. */
TARE_API void tare_params_zero_grad(tare_params *ps);
/* tare_params_settle_grad - write zeros into gradients still fresh, so that the flat block can be read. Optimizers call it. */
TARE_API void tare_params_settle_grad(tare_params *ps);
/* tare_params_freeze - while frozen no parameter requires a gradient and layers leave their buffers alone: running statistics
 * and the vectors of spectral norm. Gradients still flow through to what comes before. Lasts from before a forward until after
 * its backward. A parameter whose requires_grad was off before stays so when the rest thaws. */
TARE_API void tare_params_freeze(tare_params *ps, bool frozen);
TARE_API bool tare_params_frozen(const tare_params *ps);

/* tare_params_own - let ps free `memory` (from tare_malloc) when it goes: for layer constructors. On failure frees it at
 * once and returns NULL, else returns it. */
TARE_API void *tare_params_own(tare_params *ps, void *memory);

/* ---- initialisation: fill a parameter's data from the generator of its name ------------------------------------------ */
/* fan_in and fan_out of [out, in, k...] as PyTorch counts them: in * prod(k) and out * prod(k). NULL tensors are passed over. */

TARE_API void tare_init_constant(tare_params *ps, tare_tensor *w, double value);
TARE_API void tare_init_uniform(tare_params *ps, tare_tensor *w, double lo, double hi);
TARE_API void tare_init_normal(tare_params *ps, tare_tensor *w, double mean, double std);
/* mean, std of the untruncated normal; every value lies in [lo, hi] */
TARE_API void tare_init_trunc_normal(tare_params *ps, tare_tensor *w, double mean, double std, double lo, double hi);
/* U(-b, b) with b = gain * sqrt(3 / fan_in); gain sqrt(2) for ReLU.  He et al. 2015, arXiv:1502.01852 */
TARE_API void tare_init_kaiming_uniform(tare_params *ps, tare_tensor *w, double gain);
TARE_API void tare_init_kaiming_normal(tare_params *ps, tare_tensor *w, double gain);
/* U(-b, b) with b = gain * sqrt(6 / (fan_in + fan_out)).  Glorot & Bengio 2010 */
TARE_API void tare_init_xavier_uniform(tare_params *ps, tare_tensor *w, double gain);
TARE_API void tare_init_xavier_normal(tare_params *ps, tare_tensor *w, double gain);
/* gain times a matrix [dim0, rest] with orthonormal rows or columns.  Saxe et al. 2014, arXiv:1312.6120 */
TARE_API void tare_init_orthogonal(tare_params *ps, tare_tensor *w, double gain);
/* PyTorch's default for Linear and Conv: weight and bias U(-b, b) with b = 1 / sqrt(fan_in of the weight) */
TARE_API void tare_init_default(tare_params *ps, tare_tensor *weight, tare_tensor *bias);

#ifdef __cplusplus
}
#endif
#endif
