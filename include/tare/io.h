/* tare/io.h - files: safetensors, weights, checkpoints.
 *
 * safetensors (https://github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON header that gives
 * each tensor's dtype, shape and place, then the numbers, little-endian, without gaps. Python's `safetensors` reads what
 * is written here and the other way round.
 *
 * Files of either precision load into either build: a file of floats is exact in the double build, a file of doubles is
 * rounded on its way into the float build. Half and bfloat16 files and integers load too. What is written is the build's own.
 */
#ifndef TARE_IO_H
#define TARE_IO_H

#include <tare/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARE_DTYPE_MAP(X)                                                                                              \
    X(BOOL, 1)                                                                                                         \
    X(U8, 1)                                                                                                           \
    X(I8, 1)                                                                                                           \
    X(U16, 2)                                                                                                          \
    X(I16, 2)                                                                                                          \
    X(F16, 2)                                                                                                          \
    X(BF16, 2)                                                                                                         \
    X(U32, 4)                                                                                                          \
    X(I32, 4)                                                                                                          \
    X(F32, 4)                                                                                                          \
    X(U64, 8)                                                                                                          \
    X(I64, 8)                                                                                                          \
    X(F64, 8)

typedef enum tare_dtype {
#define TARE_DTYPE_ENUM(name, bytes) TARE_DTYPE_##name,
    TARE_DTYPE_MAP(TARE_DTYPE_ENUM)
#undef TARE_DTYPE_ENUM
} tare_dtype;

#ifdef TARE_F64
#define TARE_DTYPE_REAL TARE_DTYPE_F64
#else
#define TARE_DTYPE_REAL TARE_DTYPE_F32
#endif

TARE_API const char *tare_dtype_name(tare_dtype dtype); /* "F32" */
TARE_API int64_t tare_dtype_size(tare_dtype dtype);     /* bytes */

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* tare_params_save - parameters and buffers as a safetensors file, by their names. Written to a temporary name in the same
 * folder, synced, then renamed: whatever goes wrong, a file that was there before stays whole.
 *   errors  TARE_EIO, TARE_ENOMEM */
TARE_API tare_status tare_params_save(const tare_params *ps, const char *path);

/* tare_params_load - the other way round, matched by name and shape; nothing changes unless all of it fits.
 * Passed over in the file: names that begin with '@' (a checkpoint's optimizer state), and PyTorch's
 * "....num_batches_tracked" where the model has none.
 *   errors  TARE_EIO, TARE_ENOMEM, TARE_ENOENT: no such file;  TARE_EFORMAT: not a sound safetensors file;
 *           TARE_EMISMATCH, with a table of missing, unexpected and misshapen tensors */
typedef struct tare_load_opt {
    const char
        *prefix;  /* "gen": the file says "gen.conv1.weight" for our "conv1.weight"; names without it are passed over */
    bool partial; /* missing and unexpected tensors are no error; misshapen ones are */
} tare_load_opt;
TARE_API tare_status tare_params_load(tare_params *ps, const char *path, tare_load_opt opt);

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* tare_image_save - bytes [C,H,W], 1 channel (grey) or 3 (RGB), as a PNG at `path`, written as tare_params_save writes. Sides at
 * most 16384.   errors  TARE_EINVAL: other channels or sides;  TARE_EIO;  TARE_ENOMEM */
TARE_API tare_status tare_image_save(const char *path, const uint8_t *planes, int64_t channels, int64_t height,
                                     int64_t width);

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

/* tare_checkpoint - the list of what makes up a run's state. Bind each object once, under a name of its own; save and load
 * then use the same list. Numbers are stored as exact text in the file's metadata, so a resumed run goes on bit for bit.
 * Bound objects must outlive the checkpoint's use. Errors of binding stick and come out of save and load. */
typedef struct tare_checkpoint tare_checkpoint;

TARE_API tare_checkpoint *tare_checkpoint_new(void);
TARE_API void tare_checkpoint_free(tare_checkpoint *c);

/* Parameters and buffers, as "name.conv1.weight"; with name "" as "conv1.weight". */
TARE_API void tare_checkpoint_params(tare_checkpoint *c, const char *name, tare_params *ps);
/* Step count, learning rate and state arrays, as "@name.exp_avg.conv1.weight". */
TARE_API void tare_checkpoint_optim(tare_checkpoint *c, const char *name, tare_optim *o);
/* `flat`, laid out like tare_params_flat(ps) (an average of the weights), as "@name.conv1.weight". */
TARE_API void tare_checkpoint_flat(tare_checkpoint *c, const char *name, const tare_params *ps, tare_real *flat);
/* Averaged parameters and buffers, as "@name.conv1.weight", and the number of updates. While the average is swapped in, saving and
 * loading fail with TARE_EINVAL. */
TARE_API void tare_checkpoint_ema(tare_checkpoint *c, const char *name, tare_ema *e);
/* A tensor of reals that fits in no other place, as "@name". */
TARE_API void tare_checkpoint_tensor(tare_checkpoint *c, const char *name, tare_shape shape, tare_real *data);
/* The step that the tape's random stream hangs on. */
TARE_API void tare_checkpoint_tape(tare_checkpoint *c, const char *name, tare_tape *tape);
TARE_API void tare_checkpoint_rng(tare_checkpoint *c, const char *name, tare_rng *rng);
TARE_API void tare_checkpoint_int(tare_checkpoint *c, const char *name, int64_t *value);
TARE_API void tare_checkpoint_uint(tare_checkpoint *c, const char *name, uint64_t *value);
TARE_API void tare_checkpoint_double(tare_checkpoint *c, const char *name, double *value);
/* *text is NULL (saved as "") or from tare_strdup; loading replaces it and frees the old one. */
TARE_API void tare_checkpoint_text(tare_checkpoint *c, const char *name, char **text);

/* tare_checkpoint_save - everything bound, in one safetensors file, written as tare_params_save writes.
 *   errors  as tare_params_save;  TARE_EEXIST: two have the same name;  TARE_EINVAL: parameters were added after their
 *           optimizer was made or their flat array bound, so that neither has values for them */
TARE_API tare_status tare_checkpoint_save(const tare_checkpoint *c, const char *path);
/* tare_checkpoint_load - into the objects bound; nothing changes unless all of it fits. What is in the file but not bound is
 * passed over where it is a number or starts with '@', and an error where it is a tensor of a model.
 *   errors  as tare_params_load;  TARE_EMISMATCH also: another optimizer, or written by a newer format;
 *           TARE_EINVAL as tare_checkpoint_save */
TARE_API tare_status tare_checkpoint_load(const tare_checkpoint *c, const char *path);

/* ---- safetensors, by hand ------------------------------------------------------------------------------------------ */

/* tare_writer - a list of tensors and texts to be written. Data is not copied: it must stay until the save. Errors stick
 * and come out of tare_writer_save:  TARE_EEXIST: name twice;  TARE_EINVAL;  TARE_ESHAPE: a negative dimension;  TARE_ENOMEM */
typedef struct tare_writer tare_writer;

TARE_API tare_writer *tare_writer_new(void);
TARE_API void tare_writer_free(tare_writer *w);
TARE_API void tare_writer_tensor(tare_writer *w, const char *name, tare_dtype dtype, tare_shape shape,
                                 const void *data);
/* A pair of the "__metadata__" map; text is UTF-8. */
TARE_API void tare_writer_meta(tare_writer *w, const char *key, const char *text);
TARE_API tare_status tare_writer_save(const tare_writer *w, const char *path);

/* tare_reader - a safetensors file in memory, every length, offset, shape and dtype of it checked. */
typedef struct tare_reader tare_reader;

typedef struct tare_entry {
    const char *name;
    tare_dtype dtype;
    tare_shape shape;
    int64_t numel;
    const void *data; /* little-endian, perhaps unaligned: tare_entry_real reads it */
} tare_entry;

/*   errors  TARE_ENOENT, TARE_EIO, TARE_ENOMEM;  TARE_EFORMAT, naming file, tensor and fault. *reader is set on success alone */
TARE_API tare_status tare_reader_open(const char *path, tare_reader **reader);
/* The same from `size` bytes of memory, which are copied; `name` stands for the file in messages. */
TARE_API tare_status tare_reader_memory(const char *name, const void *bytes, size_t size, tare_reader **reader);
TARE_API void tare_reader_free(tare_reader *r);
TARE_API const char *tare_reader_path(const tare_reader *r);

TARE_API int64_t tare_reader_count(const tare_reader *r);
TARE_API const tare_entry *tare_reader_at(const tare_reader *r, int64_t index);      /* in order of the data */
TARE_API const tare_entry *tare_reader_find(const tare_reader *r, const char *name); /* or NULL */
/* The text under `key` in "__metadata__", or NULL. */
TARE_API const char *tare_reader_meta(const tare_reader *r, const char *key);
/* The index-th pair: its text, and its key in *key; NULL after the last. */
TARE_API const char *tare_reader_meta_at(const tare_reader *r, int64_t index, const char **key);

/* tare_entry_real - its numbers as tare_real, rounded to nearest where they do not fit; integers of 64 bits too. */
TARE_API void tare_entry_real(const tare_entry *e, tare_real *out);
/* tare_entry_double - the same as doubles. */
TARE_API void tare_entry_double(const tare_entry *e, double *out);

#ifdef __cplusplus
}
#endif
#endif
