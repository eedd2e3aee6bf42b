/* positions.c - a vector for each position, learned or made of sines, added to x [B,T,C]. */
#include <tare/sequence.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct positions {
    tare_layer base; /* weight: the learned table */
    int64_t context, width;
    tare_real *sines; /* the other one, [context, width] */
    const tare_sequence *sequence;
} positions;

/* Rows [offset, offset + steps) of the table. */
static tare_tensor *rows(positions *p, tare_tape *tape, int64_t offset, int64_t steps) {
    if (p->sines) { return tare_input_view(tape, TARE_SHAPE(steps, p->width), p->sines + offset * p->width); }
    tare_tensor *w = tare_layer_weight(&p->base, tape);
    return steps == p->context ? w : tare_slice(tape, w, 0, offset, offset + steps, 1);
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    positions *p = (positions *)self;
    int64_t offset = p->sequence ? p->sequence->offset : 0;
    tare_shape_buf text;
    if (x->shape.ndim != 3 || x->shape.dim[2] != p->width) {
        return tare_tape_fail(tape, TARE_ESHAPE, "positions \"%s\": x %s must be [B,T,%" PRId64 "]", self->name,
                              tare_shape_text(x->shape, &text), p->width);
    }
    if (offset < 0 || x->shape.dim[1] > p->context - offset) {
        return tare_tape_fail(tape, TARE_ESHAPE,
                              "positions \"%s\": x %s from position %" PRId64 " on leaves the context of %" PRId64,
                              self->name, tare_shape_text(x->shape, &text), offset, p->context);
    }
    tare_tensor *table = rows(p, tape, offset, x->shape.dim[1]);
    tare_tensor *y = tare_add(tape, x, table);
    tare_release(tape, table);
    return y;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const positions *p = (const positions *)self;
    snprintf(text, size, "%s, %" PRId64, p->sines ? "sines" : "learned", p->context);
}

static const tare_layer_class positions_class = { .name = "positions", .forward = forward, .describe = describe };

static void fill_sines(tare_real *table, int64_t context, int64_t width) {
    for (int64_t t = 0; t < context; t++) {
        for (int64_t i = 0; i < width; i++) {
            int64_t pair = i - i % 2; /* the features of a sine and its cosine */
            double angle = (double)t * pow(10000, -(double)pair / (double)width);
            table[t * width + i] = (tare_real)(i % 2 ? cos(angle) : sin(angle));
        }
    }
}

tare_layer *tare_layer_positions(tare_params *ps, const char *name, int64_t context, int64_t width,
                                 tare_layer_positions_opt opt) {
    if (!name) { name = positions_class.name; }
    positions *p = (positions *)tare_layer_new(ps, name, &positions_class, sizeof *p);
    if (!p) { return NULL; }
    int64_t numel = tare_shape_numel(TARE_SHAPE(context, width));
    if (context < 1 || width < 1 || numel < 1) {
        return tare_params_fail(ps, TARE_EINVAL, "positions \"%s\": %" PRId64 " positions of width %" PRId64,
                                p->base.name, context, width);
    }
    p->context = context;
    p->width = width;
    p->sequence = opt.sequence;
    if (opt.sinusoidal) {
        p->sines = tare_params_own(ps, tare_calloc((size_t)numel, sizeof *p->sines));
        if (!p->sines) { return NULL; }
        fill_sines(p->sines, context, width);
        return &p->base;
    }
    tare_params_push(ps, name);
    p->base.weight = tare_param(ps, "weight", TARE_SHAPE(context, width), 0);
    tare_params_pop(ps);
    tare_init_normal(ps, p->base.weight, 0, 1);
    return tare_params_status(ps) ? NULL : &p->base;
}
