/* feed_forward.c - two linear maps with an activation or a gated unit between them, for each position. */
#include "feed_forward.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct kind {
    const char *name;
    tare_tensor *(*act)(tare_tape *tape, tare_tensor *x); /* NULL: gated */
    tare_glu_kind glu;
} kind;

static const kind kinds[] = {
    { "gelu", tare_gelu, 0 },      { "gelu_tanh", tare_gelu_tanh, 0 }, { "relu", tare_relu, 0 },
    { "silu", tare_silu, 0 },      { "glu", NULL, TARE_GLU },          { "swiglu", NULL, TARE_SWIGLU },
    { "geglu", NULL, TARE_GEGLU }, { "reglu", NULL, TARE_REGLU },      { "bilinear", NULL, TARE_BILINEAR },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const kind *find(const char *name) {
    for (int i = 0; i < (int)KINDS; i++) {
        if (strcmp(kinds[i].name, name ? name : kinds[0].name) == 0) { return &kinds[i]; }
    }
    return NULL;
}

int64_t tare_feed_forward_hidden(const char *act, int64_t width) {
    const kind *k = find(act);
    return !k || k->act ? 4 * width : 8 * ((width + 2) / 3);
}

typedef struct feed_forward {
    tare_layer base;
    const kind *kind;
    tare_layer *up, *gate, *down; /* gate: NULL unless it is apart */
    int64_t hidden;
    double dropout;
} feed_forward;

static tare_tensor *activate(const feed_forward *f, tare_tape *tape, tare_tensor *x) {
    tare_tensor *h = tare_forward(f->up, tape, x), *g = NULL, *y;
    if (f->kind->act) {
        y = f->kind->act(tape, h);
    } else if (f->gate) {
        g = tare_forward(f->gate, tape, x);
        y = tare_glu_split(tape, h, g, f->kind->glu);
    } else {
        y = tare_glu(tape, h, f->kind->glu);
    }
    tare_release(tape, h);
    tare_release(tape, g);
    return y;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const feed_forward *f = (const feed_forward *)self;
    tare_tensor *h = activate(f, tape, x), *left = h;
    if (f->dropout > 0) {
        left = tare_dropout(tape, h, f->dropout);
        tare_release(tape, h);
    }
    tare_tensor *y = tare_forward(f->down, tape, left);
    tare_release(tape, left);
    return y;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const feed_forward *f = (const feed_forward *)self;
    snprintf(text, size, "%s, %" PRId64 " hidden", f->kind->name, f->hidden);
}

static const tare_layer_class feed_forward_class = { .name = "feed_forward", .forward = forward, .describe = describe };

static bool options_ok(tare_params *ps, const feed_forward *f, const tare_layer_feed_forward_opt *opt) {
    char known[128] = "";
    size_t used = 0;
    for (int i = 0; i < (int)KINDS; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", kinds[i].name);
    }
    if (!f->kind) {
        tare_params_fail(ps, TARE_EINVAL, "feed_forward \"%s\": there is no \"%s\"; known: %s", f->base.name, opt->act,
                         known);
    } else if (opt->split && f->kind->act) {
        tare_params_fail(ps, TARE_EINVAL, "feed_forward \"%s\": \"%s\" has no gates to split off", f->base.name,
                         f->kind->name);
    } else if (opt->hidden < 0) {
        tare_params_fail(ps, TARE_EINVAL,
                         "feed_forward \"%s\": hidden is %" PRId64 ", must be 1 or more (0: by the rule)", f->base.name,
                         opt->hidden);
    } else if (!(opt->dropout >= 0 && opt->dropout <= 1)) {
        tare_params_fail(ps, TARE_EINVAL, "feed_forward \"%s\": dropout is %g, must lie in 0..1", f->base.name,
                         opt->dropout);
    }
    return tare_params_status(ps) == TARE_OK;
}

static void make_parts(tare_params *ps, feed_forward *f, int64_t width, const tare_layer_feed_forward_opt *opt) {
    const tare_layer_linear_opt linear = { .no_bias = opt->no_bias };
    bool packed = !f->kind->act && !opt->split;
    f->up = tare_layer_linear(ps, "linear1", width, packed ? 2 * f->hidden : f->hidden, linear);
    if (opt->split) { f->gate = tare_layer_linear(ps, "gate", width, f->hidden, linear); }
    f->down = tare_layer_linear(ps, "linear2", f->hidden, width, linear);
}

static void give_norms(feed_forward *f, const char *norm) {
    tare_norm_weight(f->up, norm);
    if (f->gate) { tare_norm_weight(f->gate, norm); }
    tare_norm_weight(f->down, norm);
}

tare_layer *tare__feed_forward(tare_params *ps, const char *name, bool scope, int64_t width,
                               tare_layer_feed_forward_opt opt, const char *norm) {
    if (!name) { name = feed_forward_class.name; }
    feed_forward *f = (feed_forward *)tare_layer_new(ps, name, &feed_forward_class, sizeof *f);
    if (!f) { return NULL; }
    f->kind = find(opt.act);
    if (!options_ok(ps, f, &opt)) { return NULL; }
    f->hidden = opt.hidden ? opt.hidden : tare_feed_forward_hidden(opt.act, width);
    f->dropout = opt.dropout;
    if (scope) { tare_params_push(ps, name); }
    make_parts(ps, f, width, &opt);
    if (norm) { give_norms(f, norm); }
    if (scope) { tare_params_pop(ps); }
    tare_layer *children[3] = { f->up, f->down, f->gate };
    int n = opt.split ? 3 : 2;
    if (tare_params_status(ps) || tare_layer_adopt(&f->base, children, n)) { return NULL; }
    return &f->base;
}

tare_layer *tare_layer_feed_forward(tare_params *ps, const char *name, int64_t width, tare_layer_feed_forward_opt opt) {
    return tare__feed_forward(ps, name, true, width, opt, NULL);
}
