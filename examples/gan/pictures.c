/* pictures.c - samples as PNG files: pictures in a grid, points over the modes that they should fall on. */
#include "gan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, SIDE = 8, STEPS = 10, PLOT = 384, MOST_ROWS = 16 };

typedef struct canvas {
    int64_t channels, height, width;
    uint8_t *planes;
} canvas;

static void dot(canvas *c, int64_t x, int64_t y, const int colour[3], double cover) {
    if (x < 0 || y < 0 || x >= c->width || y >= c->height) { return; }
    for (int64_t k = 0; k < c->channels; k++) {
        uint8_t *p = &c->planes[(k * c->height + y) * c->width + x];
        *p = (uint8_t)((1 - cover) * *p + cover * colour[k] + 0.5);
    }
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* Small ones twice as large. */
static int64_t zoom_of(const subject *what) { return what->shape.dim[1] < 64 ? 2 : 1; }

static void paste(canvas *c, const subject *what, const tare_real *x, int64_t top, int64_t left) {
    int64_t zoom = zoom_of(what), h = what->shape.dim[1], w = what->shape.dim[2];
    for (int64_t k = 0; k < c->channels; k++) {
        for (int64_t i = 0; i < h * zoom; i++) {
            for (int64_t j = 0; j < w * zoom; j++) {
                double value = ((double)x[(k * h + i / zoom) * w + j / zoom] + 1) * 127.5 + 0.5;
                c->planes[(k * c->height + top + i) * c->width + left + j] =
                    (uint8_t)(value >= 255 ? 255
                              : value > 0  ? value
                                           : 0); /* NaN is black */
            }
        }
    }
}

static void draw_grid(canvas *c, const subject *what, const tare_real *samples, int64_t n, int64_t columns) {
    int64_t zoom = zoom_of(what), h = what->shape.dim[1] * zoom + GAP, w = what->shape.dim[2] * zoom + GAP;
    for (int64_t i = 0; i < n; i++) {
        paste(c, what, samples + i * tare_shape_numel(what->shape), GAP + i / columns * h, GAP + i % columns * w);
    }
}

/* ---- points ------------------------------------------------------------------------------------------------------ */

/* Grey circles three deviations wide, and a blue point for each sample. */
static void draw_points(canvas *c, const toy *t, const tare_real *samples, int64_t n) {
    static const int grey[] = { 150, 150, 150 }, blue[] = { 20, 60, 200 };
    double reach = 0, centre[2];
    for (int64_t k = 0; k < t->modes; k++) {
        toy_centre(t, k, centre);
        reach = fmax(reach, fmax(fabs(centre[0]), fabs(centre[1])));
    }
    double scale = (PLOT - 1) / (2.6 * reach), middle = (PLOT - 1) / 2.0;
    for (int64_t k = 0; k < t->modes; k++) {
        toy_centre(t, k, centre);
        for (int i = 0; i < 256; i++) {
            double angle = i * (6.283185307179586 / 256), r = 3 * t->sigma;
            dot(c, lround(middle + scale * (centre[0] + r * cos(angle))),
                lround(middle - scale * (centre[1] + r * sin(angle))), grey, 1);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        double x = middle + scale * (double)samples[2 * i], y = middle - scale * (double)samples[2 * i + 1];
        if (!(x >= 0 && x < PLOT && y >= 0 && y < PLOT)) { continue; }
        dot(c, lround(x), lround(y), blue, 0.7);
        for (int j = -1; j <= 1; j += 2) {
            dot(c, lround(x) + j, lround(y), blue, 0.25);
            dot(c, lround(x), lround(y) + j, blue, 0.25);
        }
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static tare_status save(const char *path, const subject *what, const tare_real *samples, int64_t n, int64_t columns) {
    canvas c = { 3, PLOT, PLOT, NULL };
    if (!what->toy) {
        int64_t zoom = zoom_of(what), rows = (n + columns - 1) / columns;
        c.channels = what->shape.dim[0] == 3 ? 3 : 1;
        c.height = GAP + rows * (what->shape.dim[1] * zoom + GAP);
        c.width = GAP + (n < columns ? n : columns) * (what->shape.dim[2] * zoom + GAP);
    }
    size_t size = (size_t)(c.channels * c.height * c.width);
    c.planes = tare_malloc(size);
    if (!c.planes) { return TARE_ENOMEM; }
    memset(c.planes, 255, size);
    if (what->toy) {
        draw_points(&c, what->toy, samples, n);
    } else {
        draw_grid(&c, what, samples, n, columns);
    }
    tare_status s = tare_image_save(path, c.planes, c.channels, c.height, c.width);
    tare_free(c.planes);
    return s;
}

static tare_status draw_and_save(sampler *s, const char *path, const char *purpose, uint64_t seed, int64_t n,
                                 const int32_t *labels, int64_t columns) {
    tare_real *x = tare_malloc((size_t)(n * tare_shape_numel(s->what->shape)) * sizeof *x);
    tare_status status = x ? sampler_draw(s, purpose, seed, n, labels, x) : TARE_ENOMEM;
    if (status == TARE_OK) { status = save(path, s->what, x, n, columns); }
    tare_free(x);
    return status;
}

tare_status picture_grid(sampler *s, const char *path) {
    uint64_t seed = (uint64_t)s->o->run.seed;
    if (s->what->toy) { return draw_and_save(s, path, "grid", seed, 1024, NULL, 1); }
    if (!s->o->classes) { return draw_and_save(s, path, "grid", seed, SIDE * SIDE, NULL, SIDE); }
    int32_t labels[MOST_ROWS * SIDE];
    int64_t rows = s->what->classes < MOST_ROWS ? s->what->classes : MOST_ROWS;
    for (int64_t i = 0; i < rows * SIDE; i++) { labels[i] = (int32_t)(i / SIDE); }
    return draw_and_save(s, path, "grid", seed, rows * SIDE, labels, SIDE);
}

tare_status picture_new(sampler *s, const char *path, int64_t n, uint64_t seed, int64_t only) {
    int64_t columns = 1;
    while (columns * columns < n) { columns++; }
    int32_t *labels = only >= 0 ? tare_malloc((size_t)n * sizeof *labels) : NULL;
    if (only >= 0 && !labels) { return TARE_ENOMEM; }
    for (int64_t i = 0; labels && i < n; i++) { labels[i] = (int32_t)only; }
    tare_status status = draw_and_save(s, path, "samples", seed, n, labels, columns);
    tare_free(labels);
    return status;
}

/* ---- from one to another ----------------------------------------------------------------------------------------- */

/* sin((1-u) a) / sin(a) p + sin(u a) / sin(a) q, a the angle between them: z stays as long as normal ones are. */
static void slerp(const tare_real *p, const tare_real *q, double u, int64_t n, tare_real *out) {
    double pq = 0, pp = 0, qq = 0;
    for (int64_t i = 0; i < n; i++) {
        pq += (double)p[i] * (double)q[i];
        pp += (double)p[i] * (double)p[i];
        qq += (double)q[i] * (double)q[i];
    }
    double a = acos(fmax(-1, fmin(1, pq / sqrt(pp * qq)))), s = sin(a);
    double left = s > 1e-6 ? sin((1 - u) * a) / s : 1 - u, right = s > 1e-6 ? sin(u * a) / s : u;
    for (int64_t i = 0; i < n; i++) { out[i] = (tare_real)(left * (double)p[i] + right * (double)q[i]); }
}

tare_status picture_interpolation(sampler *s, const char *path) {
    enum { ROWS = 6, N = ROWS * STEPS };
    int64_t dim = s->o->z_dim, sample = tare_shape_numel(s->what->shape);
    int32_t labels[N];
    tare_real *ends = tare_malloc((size_t)((2 * ROWS + N) * dim + N * sample) * sizeof *ends);
    if (!ends) { return TARE_ENOMEM; }
    tare_real *z = ends + 2 * ROWS * dim, *x = z + N * dim;
    draw_z((uint64_t)s->o->run.seed, "interpolation", 0, (int64_t)2 * ROWS, dim, ends);
    for (int64_t i = 0; i < N; i++) {
        const tare_real *from = ends + i / STEPS * 2 * dim;
        labels[i] = (int32_t)(i / STEPS % s->what->classes);
        slerp(from, from + dim, (double)(i % STEPS) / (STEPS - 1), dim, z + i * dim);
    }
    tare_status status = sampler_run(s, z, labels, N, x);
    if (status == TARE_OK) { status = save(path, s->what, x, N, STEPS); }
    tare_free(ends);
    return status;
}
