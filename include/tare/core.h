/* tare/core.h - status, memory, shapes, tensors, random numbers, threads, matrix product.
 *
 * Everything above stands on this page. Dimension letters, used throughout:
 *   N batch   C channels   H height   W width   L length   B batch of sequences   T time   D features   G groups
 */
#ifndef TARE_CORE_H
#define TARE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARE_VERSION "0.1.0"
#define TARE_ABI     3 /* raised whenever a public struct or signature changes */

#if defined(__GNUC__)
#define TARE_API               __attribute__((visibility("default")))
#define TARE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TARE_API
#define TARE_PRINTF(fmt, args)
#endif

/* tare_real - the number every tensor holds: float, or double where TARE_F64 is defined.
 * The library is built once for each (libtare, libtare_f64); gradient checks use the second. */
#ifdef TARE_F64
typedef double tare_real;
#else
typedef float tare_real;
#endif

/* ---- status ------------------------------------------------------------------------------------------------------ */

#define TARE_STATUS_MAP(X)                                                                                             \
    X(TARE_OK, "ok")                                                                                                   \
    X(TARE_ESHAPE, "shapes do not fit")                                                                                \
    X(TARE_EINVAL, "invalid argument")                                                                                 \
    X(TARE_ENOMEM, "out of memory")                                                                                    \
    X(TARE_EIO, "input or output failed")                                                                              \
    X(TARE_EFORMAT, "malformed file")                                                                                  \
    X(TARE_ENOENT, "not found")                                                                                        \
    X(TARE_EEXIST, "exists already")                                                                                   \
    X(TARE_EMISMATCH, "file and model differ")                                                                         \
    X(TARE_ENOGRAD, "operation has no backward")                                                                       \
    X(TARE_ENONFINITE, "NaN or Inf")                                                                                   \
    X(TARE_EABI, "built for another version")                                                                          \
    X(TARE_EINTR, "interrupted")

typedef enum tare_status {
#define TARE_STATUS_ENUM(name, text) name,
    TARE_STATUS_MAP(TARE_STATUS_ENUM)
#undef TARE_STATUS_ENUM
} tare_status;

/* tare_status_text - the few words that stand for a status; never NULL. */
TARE_API const char *tare_status_text(tare_status status);

/* tare_error - what went wrong last on this thread, in words a person can act on; "" before the first failure.
 * The text stays valid until the next failure on this thread. */
TARE_API const char *tare_error(void);

/* tare_fail - set this thread's message and return `status`:  return tare_fail(TARE_EINVAL, "batch is %d", n); */
TARE_API tare_status tare_fail(tare_status status, const char *format, ...) TARE_PRINTF(2, 3);

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* tare_allocator - where all of the library's memory comes from; alloc returns 64-byte aligned memory or NULL. */
typedef struct tare_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *memory);
    void *user;
} tare_allocator;

/* tare_allocator_set - replace the allocator (NULL: back to the default one). Call before anything is allocated. */
TARE_API void tare_allocator_set(const tare_allocator *allocator);
/* tare_alloc_count - allocations asked for so far, by any thread. */
TARE_API uint64_t tare_alloc_count(void);
/* tare_alloc_live - allocations not yet freed. */
TARE_API uint64_t tare_alloc_live(void);
/* tare_alloc_fail_at - let the n-th allocation from now (1 = the next) and all after it fail; 0 ends it. For tests. */
TARE_API void tare_alloc_fail_at(uint64_t n);

/* tare_malloc - `bytes` (> 0) of 64-byte aligned, uninitialised memory, or NULL with TARE_ENOMEM's message set. */
TARE_API void *tare_malloc(size_t bytes);
/* tare_calloc - the same for count * size bytes of zeros; NULL too where the product overflows. */
TARE_API void *tare_calloc(size_t count, size_t size);
/* tare_strdup - a copy of `text` (NULL gives NULL). */
TARE_API char *tare_strdup(const char *text);
TARE_API void tare_free(void *memory);

/* ---- shapes and tensors ------------------------------------------------------------------------------------------ */

enum { TARE_MAX_DIMS = 6 };

/* tare_shape - up to six dimensions, row-major; ndim 0 is a scalar. */
typedef struct tare_shape {
    int ndim;
    int64_t dim[TARE_MAX_DIMS];
} tare_shape;

/* TARE_SHAPE(64, 1, 28, 28) - a shape literal; TARE_SCALAR the shape of a single value. */
#define TARE_SHAPE(...)                                                                                                \
    ((tare_shape){ .ndim = (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), .dim = { __VA_ARGS__ } })
#define TARE_SCALAR ((tare_shape){ .ndim = 0 })

/* tare_shape_numel - product of the dimensions (1 for a scalar); -1 if a dimension is < 0 or the product overflows. */
TARE_API int64_t tare_shape_numel(tare_shape shape);
TARE_API bool tare_shape_equal(tare_shape a, tare_shape b);
/* tare_shape_text - "[64,1,28,28]" into a buffer of the caller's; returns it. */
typedef struct tare_shape_buf {
    char text[96];
} tare_shape_buf;
TARE_API const char *tare_shape_text(tare_shape shape, tare_shape_buf *buffer);

/* tare_tensor - contiguous, row-major numbers with a gradient beside them.
 * Made by tare_input and by every op (owned by the tape, until its reset) or by tare_param (owned by its tare_params). */
typedef struct tare_tensor {
    tare_shape shape;
    int64_t numel;
    tare_real *data;
    tare_real *grad;          /* same shape; NULL until backward has reached it */
    bool requires_grad;       /* does anything that a gradient is wanted for lie upstream? */
    bool grad_fresh;          /* grad is to be overwritten, not added to (its contents are void) */
    bool is_param;            /* belongs to a tare_params: grad stays */
    const char *name;         /* parameters: "conv1.weight"; else NULL */
    struct tare_node *node;   /* what computed it on the tape; NULL for inputs and parameters */
    struct tare_tensor *base; /* whose data it shares (reshape), or NULL */
    /* the tape's own */
    int32_t handles; /* this tensor and its aliases, less those released */
    int32_t readers; /* how many times backwards to come read its data */
    bool released;   /* tare_release has been called on it */
} tare_tensor;

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

/* tare_rng - counter-based: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * A value depends on (key, stream, counter) alone, never on a thread or on what was drawn elsewhere; the struct is the
 * whole state, so saving it saves the generator. */
typedef struct tare_rng {
    uint64_t key;     /* the seed */
    uint64_t stream;  /* the purpose */
    uint64_t counter; /* blocks of four 32-bit words drawn so far */
} tare_rng;

/* tare_rng_new - the generator of `purpose` ("init", "order", "dropout", ...) under `seed`. */
TARE_API tare_rng tare_rng_new(uint64_t seed, const char *purpose);
/* tare_rng_split - an independent generator for item `id` of the same purpose; counter 0. */
TARE_API tare_rng tare_rng_split(tare_rng rng, uint64_t id);
/* tare_rng_split_name - the same, by name. */
TARE_API tare_rng tare_rng_split_name(tare_rng rng, const char *name);
/* tare_rng_block - the four words at block `index`, without moving the generator. */
TARE_API void tare_rng_block(tare_rng rng, uint64_t index, uint32_t out[4]);
/* The next value; each draw takes one block. */
TARE_API uint32_t tare_rng_u32(tare_rng *rng);
TARE_API double tare_rng_uniform(tare_rng *rng); /* in [0, 1), 53 bits */
TARE_API double tare_rng_normal(tare_rng *rng);  /* mean 0, variance 1 (Box-Muller) */
/* tare_rng_fill_uniform - to[i] = lo + (hi - lo) u, tare_rng_fill_normal - to[i] = mean + std z: n draws at once, on all threads, the
 * same to the bit as n calls of the two above. */
TARE_API void tare_rng_fill_uniform(tare_rng *rng, double lo, double hi, int64_t n, tare_real *to);
TARE_API void tare_rng_fill_normal(tare_rng *rng, double mean, double std, int64_t n, tare_real *to);
TARE_API uint64_t tare_rng_below(tare_rng *rng, uint64_t n);               /* in [0, n), unbiased; n > 0 */
TARE_API void tare_rng_shuffle(tare_rng *rng, uint32_t *index, int64_t n); /* Fisher-Yates */

/* ---- threads ----------------------------------------------------------------------------------------------------- */

/* tare_threads_set - how many threads work on a step; 0: OMP_NUM_THREADS, or as many as the process may use processors. More
 * than those are not started: they would only wait for each other. */
TARE_API void tare_threads_set(int threads);
TARE_API int tare_threads(void);

typedef void (*tare_range_fn)(void *context, int64_t begin, int64_t end);

/* tare_parallel_for - call fn over [0, n) in chunks of `grain` (the last may be shorter), on all threads.
 * Where the chunks lie depends on n and grain alone, so a result that is fixed per chunk is the same for any number of
 * threads. One chunk, one thread, a call from a chunk that a team works on, or a pool that another thread of the program has taken:
 * runs inline, in order, with the same bits; but a caller with less than 4 MiB of stack leaves it all to Tare's threads, who have 8. */
TARE_API void tare_parallel_for(int64_t n, int64_t grain, tare_range_fn fn, void *context);

/* ---- matrix product ---------------------------------------------------------------------------------------------- */

/* tare_gemm - C = alpha op(A) op(B) + beta C, all row-major
 *   op(A) [m,k], op(B) [k,n], C [m,n];  trans_a: A is stored [k,m];  lda, ldb, ldc: elements from row to row as stored
 *   beta 0 overwrites C (whatever it held, NaN too); m, n, k may be 0
 *   Uses all threads, split by shape alone: the same bits for any number of them; from inside a tare_parallel_for chunk
 *   it runs on the caller's thread, with the same bits again.
 *   Cannot fail and allocates nothing. */
TARE_API void tare_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha,
                        const tare_real *a, int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c,
                        int64_t ldc);

#ifdef __cplusplus
}
#endif
#ifdef __clang_analyzer__ /* clang's analyzer sees what it cannot know: no failure is TARE_OK */
#define tare_fail(status, ...) (tare_fail(status, __VA_ARGS__), (status))
#endif

#endif
