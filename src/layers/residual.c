/* residual.c - y = after(body(x) + shortcut(x)), and the shortcut that needs no parameters. */
#include <tare/layers.h>

#include <inttypes.h>
#include <stdio.h>

typedef struct residual {
    tare_layer base;
    tare_layer *body, *shortcut, *after; /* shortcut and after may be NULL */
} residual;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const residual *r = (const residual *)self;
    tare_tensor *y = tare_forward(r->body, tape, x);
    tare_tensor *s = r->shortcut ? tare_forward(r->shortcut, tape, x) : x;
    tare_tensor *sum = tare_add(tape, y, s);
    if (y != x) { tare_release(tape, y); }
    if (s != x && s != y) { tare_release(tape, s); }
    if (!r->after) { return sum; }
    tare_tensor *out = tare_forward(r->after, tape, sum);
    if (out != sum) { tare_release(tape, sum); }
    return out;
}

static const tare_layer_class residual_class = { .name = "residual", .forward = forward, .container = true };

tare_layer *tare_layer_residual(tare_params *ps, const char *name, tare_layer *body, tare_layer *shortcut,
                                tare_layer *after) {
    residual *r = (residual *)tare_layer_new(ps, name, &residual_class, sizeof *r);
    tare_layer *children[3] = { body };
    int n = 1;
    if (shortcut) { children[n++] = shortcut; }
    if (after) { children[n++] = after; }
    if (!r || tare_layer_adopt(&r->base, children, n)) { return NULL; }
    r->body = body;
    r->shortcut = shortcut;
    r->after = after;
    return &r->base;
}

/* ---- the shortcut without parameters ----------------------------------------------------------------------------- */

typedef struct subsample {
    tare_layer base;
    int64_t channels;
    int stride;
} subsample;

static tare_tensor *subsample_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const subsample *s = (const subsample *)self;
    if (x->shape.ndim != 4 || x->shape.dim[1] > s->channels) {
        tare_shape_buf buf;
        return tare_tape_fail(tape, TARE_ESHAPE, "subsample \"%s\": x %s must be [N,C,H,W] with C at most %" PRId64,
                              self->name, tare_shape_text(x->shape, &buf), s->channels);
    }
    int64_t more = s->channels - x->shape.dim[1];
    tare_tensor *rows = tare_slice(tape, x, 2, 0, x->shape.dim[2], s->stride);
    tare_tensor *cells = rows ? tare_slice(tape, rows, 3, 0, rows->shape.dim[3], s->stride) : NULL;
    tare_tensor *y =
        tare_pad(tape, cells, (tare_pad_opt){ .before = { 0, more / 2 }, .after = { 0, more - more / 2 } });
    tare_release(tape, rows);
    tare_release(tape, cells);
    return y;
}

static void subsample_describe(const tare_layer *self, char *text, size_t size) {
    const subsample *s = (const subsample *)self;
    snprintf(text, size, "stride %d, zero channels", s->stride);
}

static const tare_layer_class subsample_class = { .name = "subsample",
                                                  .forward = subsample_forward,
                                                  .describe = subsample_describe };

tare_layer *tare_layer_subsample(tare_params *ps, const char *name, int64_t channels, int stride) {
    subsample *s = (subsample *)tare_layer_new(ps, name, &subsample_class, sizeof *s);
    if (!s) { return NULL; }
    if (channels < 1 || stride < 1) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "subsample \"%s\": %" PRId64 " channels, stride %d: both must be 1 or more",
                                s->base.name, channels, stride);
    }
    s->channels = channels;
    s->stride = stride;
    return &s->base;
}
