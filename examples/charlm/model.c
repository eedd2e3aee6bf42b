/* model.c - five nets that give each next (or hidden) token a score. */
#include "charlm.h"

#include <math.h>
#include <string.h>

enum { MOST_LAYERS = 64 };

static tare_tensor *as_rows(tare_tape *tape, tare_tensor *x) {
    return tare_reshape(tape, x, TARE_SHAPE(-1, x->shape.dim[2]));
}

/* "layers.3" as PyTorch's TransformerEncoder numbers them; ps keeps the text. */
static const char *numbered(tare_params *ps, int64_t i) {
    char name[32];
    snprintf(name, sizeof name, "layers.%lld", (long long)i);
    return tare_params_name(ps, name);
}

/* A character's width: that of a position, or for recurrent nets one of its own. */
static int64_t embedding_width(const net *n) {
    const options *o = n->o;
    if (!is_recurrent(o)) { return o->width; }
    return o->embedding > 0 ? o->embedding : n->tokens < o->width ? n->tokens : o->width;
}

static bool is_tied(const options *o) {
    return strcmp(o->tied, "yes") == 0 || (strcmp(o->tied, "auto") == 0 && !is_recurrent(o));
}

static tare_layer *head(net *n, tare_params *ps, int64_t width) {
    if (is_tied(n->o)) { return tare_layer_tied(ps, "head", n->embedding); }
    return tare_layer_linear(ps, "head", width, n->tokens, (tare_layer_linear_opt){ .no_bias = !is_recurrent(n->o) });
}

/* ---- transformers ------------------------------------------------------------------------------------------------ */

static tare_layer *block(net *n, tare_params *ps, int64_t i) {
    const options *o = n->o;
    tare_layer *made =
        tare_layer_transformer(ps, numbered(ps, i), o->width,
                               (tare_layer_transformer_opt){ .heads = (int)o->heads,
                                                             .norm = o->norm,
                                                             .post_norm = strcmp(o->norm_place, "post") == 0,
                                                             .causal = !is_bert(o),
                                                             .no_bias = !o->bias,
                                                             .rotary = strcmp(o->positions, "rotary") == 0,
                                                             .act = o->ffn,
                                                             .hidden = o->hidden,
                                                             .dropout = o->dropout,
                                                             .attention_dropout = o->dropout,
                                                             .sequence = &n->sequence });
    return o->recompute ? tare_layer_recompute(ps, made) : made;
}

/* Positions, blocks, and before norms a last one, as GPT-2. */
static int transformer(net *n, tare_params *ps, tare_layer **layers) {
    const options *o = n->o;
    int count = 0;
    bool sines = strcmp(o->positions, "sinusoidal") == 0;
    if (sines || strcmp(o->positions, "learned") == 0) {
        layers[count++] =
            tare_layer_positions(ps, "positions", o->context, o->width,
                                 (tare_layer_positions_opt){ .sinusoidal = sines, .sequence = &n->sequence });
    }
    if (o->dropout > 0) { layers[count++] = tare_layer_dropout(ps, NULL, o->dropout); }
    for (int64_t i = 0; i < o->layers; i++) { layers[count++] = block(n, ps, i); }
    layers[count++] = tare_layer_function(ps, "rows", as_rows);
    if (strcmp(o->norm_place, "pre") == 0) {
        layers[count++] = tare_norm_layer(ps, "norm", o->norm, TARE_SHAPE(o->width));
    }
    return count;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Weight norm has the length of each row apart: that of the weight as it is now. */
static void set_lengths(tare_params *ps, const tare_tensor *w) {
    char name[256];
    snprintf(name, sizeof name, "%s_g", w->name);
    tare_tensor *g = tare_params_find(ps, name);
    int64_t rows = w->shape.dim[0], width = w->numel / rows;
    for (int64_t r = 0; g && r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < width; i++) { sum += (double)w->data[r * width + i] * (double)w->data[r * width + i]; }
        g->data[r] = (tare_real)sqrt(sum);
    }
}

/* GPT-2's start (Radford et al. 2019): normal(0, 0.02), what is added to the residual stream smaller by the root of how many
 * add to it; biases 0. */
static void start_as_gpt2(tare_params *ps, int64_t layers) {
    for (int i = 0; i < tare_params_count(ps); i++) {
        tare_tensor *w = tare_params_at(ps, i);
        bool adds = ends_with(w->name, "out_proj.weight") || ends_with(w->name, "linear2.weight");
        if (w->shape.ndim == 2 && !ends_with(w->name, "weight_g")) {
            tare_init_normal(ps, w, 0, adds ? 0.02 / sqrt(2.0 * (double)layers) : 0.02);
            set_lengths(ps, w);
        } else if (ends_with(w->name, "bias") && !strstr(w->name, "norm")) {
            tare_init_constant(ps, w, 0);
        }
    }
}

/* ---- recurrent nets ---------------------------------------------------------------------------------------------- */

static tare_rnn_kind kind_of(const options *o) {
    if (strcmp(o->arch, "lstm") == 0) { return TARE_LSTM; }
    if (strcmp(o->arch, "gru") == 0) { return TARE_GRU; }
    return strcmp(o->nonlinearity, "relu") == 0 ? TARE_RNN_RELU : TARE_RNN_TANH;
}

/* PyTorch's start. Dropout between the layers, and before the head. */
static int recurrent(net *n, tare_params *ps, tare_layer **layers) {
    const options *o = n->o;
    int count = 0;
    bool normed = strcmp(o->norm, "none") != 0, inside = strcmp(o->norm_place, "cell") == 0;
    n->rnn = tare_layer_rnn(ps, "rnn", kind_of(o), embedding_width(n), o->width,
                            (tare_layer_rnn_opt){ .layers = (int)o->layers,
                                                  .dropout = o->dropout,
                                                  .input_norm = normed && !inside ? o->norm : NULL,
                                                  .cell_norm = normed && inside ? o->norm : NULL });
    layers[count++] = n->rnn;
    layers[count++] = tare_layer_function(ps, "rows", as_rows);
    if (o->dropout > 0) { layers[count++] = tare_layer_dropout(ps, NULL, o->dropout); }
    return count;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

void net_new(net *n, tare_params *ps, const options *o, const vocabulary *v) {
    *n = (net){ .o = o, .tokens = v->size + (is_bert(o) ? 1 : 0) };
    tare_layer *layers[MOST_LAYERS + 8];
    n->embedding = tare_layer_embedding(ps, "embedding", n->tokens, embedding_width(n));
    int count = is_recurrent(o) ? recurrent(n, ps, layers) : transformer(n, ps, layers);
    layers[count++] = head(n, ps, o->width);
    n->body = tare_layer_sequential(ps, NULL, layers, count);
    tare_layer *both[] = { n->embedding, n->body };
    n->whole = tare_layer_sequential(ps, NULL, both, 2);
    if (!is_recurrent(o) && tare_params_status(ps) == TARE_OK) { start_as_gpt2(ps, o->layers); }
}

void net_free(net *n) { tare_rnn_state_free(n->state); }

tare_tensor *net_logits(net *n, tare_tape *tape, const int32_t *x, tare_shape shape) {
    tare_tensor *embedded = tare_layer_embed(n->embedding, tape, x, shape);
    tare_tensor *logits = tare_forward(n->body, tape, embedded);
    tare_release(tape, embedded);
    return logits;
}

int32_t net_mask(const net *n) { return is_bert(n->o) ? (int32_t)n->tokens - 1 : -1; }
