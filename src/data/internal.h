/* data/internal.h - what the files of src/data share. */
#ifndef TARE_DATA_INTERNAL_H
#define TARE_DATA_INTERNAL_H

#include <tare/data.h>

/* ---- file.c: reading a plain or gzip file ------------------------------------------------------------------------ */

typedef struct tare_file tare_file;

/* tare__file_open - begins with a look at the first bytes: gzip or not. Fails for folders and empty files too. */
tare_status tare__file_open(const char *path, tare_file **out);
void tare__file_close(tare_file *file);
/* tare__file_read - the next `want` bytes, fewer at the end (`*got` says); checks gzip's CRC and length at its end. */
tare_status tare__file_read(tare_file *file, uint8_t *out, int64_t want, int64_t *got);
/* tare__file_most - no more bytes than this can follow the `done` ones read so far. */
int64_t tare__file_most(const tare_file *file, int64_t done);
/* tare__file_whole - all of a file of at most `limit` bytes, in memory to tare_free. */
tare_status tare__file_whole(const char *path, int64_t limit, uint8_t **out, int64_t *size);

/* tare__fail_errno - "path: cannot WHAT: ..." from errno; TARE_ENOENT where it is not there, else TARE_EIO. */
tare_status tare__fail_errno(const char *what, const char *path, int error);

/* "dir/name", to tare_free; NULL where memory is short. */
char *tare__path_join(const char *dir, const char *name);
bool tare__path_is_dir(const char *path);
bool tare__path_exists(const char *path);

/* ---- dataset.c --------------------------------------------------------------------------------------------------- */

/* tare__text - printf into memory to tare_free; NULL where memory is short. */
char *tare__text(const char *format, ...) TARE_PRINTF(1, 2);
/* tare__dataset_wrap - a data set with the sizes of `like` around images and labels, which move to it where it succeeds. */
tare_status tare__dataset_wrap(tare_dataset like, uint8_t *images, int32_t *labels, tare_dataset **out);
/* tare__dataset_name_class - replace the name of one class. */
tare_status tare__dataset_name_class(tare_dataset *ds, int64_t index, const char *name);
/* tare__dataset_about - replace the line about it by `text` (which moves to ds; NULL counts as out of memory). */
tare_status tare__dataset_about(tare_dataset *ds, char *text);

/* ---- idx.c ------------------------------------------------------------------------------------------------------- */

/* tare__idx_folder - training and test set of a folder with the four files of MNIST's names; not measured. */
tare_status tare__idx_folder(const char *dir, int64_t classes, tare_dataset **train, tare_dataset **test);
/* tare__idx_folder_has - is one of the four files there? */
tare_status tare__idx_folder_has(const char *dir, bool *has);

/* ---- stb.c: decoding an image in memory ---------------------------------------------------------------------------- */

enum { TARE__IMAGE_SIDE = 1 << 14 }; /* pixels a side, at most */

tare_status tare__stb_size(const char *path, const uint8_t *data, int size, int *width, int *height, int *channels);
/* tare__stb_decode - to `channels` bytes a pixel, [H,W,channels], to tare_free. */
tare_status tare__stb_decode(const char *path, const uint8_t *data, int size, int channels, uint8_t **pixels);

/* tare__jpeg_check - whole, and safe to give to stb_image? */
tare_status tare__jpeg_check(const char *path, const uint8_t *data, int64_t size);

/* ---- folder.c ---------------------------------------------------------------------------------------------------- */

/* tare__folder_pair - training and test set of dir/train and dir/test, or of dir's own classes split by hash; not measured. */
tare_status tare__folder_pair(const char *dir, tare_data_opt opt, bool *by_hash, tare_dataset **train,
                              tare_dataset **test);

/* ---- augment.c ----------------------------------------------------------------------------------------------------- */

/* tare__picture - how an image of bytes [channels,height,width] becomes numbers [out_channels,out_height,out_width]. */
typedef struct tare__picture {
    int64_t channels, height, width;
    int64_t out_channels, out_height, out_width;
    tare_real scale[TARE_DATA_CHANNELS], offset[TARE_DATA_CHANNELS]; /* number = scale * byte + offset */
    tare_augment augment;
} tare__picture;

/* tare__window - output (y, x) is the image's (y + top, x + left), black outside; then mirrored if flip. */
typedef struct tare__window {
    int64_t top, left;
    bool flip;
} tare__window;

tare_status tare__picture_init(tare__picture *p, const tare_dataset *ds, const tare_loader_opt *opt);
tare__window tare__picture_centre(const tare__picture *p);
/* tare__picture_draw - the window of an augmented sample, from its own generator. */
tare__window tare__picture_draw(const tare__picture *p, tare_rng rng);
void tare__picture_convert(const tare__picture *p, const uint8_t *image, tare__window window, tare_real *x);

#endif
