/* tare/data.h - data sets and the loader that turns them into batches.
 *
 * Images stay as bytes in memory; the loader normalises a batch at a time. What a batch holds depends on the seed, the
 * epoch and the position in it alone: never on the number of threads, nor on what was drawn before.
 *
 *     tare_dataset *train, *test;
 *     if (tare_data_open("fashion-mnist", (tare_data_opt){ 0 }, &train, &test) != TARE_OK) { puts(tare_error()); }
 *     tare_loader *loader;
 *     tare_loader_new(train, (tare_loader_opt){ .batch = 64, .shuffle = true, .seed = 1 }, &loader);
 *     tare_batch b;
 *     while (tare_loader_next(loader, &b)) { ... b.x [n,C,H,W], b.labels [n] ... }       one epoch
 */
#ifndef TARE_DATA_H
#define TARE_DATA_H

#include <tare/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data sets --------------------------------------------------------------------------------------------------- */

enum { TARE_DATA_CHANNELS = 4 }; /* most channels an image may have */

/* tare_data_source - samples of your own, of whatever kind: a callback that fills typed arrays.
 * Each of x, target and labels is the shape of ONE sample's part; ndim 0 means that there is none, one value per sample is
 * TARE_SHAPE(1). So a classifier of 16 features has x (16) and labels (1); a regression x and target; a language model
 * labels (T+1) alone. */
typedef struct tare_data_source {
    int64_t count;     /* samples, > 0 */
    tare_shape x;      /* real input */
    tare_shape target; /* real values to predict */
    tare_shape labels; /* integers: class indices, tokens */
    int64_t classes;   /* > 0: labels must lie in 0 .. classes - 1 (or be -100, which losses ignore); 0: unchecked */
    bool threads;      /* fill may run on several threads at once */
    /* fill - write sample `index` to x, target and labels (NULL where there is none). `rng` is this sample's own stream in
     * this epoch, for augmentation and noise. Failing (with tare_fail) ends the epoch with that error. */
    tare_status (*fill)(void *user, int64_t index, tare_rng rng, tare_real *x, tare_real *target, int32_t *labels);
    void *user;
} tare_data_source;

/* tare_dataset - labelled images (or a source of your own, then images, labels, mean and std are unused). For reading;
 * who made one with tare_dataset_new fills images and labels. Pairs with tare_dataset_free. */
typedef struct tare_dataset {
    int64_t count;                   /* samples */
    int64_t channels, height, width; /* of every image */
    int64_t classes;                 /* labels lie in 0 .. classes - 1 */
    uint8_t *images;                 /* [count, C, H, W] */
    int32_t *labels;                 /* [count] */
    char **class_names;              /* [classes] */
    double mean[TARE_DATA_CHANNELS]; /* of pixel / 255, per channel, over the training images */
    double std[TARE_DATA_CHANNELS];  /* their standard deviation (1/n); 1 where the channel is constant */
    char *about;                     /* one line for people: what this is, where from, how it was split */
    tare_data_source source;         /* fill is NULL for images */
} tare_dataset;

/* tare_dataset_new - room for `count` images, all black, label 0, class names "0", "1", ...; mean 0, std 1.
 *   errors  TARE_EINVAL: a size < 1, channels > TARE_DATA_CHANNELS, count >= 2^31;  TARE_ENOMEM */
TARE_API tare_status tare_dataset_new(int64_t count, int64_t channels, int64_t height, int64_t width, int64_t classes,
                                      tare_dataset **out);
/* tare_dataset_custom - a data set over a copy of `source` (its `user` stays yours and must outlive the data set). */
TARE_API tare_status tare_dataset_custom(const tare_data_source *source, tare_dataset **out);
TARE_API void tare_dataset_free(tare_dataset *ds);
/* tare_dataset_measure - set mean and std from the images (integer sums, then double). */
TARE_API void tare_dataset_measure(tare_dataset *ds);

typedef struct tare_data_opt {
    int64_t channels;      /* folders of images: 1 grey or 3 RGB; 0 = 3 if the first image has colour, else 1 */
    int64_t height, width; /* folders of images: size to resize to; 0 = the first image's */
    bool unlabelled;       /* tare_data_image_folder: the images lie in the folder itself, all of one class */
} tare_data_opt;

/* tare_data_open - training and test set of `spec`
 *   "fashion-mnist", "mnist"  looked for in $TARE_DATA/NAME, data/NAME, ../shared/data/NAME, /usr/share/datasets/NAME
 *                             (Debian's package dataset-fashion-mnist puts Fashion-MNIST into the last one)
 *   a folder                  with the four IDX files (train-images-idx3-ubyte[.gz], ...), or with train/ and test/ that each
 *                             hold one folder per class, or with one folder per class: then every image whose name's hash
 *                             (FNV-1a of "class/file") is divisible by 6 goes to test, the same ones on every machine
 *   Both get mean and std of the training images. `opt` matters for folders of images alone.
 *   errors  TARE_ENOENT: not found, the message lists where it looked;  TARE_EIO: cannot be read;  TARE_EFORMAT: truncated,
 *           corrupt, of another kind, counts that differ, a label out of range, no samples, an image that is not one;
 *           TARE_EINVAL: one class only, no test image;  TARE_ENOMEM */
TARE_API tare_status tare_data_open(const char *spec, tare_data_opt opt, tare_dataset **train, tare_dataset **test);

/* tare_data_idx - images [N,H,W] or [N,C,H,W] and labels [N] of unsigned bytes, each a plain IDX file or a .gz one; where a
 * path does not exist, the path with ".gz" added (or taken away) is tried. classes 0: the largest label + 1. Measured.
 *   source  Yann LeCun, "The MNIST database": magic 0 0 type ndim, big-endian sizes, row-major data */
TARE_API tare_status tare_data_idx(const char *images_path, const char *labels_path, int64_t classes,
                                   tare_dataset **out);

/* tare_data_image_folder - every PNG, JPEG and BMP in dir/CLASS/, classes and files in order of their bytes. Hidden files
 * are passed over; any other file is an error. Images become grey or RGB (transparency is dropped) and are stretched to
 * the size wanted as tare_image_load does. Measured. */
TARE_API tare_status tare_data_image_folder(const char *dir, tare_data_opt opt, tare_dataset **out);

/* ---- single images ------------------------------------------------------------------------------------------------- */

/* tare_image_load - the PNG, JPEG or BMP at `path` as bytes [C,H,W] into `out`; channels 1 (grey = (77 R + 150 G + 29 B) / 256)
 * or 3. Resized per axis: the average over the area where it shrinks, linear between pixel centres where it grows, rounded to
 * nearest; proportions are not kept. Limits: 16384 pixels a side, 64 million in all.
 *   errors  as tare_data_open; `out` is untouched */
TARE_API tare_status tare_image_load(const char *path, int64_t channels, int64_t height, int64_t width, uint8_t *out);
/* tare_image_size - its size and channels (1 grey, 2 grey and alpha, 3 RGB, 4 RGBA), from its first bytes. */
TARE_API tare_status tare_image_size(const char *path, int64_t *channels, int64_t *height, int64_t *width);
/* tare_image_resize - bytes [C,h,w] to [C,H,W] by the rule above. */
TARE_API tare_status tare_image_resize(const uint8_t *in, int64_t channels, int64_t in_height, int64_t in_width,
                                       int64_t height, int64_t width, uint8_t *out);

/* ---- loader -------------------------------------------------------------------------------------------------------- */

typedef enum tare_scaling {
    TARE_SCALE_STANDARD, /* (pixel / 255 - mean) / std */
    TARE_SCALE_SIGNED,   /* pixel / 127.5 - 1: -1 .. 1, for a generator that ends in tanh */
    TARE_SCALE_UNIT,     /* pixel / 255: 0 .. 1 */
} tare_scaling;

/* tare_augment - changes drawn anew for each sample and epoch; all off by default. */
typedef struct tare_augment {
    bool flip;     /* mirrored left to right with probability 1/2 */
    int64_t shift; /* moved by -shift .. shift pixels down and right, black moves in (pad by shift, crop at random) */
    bool crop;     /* where the size asked for is smaller than the image: a window anywhere, not the centre */
} tare_augment;

typedef struct tare_loader_opt {
    int64_t batch;     /* samples in a batch; 0 = 64 */
    bool shuffle;      /* a new order every epoch */
    bool drop_last;    /* drop a last batch that is not full */
    bool avoid_single; /* drop a last batch of ONE sample: BatchNorm in training has no variance there */
    int64_t
        limit; /* the first `limit` samples of a fixed permutation, the same for every seed; 0 (or too many) = all */
    uint64_t seed;         /* of order and augmentation */
    int64_t height, width; /* of x; 0 = the image's. Larger: black around it; smaller: its centre */
    int64_t channels;      /* of x; 0 = the image's. A grey image is repeated; other changes are refused */
    tare_scaling scaling;
    tare_augment augment;
} tare_loader_opt;

typedef struct tare_loader tare_loader;

/* tare_batch - the arrays are the loader's and hold until its next call. */
typedef struct tare_batch {
    int64_t n;        /* samples; 0 at the end of an epoch */
    tare_shape shape; /* of x: [n,C,H,W], or [n, source.x...] */
    tare_real *x;     /* NULL if the source has no x */
    tare_shape target_shape;
    tare_real *target; /* NULL for images */
    tare_shape labels_shape;
    int32_t *labels;      /* [n] for images */
    const int64_t *index; /* [n] where each lies in the data set */
} tare_batch;

/* tare_loader_state - where a loader stands; with options and data unchanged it fixes every batch to come. */
typedef struct tare_loader_state {
    uint64_t epoch;
    int64_t position; /* samples of this epoch already given */
} tare_loader_state;

/* tare_loader_new - batches over `ds`, which must outlive it. All memory is taken here: tare_loader_next allocates nothing.
 *   errors  TARE_EINVAL: a size < 0, options that leave no batch, a shift not below the image's size; for a custom
 *           source: anything that needs an image;
 *           TARE_ESHAPE: channels that cannot be had;  TARE_ENOMEM */
TARE_API tare_status tare_loader_new(const tare_dataset *ds, tare_loader_opt opt, tare_loader **out);
TARE_API void tare_loader_free(tare_loader *loader);

/* tare_loader_next - the next batch, true; at the end of the epoch false, and the call after that begins the next epoch.
 * Also false where a source failed: tare_loader_status tells, and stays until tare_loader_seek. */
TARE_API bool tare_loader_next(tare_loader *loader, tare_batch *batch);
TARE_API tare_status tare_loader_status(const tare_loader *loader);
/* The message of that failure, "" if none. */
TARE_API const char *tare_loader_error(const tare_loader *loader);

/* Per epoch: samples given, batches, and samples dropped by drop_last or avoid_single. */
TARE_API int64_t tare_loader_samples(const tare_loader *loader);
TARE_API int64_t tare_loader_batches(const tare_loader *loader);
TARE_API int64_t tare_loader_dropped(const tare_loader *loader);
/* Shape of a full batch's x. */
TARE_API tare_shape tare_loader_shape(const tare_loader *loader);

TARE_API tare_loader_state tare_loader_tell(const tare_loader *loader);
/* tare_loader_seek - go to a state that tare_loader_tell gave, perhaps in another process.
 *   errors  TARE_EINVAL: a position not in 0 .. samples */
TARE_API tare_status tare_loader_seek(tare_loader *loader, tare_loader_state state);

/* tare_loader_convert - one image [C,H,W] of the data set's size, given as bytes, as the loader would give it without
 * augmentation, into x (the shape of one sample): for prediction.  errors  TARE_EINVAL: a custom source */
TARE_API tare_status tare_loader_convert(const tare_loader *loader, const uint8_t *image, tare_real *x);

#ifdef __cplusplus
}
#endif
#endif
