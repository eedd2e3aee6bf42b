/* idx.c - IDX, the format of MNIST: 0 0 type ndim, then ndim big-endian sizes, then the data row-major.
 * Source: Yann LeCun, "The MNIST database of handwritten digits". */
#include "data/internal.h"

#include <string.h>

enum { IDX_BYTE = 0x08, IDX_MAX_DIMS = 4 };

typedef struct idx {
    tare_shape shape;
    uint8_t *data;
} idx;

static tare_status read_exactly(tare_file *file, const char *path, uint8_t *out, int64_t want, const char *what) {
    int64_t got = 0;
    tare_status status = tare__file_read(file, out, want, &got);
    if (status == TARE_OK && got < want) {
        return tare_fail(TARE_EFORMAT, "%s: truncated: %lld of %lld bytes of %s", path, (long long)got, (long long)want,
                         what);
    }
    return status;
}

/* Checks the magic number against the dimensions wanted and reads the sizes. */
static tare_status read_header(tare_file *file, const char *path, int min_dims, int max_dims, tare_shape *shape) {
    uint8_t head[4 * IDX_MAX_DIMS];
    tare_status status = read_exactly(file, path, head, 4, "the header");
    if (status != TARE_OK) { return status; }
    if (head[0] != 0 || head[1] != 0) {
        return tare_fail(TARE_EFORMAT, "%s: not an IDX file: it begins with %02x %02x, not with 00 00", path, head[0],
                         head[1]);
    }
    if (head[2] != IDX_BYTE) {
        return tare_fail(TARE_EFORMAT, "%s: IDX data of type 0x%02x, expected unsigned bytes (0x08)", path, head[2]);
    }
    const int ndim = head[3];
    if (ndim < min_dims || ndim > max_dims) {
        return tare_fail(TARE_EFORMAT, "%s: IDX data of %d dimensions, expected %s", path, ndim,
                         max_dims == 1 ? "1 (labels)" : "3 or 4 (images)");
    }
    status = read_exactly(file, path, head, 4 * ndim, "the sizes");
    shape->ndim = ndim;
    for (int i = 0; status == TARE_OK && i < ndim; i++) {
        const uint8_t *b = head + 4 * i;
        shape->dim[i] = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
    }
    return status;
}

/* Memory grows with what the file really holds, so a header that claims too much costs nothing. */
static tare_status read_body(tare_file *file, const char *path, int64_t size, uint8_t **out) {
    int64_t room = size < (int64_t)1 << 27 ? size : (int64_t)1 << 27, have = 0, got = 0;
    uint8_t *data = tare_malloc((size_t)room);
    tare_status status = data ? TARE_OK : TARE_ENOMEM;
    while (status == TARE_OK) {
        status = tare__file_read(file, data + have, room - have, &got);
        have += got;
        if (status != TARE_OK || have < room || room == size) { break; }
        room = size / 2 < room ? size : room * 2;
        uint8_t *more = tare_malloc((size_t)room);
        if (more) { memcpy(more, data, (size_t)have); }
        tare_free(data);
        data = more;
        status = more ? TARE_OK : TARE_ENOMEM;
    }
    if (status == TARE_OK && have < size) {
        status = tare_fail(TARE_EFORMAT, "%s: truncated: its header promises %lld bytes of data, it holds %lld", path,
                           (long long)size, (long long)have);
    }
    uint8_t beyond;
    if (status == TARE_OK) { status = tare__file_read(file, &beyond, 1, &got); }
    if (status == TARE_OK && got > 0) {
        status =
            tare_fail(TARE_EFORMAT, "%s: stray bytes behind the %lld that its header promises", path, (long long)size);
    }
    if (status != TARE_OK) {
        tare_free(data);
        return status;
    }
    *out = data;
    return TARE_OK;
}

static tare_status read_open(tare_file *file, const char *path, int min_dims, int max_dims, idx *out) {
    tare_status status = read_header(file, path, min_dims, max_dims, &out->shape);
    if (status != TARE_OK) { return status; }
    const int64_t size = tare_shape_numel(out->shape);
    tare_shape_buf buf;
    tare_shape_text(out->shape, &buf);
    if (size == 0) { return tare_fail(TARE_EFORMAT, "%s: no data: its header says %s", path, buf.text); }
    if (out->shape.dim[0] > INT32_MAX) {
        return tare_fail(TARE_EFORMAT, "%s: its header says %s: at most 2^31 - 1 samples", path, buf.text);
    }
    const int64_t most = tare__file_most(file, 4 + 4 * out->shape.ndim);
    if (size < 0 || size > most) {
        return tare_fail(TARE_EFORMAT,
                         "%s: truncated: its header promises %s bytes, the file cannot hold more than %lld", path,
                         buf.text, (long long)most);
    }
    return read_body(file, path, size, &out->data);
}

/* The path itself, or with ".gz" added or taken away where only that exists. To tare_free. */
static char *find_twin(const char *path) {
    const size_t length = strlen(path);
    const bool gz = length > 3 && strcmp(path + length - 3, ".gz") == 0;
    char *twin = tare__text("%.*s%s", (int)(gz ? length - 3 : length), path, gz ? "" : ".gz");
    if (!twin || (!tare__path_exists(path) && tare__path_exists(twin))) { return twin; }
    tare_free(twin);
    return tare_strdup(path);
}

static tare_status read_idx(const char *wanted, int min_dims, int max_dims, idx *out) {
    char *path = find_twin(wanted);
    if (!path) { return TARE_ENOMEM; }
    tare_file *file = NULL;
    tare_status status = tare__file_open(path, &file);
    if (status == TARE_OK) {
        status = read_open(file, path, min_dims, max_dims, out);
        tare__file_close(file);
    }
    tare_free(path);
    return status;
}

/* ---- images and labels together ------------------------------------------------------------------------------------ */

static tare_status check_pair(const char *images_path, const char *labels_path, const idx *images, const idx *labels,
                              int64_t *classes) {
    const int64_t count = labels->shape.dim[0];
    if (images->shape.dim[0] != count) {
        return tare_fail(TARE_EFORMAT, "%lld images in %s but %lld labels in %s", (long long)images->shape.dim[0],
                         images_path, (long long)count, labels_path);
    }
    if (images->shape.ndim == 4 && images->shape.dim[1] > TARE_DATA_CHANNELS) {
        return tare_fail(TARE_EFORMAT, "%s: images of %lld channels, at most %d are possible", images_path,
                         (long long)images->shape.dim[1], TARE_DATA_CHANNELS);
    }
    int64_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t label = labels->data[i];
        if (*classes > 0 && label >= *classes) {
            return tare_fail(TARE_EFORMAT, "%s: label %d at position %lld is out of range 0..%lld", labels_path, label,
                             (long long)i, (long long)*classes - 1);
        }
        largest = label > largest ? label : largest;
    }
    if (*classes == 0) { *classes = largest + 1; }
    return TARE_OK;
}

/* Images move to the data set; labels are widened. */
static tare_status join_pair(const char *images_path, const char *labels_path, idx *images, const idx *labels,
                             int64_t classes, tare_dataset **out) {
    tare_status status = check_pair(images_path, labels_path, images, labels, &classes);
    if (status != TARE_OK) { return status; }
    const int64_t *dim = images->shape.dim;
    const bool grey = images->shape.ndim == 3;
    const tare_dataset like = { .count = dim[0],
                                .channels = grey ? 1 : dim[1],
                                .height = dim[grey ? 1 : 2],
                                .width = dim[grey ? 2 : 3],
                                .classes = classes };
    int32_t *wide = tare_malloc((size_t)like.count * sizeof *wide);
    if (!wide) { return TARE_ENOMEM; }
    for (int64_t i = 0; i < like.count; i++) { wide[i] = labels->data[i]; }
    status = tare__dataset_wrap(like, images->data, wide, out);
    if (status != TARE_OK) {
        tare_free(wide);
        return status;
    }
    images->data = NULL;
    return TARE_OK;
}

tare_status tare_data_idx(const char *images_path, const char *labels_path, int64_t classes, tare_dataset **out) {
    if (classes < 0) { return tare_fail(TARE_EINVAL, "classes %lld: expected 0 or more", (long long)classes); }
    idx images = { .data = NULL }, labels = { .data = NULL };
    tare_dataset *ds = NULL;
    tare_status status = read_idx(images_path, 3, 4, &images);
    if (status == TARE_OK) { status = read_idx(labels_path, 1, 1, &labels); }
    if (status == TARE_OK) { status = join_pair(images_path, labels_path, &images, &labels, classes, &ds); }
    tare_free(images.data);
    tare_free(labels.data);
    if (status != TARE_OK) { return status; }
    tare_dataset_measure(ds);
    *out = ds;
    return TARE_OK;
}

/* ---- a folder of four files ---------------------------------------------------------------------------------------- */

static const char *const FOUR[4] = { "train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                     "t10k-labels-idx1-ubyte" };

tare_status tare__idx_folder_has(const char *dir, bool *has) {
    *has = false;
    for (int i = 0; i < 4 && !*has; i++) {
        char *plain = tare__path_join(dir, FOUR[i]);
        char *path = plain ? find_twin(plain) : NULL;
        const bool found = path && tare__path_exists(path);
        tare_free(plain);
        if (!path) { return TARE_ENOMEM; }
        tare_free(path);
        *has = found;
    }
    return TARE_OK;
}

typedef struct four {
    char *path[4];
    idx part[4];
    tare_status status[4];
} four;

static void read_parts(void *context, int64_t begin, int64_t end) {
    four *all = context;
    for (int64_t i = begin; i < end; i++) {
        all->status[i] = read_idx(all->path[i], i < 2 ? 3 : 1, i < 2 ? 4 : 1, &all->part[i]);
    }
}

/* Unpacking takes nearly all the time, so the files are read side by side. A message belongs to the thread that failed: the
 * first file that failed is read again here, for its message. */
static tare_status read_four(four *all) {
    tare_parallel_for(4, 1, read_parts, all);
    for (int i = 0; i < 4; i++) {
        if (all->status[i] != TARE_OK) { read_parts(all, i, i + 1); }
        if (all->status[i] != TARE_OK) { return all->status[i]; }
    }
    return TARE_OK;
}

static tare_status check_sizes(const four *all) {
    const tare_shape *a = &all->part[0].shape, *b = &all->part[1].shape;
    tare_shape x = *a, y = *b;
    x.dim[0] = y.dim[0] = 1;
    if (tare_shape_equal(x, y)) { return TARE_OK; }
    tare_shape_buf text_a, text_b;
    return tare_fail(TARE_EFORMAT, "%s holds images %s but %s holds %s: training and test images must be of one size",
                     all->path[0], tare_shape_text(*a, &text_a), all->path[1], tare_shape_text(*b, &text_b));
}

tare_status tare__idx_folder(const char *dir, int64_t classes, tare_dataset **train, tare_dataset **test) {
    four all = { .path = { NULL } };
    tare_dataset *first = NULL, *second = NULL;
    tare_status status = TARE_OK;
    for (int i = 0; i < 4; i++) {
        all.path[i] = tare__path_join(dir, FOUR[i]);
        if (!all.path[i]) { status = TARE_ENOMEM; }
    }
    if (status == TARE_OK) { status = read_four(&all); }
    if (status == TARE_OK) { status = check_sizes(&all); }
    if (status == TARE_OK) {
        status = join_pair(all.path[0], all.path[2], &all.part[0], &all.part[2], classes, &first);
    }
    if (status == TARE_OK) {
        status = join_pair(all.path[1], all.path[3], &all.part[1], &all.part[3], first->classes, &second);
    }
    for (int i = 0; i < 4; i++) {
        tare_free(all.path[i]);
        tare_free(all.part[i].data);
    }
    if (status != TARE_OK) {
        tare_dataset_free(first);
        tare_dataset_free(second);
        return status;
    }
    *train = first;
    *test = second;
    return TARE_OK;
}
