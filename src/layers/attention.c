/* attention.c - self-attention of several heads as a layer: one product makes queries, keys and values, which the op reads as they
 * lie. */
#include "attention.h"

#include <inttypes.h>
#include <stdio.h>

static tare_tensor *attend(const tare__attention_layer *a, tare_tape *tape, tare_tensor *qkv) {
    const tare_sequence *sequence = a->opt.sequence;
    if (sequence && sequence->cache) {
        if (!qkv || tare__kv_cache_keep(sequence->cache, a, tape, qkv)) { return NULL; }
        if (sequence->offset > 0) { return tare__kv_cache_attend(sequence->cache, a, tape, qkv); }
    }
    return tare_attention_packed(tape, qkv, a->opt.heads,
                                 (tare_attention_opt){ .causal = a->opt.causal,
                                                       .dropout = a->opt.dropout,
                                                       .lengths = sequence ? sequence->lengths : NULL });
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const tare__attention_layer *a = (const tare__attention_layer *)self;
    const tare_layer_attention_opt *opt = &a->opt;
    const tare_sequence *sequence = opt->sequence;
    if (x->shape.ndim != 3) {
        tare_shape_buf text;
        return tare_tape_fail(tape, TARE_ESHAPE, "attention \"%s\": x %s must be [B,T,%" PRId64 "]", self->name,
                              tare_shape_text(x->shape, &text), self->weight->shape.dim[1]);
    }
    tare_tensor *qkv = tare_linear(tape, x, tare_layer_weight(self, tape), a->bias);
    if (opt->rotary) {
        tare_tensor *turned =
            tare_rotary(tape, qkv,
                        (tare_rotary_opt){
                            .heads = opt->heads, .base = opt->rotary_base, .offset = sequence ? sequence->offset : 0 });
        tare_release(tape, qkv);
        qkv = turned;
    }
    tare_tensor *y = attend(a, tape, qkv);
    tare_release(tape, qkv);
    tare_tensor *out = tare_forward(a->out, tape, y);
    tare_release(tape, y);
    return out;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const tare_layer_attention_opt *opt = &((const tare__attention_layer *)self)->opt;
    snprintf(text, size, "%" PRId64 " heads%s%s", opt->heads, opt->causal ? ", causal" : "",
             opt->rotary ? ", rotary" : "");
}

const tare_layer_class tare__attention_class = { .name = "attention", .forward = forward, .describe = describe };

static bool options_ok(tare_params *ps, const tare__attention_layer *a, int64_t width) {
    const tare_layer_attention_opt *opt = &a->opt;
    const char *name = a->base.name;
    if (opt->heads < 1 || width < 1 || width % opt->heads) {
        tare_params_fail(ps, TARE_EINVAL, "attention \"%s\": %" PRId64 " heads do not divide a width of %" PRId64, name,
                         opt->heads, width);
    } else if (opt->rotary && width / opt->heads % 2) {
        tare_params_fail(ps, TARE_EINVAL,
                         "attention \"%s\": rotary positions turn pairs, but a head has %" PRId64 " features", name,
                         width / opt->heads);
    } else if (!(opt->dropout >= 0 && opt->dropout < 1)) {
        tare_params_fail(ps, TARE_EINVAL, "attention \"%s\": dropout is %g, must lie in 0..1, 1 not included", name,
                         opt->dropout);
    }
    return tare_params_status(ps) == TARE_OK;
}

tare_layer *tare_layer_attention(tare_params *ps, const char *name, int64_t width, tare_layer_attention_opt opt) {
    if (!name) { name = tare__attention_class.name; }
    tare__attention_layer *a = (tare__attention_layer *)tare_layer_new(ps, name, &tare__attention_class, sizeof *a);
    if (!a) { return NULL; }
    a->opt = opt;
    if (opt.heads == 0) { a->opt.heads = 1; }
    if (!options_ok(ps, a, width)) { return NULL; }
    tare_params_push(ps, name);
    a->base.weight = tare_param(ps, "in_proj_weight", TARE_SHAPE(3 * width, width), 0);
    if (!opt.no_bias) { a->bias = tare_param(ps, "in_proj_bias", TARE_SHAPE(3 * width), TARE_NO_DECAY); }
    a->out = tare_layer_linear(ps, "out_proj", width, width, (tare_layer_linear_opt){ .no_bias = opt.no_bias });
    if (!opt.no_bias) {
        tare_init_constant(ps, tare_params_status(ps) ? NULL : tare_params_at(ps, tare_params_count(ps) - 1), 0);
    }
    tare_params_pop(ps);
    if (tare_params_status(ps) || tare_layer_adopt(&a->base, &a->out, 1)) { return NULL; }
    tare_init_xavier_uniform(ps, a->base.weight, 1);
    return &a->base;
}
