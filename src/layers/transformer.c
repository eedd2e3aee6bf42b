/* transformer.c - a transformer block: attention and feed-forward net, each with its norm and a way round it. */
#include "feed_forward.h"

#include <stdio.h>

typedef struct transformer {
    tare_layer base;
    tare_layer *attention, *feed_forward, *norm1, *norm2;
    double dropout;
    bool post_norm;
} transformer;

/* Norms know samples, so each position is one: [B,T,C] goes through as [B*T,C]. */
static tare_tensor *normalise(tare_layer *norm, tare_tape *tape, tare_tensor *x) {
    if (!x) { return NULL; }
    tare_shape shape = x->shape;
    tare_tensor *rows = tare_reshape(tape, x, TARE_SHAPE(-1, shape.dim[shape.ndim - 1]));
    tare_tensor *y = tare_forward(norm, tape, rows), *out = tare_reshape(tape, y, shape);
    tare_release(tape, rows);
    if (y != rows) { tare_release(tape, y); }
    return out;
}

/* x + drop(body(x)), with the norm before body or after all. */
static tare_tensor *around(const transformer *b, tare_tape *tape, tare_layer *body, tare_layer *norm, tare_tensor *x) {
    tare_tensor *in = b->post_norm ? x : normalise(norm, tape, x), *y = tare_forward(body, tape, in);
    if (in != x) { tare_release(tape, in); }
    if (b->dropout > 0) {
        tare_tensor *left = tare_dropout(tape, y, b->dropout);
        tare_release(tape, y);
        y = left;
    }
    tare_tensor *sum = tare_add(tape, x, y);
    tare_release(tape, y);
    if (!b->post_norm) { return sum; }
    tare_tensor *out = normalise(norm, tape, sum);
    tare_release(tape, sum);
    return out;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const transformer *b = (const transformer *)self;
    tare_tensor *middle = around(b, tape, b->attention, b->norm1, x);
    tare_tensor *y = around(b, tape, b->feed_forward, b->norm2, middle);
    tare_release(tape, middle);
    return y;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    snprintf(text, size, "%s", ((const transformer *)self)->post_norm ? "post-norm" : "pre-norm");
}

static const tare_layer_class transformer_class = {
    .name = "transformer", .forward = forward, .describe = describe, .container = true
};

/* The weights of all four linear maps take the norms of weights in the spec. */
static void make_parts(tare_params *ps, transformer *b, int64_t width, const tare_layer_transformer_opt *opt) {
    const char *norm = opt->norm ? opt->norm : "ln";
    b->attention = tare_layer_attention(ps, "self_attn", width,
                                        (tare_layer_attention_opt){ .heads = opt->heads,
                                                                    .causal = opt->causal,
                                                                    .no_bias = opt->no_bias,
                                                                    .rotary = opt->rotary,
                                                                    .rotary_base = opt->rotary_base,
                                                                    .dropout = opt->attention_dropout,
                                                                    .sequence = opt->sequence });
    if (b->attention) {
        tare_norm_weight(b->attention, norm);
        tare_params_push(ps, "self_attn");
        tare_norm_weight(b->attention->children[0], norm);
        tare_params_pop(ps);
    }
    b->feed_forward = tare__feed_forward(ps, NULL, false, width,
                                         (tare_layer_feed_forward_opt){ .act = opt->act,
                                                                        .hidden = opt->hidden,
                                                                        .dropout = opt->hidden_dropout,
                                                                        .no_bias = opt->no_bias,
                                                                        .split = opt->split },
                                         norm);
    b->norm1 = tare_norm_layer(ps, "norm1", norm, TARE_SHAPE(width));
    b->norm2 = tare_norm_layer(ps, "norm2", norm, TARE_SHAPE(width));
}

tare_layer *tare_layer_transformer(tare_params *ps, const char *name, int64_t width, tare_layer_transformer_opt opt) {
    if (!name) { name = transformer_class.name; }
    transformer *b = (transformer *)tare_layer_new(ps, name, &transformer_class, sizeof *b);
    if (!b) { return NULL; }
    if (!(opt.dropout >= 0 && opt.dropout <= 1)) {
        return tare_params_fail(ps, TARE_EINVAL, "transformer \"%s\": dropout is %g, must lie in 0..1", b->base.name,
                                opt.dropout);
    }
    tare_params_push(ps, name);
    make_parts(ps, b, width, &opt);
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return NULL; }
    b->dropout = opt.dropout;
    b->post_norm = opt.post_norm;
    tare_layer *children[4] = { b->norm1, b->attention, b->norm2, b->feed_forward };
    if (b->post_norm) {
        children[0] = b->attention, children[1] = b->norm1, children[2] = b->feed_forward, children[3] = b->norm2;
    }
    return tare_layer_adopt(&b->base, children, 4) ? NULL : &b->base;
}
