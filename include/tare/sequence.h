/* tare/sequence.h - models of sequences: attention and transformer blocks, gated feed-forward nets, positions, recurrent nets.
 *
 * Sequences come as [B,T,C]: B of them, T steps, C features. Attention wants B first; recurrent ops want T first ([T,B,C], since
 * a step is then one block of memory), and their layers take either.
 * Sequences of different length share a batch by `lengths`, one for each: what lies behind a sequence's end may be anything
 * finite, and takes no part.
 */
#ifndef TARE_SEQUENCE_H
#define TARE_SEQUENCE_H

#include <tare/norms.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- gated linear units ---------------------------------------------------------------------------------------------- */

/* tare_glu - y = value * act(gate), where x holds both: [..., 2H] is values [..., H], then gates [..., H], the order of PyTorch's
 * glu. So a weight [2H, in] has the rows of the values first.   returns [..., H]
 *   act  TARE_GLU: sigmoid   TARE_SWIGLU: silu   TARE_GEGLU: gelu   TARE_REGLU: relu   TARE_BILINEAR: none
 *   errors  TARE_ESHAPE: the last dimension is odd;  TARE_EINVAL: no such kind
 *   source  Dauphin et al. 2017, arXiv:1612.08083; Shazeer 2020, arXiv:2002.05202
 * tare_glu_split - the same of two tensors of one shape.   errors  TARE_ESHAPE: their shapes differ */
typedef enum tare_glu_kind { TARE_GLU, TARE_SWIGLU, TARE_GEGLU, TARE_REGLU, TARE_BILINEAR } tare_glu_kind;
TARE_API tare_tensor *tare_glu(tare_tape *t, tare_tensor *x, tare_glu_kind kind);
TARE_API tare_tensor *tare_glu_split(tare_tape *t, tare_tensor *value, tare_tensor *gate, tare_glu_kind kind);

/* ---- attention ------------------------------------------------------------------------------------------------------- */

/* tare_attention - softmax(scale q k^T) v for each sample and head, without ever holding all of the probabilities
 *   q [B,H,T,D];  k, v [B,H,S,D];  returns [B,H,T,D]
 *   causal: query i sees the keys up to i + S - T, so the last query sees the last key (PyTorch's is_causal counts from the first,
 *   which is the same where S = T, and of no use to a query that continues a sequence).
 *   Backward computes the probabilities again, tile by tile, from one number kept for each query.
 *   errors  TARE_ESHAPE: ranks or sizes, causal with T > S;  TARE_EINVAL: a length outside 1..S, dropout outside [0, 1)
 *   source  Vaswani et al. 2017, arXiv:1706.03762; tiles: Dao et al. 2022, arXiv:2205.14135
 * tare_attention_packed - the same of queries, keys and values side by side, as one matrix product makes them: qkv [B,T,3*H*D],
 *   first the queries of all heads, then the keys, then the values;  returns [B,T,H*D]
 *   errors  also TARE_ESHAPE: the last dimension is not 3 * heads * D;  TARE_EINVAL: heads < 1 */
typedef struct tare_attention_opt {
    bool causal;
    double scale;           /* 0: 1 / sqrt(D) */
    double dropout;         /* of probabilities, in training: each is 0 with this chance, else divided by 1 - dropout */
    const int32_t *lengths; /* [B]: how many keys of each sample there are to see; NULL: all (copied) */
} tare_attention_opt;
TARE_API tare_tensor *tare_attention(tare_tape *t, tare_tensor *q, tare_tensor *k, tare_tensor *v,
                                     tare_attention_opt opt);
TARE_API tare_tensor *tare_attention_packed(tare_tape *t, tare_tensor *qkv, int64_t heads, tare_attention_opt opt);

/* ---- positions ------------------------------------------------------------------------------------------------------- */

/* tare_rotary - turn pairs of features by angles that grow with the position: pair i at position p by p base^(-2i/D)
 *   x [...,T,D], positions offset .. offset + T - 1, all pairs turned;  or, with opt.heads, qkv [B,T,3*heads*D] as
 *   tare_attention_packed takes it: queries and keys turned, values copied.   returns the shape of x
 *   Pairs are (i, i + D/2), as in GPT-NeoX; opt.interleaved: (2i, 2i + 1), as in the paper.
 *   errors  TARE_ESHAPE: rank, D odd, last dimension not 3 * heads * D;  TARE_EINVAL: base <= 0, offset or heads < 0
 *   source  Su et al. 2021, arXiv:2104.09864 */
typedef struct tare_rotary_opt {
    double base;    /* 0: 10000 */
    int64_t offset; /* position of the first step */
    int64_t heads;  /* not 0: x is packed queries, keys and values */
    bool interleaved;
} tare_rotary_opt;
TARE_API tare_tensor *tare_rotary(tare_tape *t, tare_tensor *x, tare_rotary_opt opt);

/* ---- recurrent nets -------------------------------------------------------------------------------------------------- */

/* tare_rnn - a recurrent net of one layer over whole sequences, with x_t' = W_ih x_t + b_ih and h_t' = W_hh h_(t-1) + b_hh:
 *   TARE_RNN_TANH, TARE_RNN_RELU   h = act(x' + h')
 *   TARE_GRU    r, z = sigmoid(x' + h'),  n = tanh(x_n' + r h_n'),  h = (1 - z) n + z h_(t-1)
 *   TARE_LSTM   i, f, o = sigmoid(x' + h'),  g = tanh(x' + h'),  c = f c_(t-1) + i g,  h = o tanh(c)
 *   x [T,B,in];  w_ih [G*H,in];  w_hh [G*H,H];  b_ih, b_hh [G*H] or NULL;  returns all h, [T,B,H]
 *   gates in PyTorch's order: r, z, n (G 3) and i, f, g, o (G 4);  without w_ih, x is x' already, [T,B,G*H]
 *   h0, c0 [B,H]: the states before the first step, NULL: zeros; c0 for TARE_LSTM alone
 *   opt.lengths: steps of each sequence. Behind its end h is 0, and nothing flows back.
 *   opt.h_last, opt.c_last: where the values of the states after the last step of each sequence go, [B,H]. No gradient comes back
 *   through them; h_T itself is a slice of the result.
 *   opt.index: x is a table of x', [rows,G*H], of which each step of each sequence takes a row. So a vocabulary's inputs are made once
 *   (tare_linear of the embedding's weight), not at every step.
 *   errors  TARE_ESHAPE: sizes;  TARE_EINVAL: a length outside 1..T, an index outside the table, c0 or c_last without cells
 *   source  Cho et al. 2014, arXiv:1406.1078 (in the form of cuDNN); Hochreiter & Schmidhuber 1997 with forget gates (Gers 2000) */
typedef enum tare_rnn_kind { TARE_RNN_TANH, TARE_RNN_RELU, TARE_GRU, TARE_LSTM } tare_rnn_kind;
typedef struct tare_rnn_weights {
    tare_tensor *w_ih, *w_hh, *b_ih, *b_hh;
} tare_rnn_weights;
typedef struct tare_rnn_opt {
    const int32_t *lengths; /* [B]; NULL: T each (copied) */
    tare_real *h_last, *c_last;
    const int32_t *index; /* [steps,batch] (copied), or NULL */
    int64_t steps, batch; /* of index */
    bool batch_first;     /* index is [batch,steps] */
} tare_rnn_opt;
TARE_API tare_tensor *tare_rnn(tare_tape *t, tare_rnn_kind kind, tare_tensor *x, tare_rnn_weights w, tare_tensor *h0,
                               tare_tensor *c0, tare_rnn_opt opt);

/* ---- layers ---------------------------------------------------------------------------------------------------------- */

/* tare_sequence - what the layers of a model want to know of the batch at hand. It is the caller's: hand its address to the layers,
 * and set it before each forward. Without one every sequence fills x, from position 0 on. */
typedef struct tare_kv_cache tare_kv_cache;
typedef struct tare_sequence {
    const int32_t *lengths; /* [B]: steps of each sequence; NULL: all of x. They are copied where backward needs them */
    int64_t offset;         /* position of x's first step */
    tare_kv_cache *cache;   /* where attention keeps keys and values, to generate step by step; NULL: nowhere */
} tare_sequence;

/* tare_layer_embedding - rows of "weight" [rows, width], which starts as normal(0, 1) as PyTorch's; x holds the row numbers, as
 * whole numbers:  [...] -> [..., width]
 *   errors  TARE_EINVAL: a number that is not whole or names no row
 * tare_layer_embed - the same from integers; layer must be such a layer. */
TARE_API tare_layer *tare_layer_embedding(tare_params *ps, const char *name, int64_t rows, int64_t width);
TARE_API tare_tensor *tare_layer_embed(tare_layer *layer, tare_tape *tape, const int32_t *index, tare_shape shape);

/* tare_layer_tied - y = x W^T with the weight [out, in] of another layer, usually the embedding: [..., in] -> [..., out]. Has no
 * parameters of its own; gradients of both uses add up.
 *   errors (sticky)  TARE_EINVAL: the other layer has no weight
 *   source  Press & Wolf 2017, arXiv:1608.05859 */
TARE_API tare_layer *tare_layer_tied(tare_params *ps, const char *name, tare_layer *other);

/* tare_layer_positions - x + p: a vector for each position, added to x [B,T,width]
 *   learned: "weight" [context, width], normal(0, 1);  sinusoidal: p[t, 2i] = sin(t / 10000^(2i/width)), p[t, 2i+1] the cosine
 *   errors  TARE_ESHAPE: x not [B,T,width], or longer than the context;  (sticky)  TARE_EINVAL: sizes < 1
 *   source  Vaswani et al. 2017, arXiv:1706.03762, section 3.5 */
typedef struct tare_layer_positions_opt {
    bool sinusoidal;
    const tare_sequence *sequence; /* its offset is added to the positions */
} tare_layer_positions_opt;
TARE_API tare_layer *tare_layer_positions(tare_params *ps, const char *name, int64_t context, int64_t width,
                                          tare_layer_positions_opt opt);

/* tare_layer_feed_forward - linear2(act(linear1(x))), each position by itself: [..., width] -> [..., width]
 *   act  "gelu" (NULL too), "gelu_tanh", "relu", "silu";  or gated, as tare_glu: "glu", "swiglu", "geglu", "reglu", "bilinear", where
 *   linear1 makes values and gates, "linear1.weight" [2 hidden, width] having the values' rows first; with opt.split, gates come
 *   from a layer of their own, "gate".
 *   errors (sticky)  TARE_EINVAL: no such act (the message lists them), hidden < 0, split without gates
 * tare_feed_forward_hidden - what hidden is unless given: 4 width; gated 2/3 of that, rounded up to a multiple of 8, so that the
 * three matrices have as many weights as the two (Shazeer 2020, arXiv:2002.05202): 344 for 128. */
typedef struct tare_layer_feed_forward_opt {
    const char *act;
    int64_t hidden; /* 0: tare_feed_forward_hidden */
    double dropout; /* of what act returns */
    bool no_bias, split;
} tare_layer_feed_forward_opt;
TARE_API tare_layer *tare_layer_feed_forward(tare_params *ps, const char *name, int64_t width,
                                             tare_layer_feed_forward_opt opt);
TARE_API int64_t tare_feed_forward_hidden(const char *act, int64_t width);

/* tare_layer_attention - self-attention of several heads: [B,T,width] -> [B,T,width]. Parameters and their start as those of
 * PyTorch's MultiheadAttention: "in_proj_weight" [3 width, width], "in_proj_bias", "out_proj.weight", "out_proj.bias".
 *   errors (sticky)  TARE_EINVAL: heads do not divide width, dropout outside [0, 1), rotary with an odd number of features a head */
typedef struct tare_layer_attention_opt {
    int64_t heads; /* 0: 1 */
    bool causal, no_bias;
    bool rotary;                   /* turn queries and keys by their positions */
    double rotary_base;            /* 0: 10000 */
    double dropout;                /* of probabilities */
    const tare_sequence *sequence; /* its lengths hide keys, its offset counts in rotary */
} tare_layer_attention_opt;
TARE_API tare_layer *tare_layer_attention(tare_params *ps, const char *name, int64_t width,
                                          tare_layer_attention_opt opt);

/* tare_kv_cache_new - room for the keys and values of `context` positions in every attention layer of `model` (itself, its children,
 * theirs). With it in its tare_sequence and evaluation on, a causal model that has seen x[0 .. offset) answers x[offset] alone as it
 * would the whole: first forward a prompt [B,T,...] at offset 0, then single steps [B,1,...] with offset T, T + 1, ...
 * Pairs with tare_kv_cache_free.   errors  NULL with TARE_EINVAL: no attention in the model, sizes < 1;  TARE_ENOMEM
 *   errors of forward  TARE_EINVAL: training, not causal, lengths, several steps but not at offset 0, a layer or a batch that the
 *   cache was not made for;  TARE_ESHAPE: beyond the context */
TARE_API tare_kv_cache *tare_kv_cache_new(const tare_layer *model, int64_t batch, int64_t context);
TARE_API void tare_kv_cache_free(tare_kv_cache *cache);

/* tare_layer_transformer - one block: [B,T,width] -> [B,T,width]
 *   pre-norm   x + drop(attention(norm1(x))),  then  x + drop(feed_forward(norm2(x)))
 *   post-norm  norm1(x + drop(attention(x))),  then  norm2(x + drop(feed_forward(x)))
 *   Names as in PyTorch's TransformerEncoderLayer, so its weights load as they are: self_attn.*, linear1.*, linear2.*, norm1.*,
 *   norm2.*. PyTorch's own defaults are post-norm, relu and hidden 2048; its dropout is dropout, attention_dropout and
 *   hidden_dropout at once.
 *   norm: any spec (tare_norm_layer). Each position is a sample: batch norm takes statistics over B * T, group norm those of one
 *   position's groups. Batch norm sees what pads short sequences, and in a causal model what comes later: it is here to be compared.
 *   Norms of weights in the spec go to all four linear maps.
 *   errors (sticky)  those of its parts */
typedef struct tare_layer_transformer_opt {
    int64_t heads;    /* 0: 1 */
    const char *norm; /* NULL: "ln" */
    bool post_norm, causal, no_bias, rotary;
    double rotary_base;
    const char *act; /* and hidden, split: as tare_layer_feed_forward */
    int64_t hidden;
    bool split;
    double dropout, attention_dropout, hidden_dropout;
    const tare_sequence *sequence;
} tare_layer_transformer_opt;
TARE_API tare_layer *tare_layer_transformer(tare_params *ps, const char *name, int64_t width,
                                            tare_layer_transformer_opt opt);

/* tare_layer_rnn - a recurrent net of one or more layers: [T,B,in] -> [T,B,hidden], or [B,T,..] with batch_first. Names, order of
 * gates and start (uniform within 1 / sqrt(hidden)) are those of PyTorch's RNN, GRU and LSTM: "weight_ih_l0" [G*H,in],
 * "weight_hh_l0" [G*H,H], "bias_ih_l0", "bias_hh_l0", then _l1, ...; G and the formulas: tare_rnn.
 *   Norms (spec, see tare_norm_layer), none in PyTorch:
 *     input_norm   of W_ih x before the bias, each step of each sequence a sample: "norm_ih_l0"; batch norm is of use here (Laurent et al.
 *                  2016, arXiv:1510.01378). What pads short sequences counts as samples too.
 *     cell_norm    within the cell, layer norm as Ba et al. 2016, arXiv:1607.06450 have it: of W_ih x ("norm_ih_l0") and of W_hh h
 *                  ("norm_hh_l0") before the biases, and of the c of an LSTM on its way to h ("norm_c_l0"). Made of single ops:
 *                  several times slower, and T at most 4096.
 *   errors (sticky)  TARE_EINVAL: sizes < 1, layers outside 1..8, dropout outside [0, 1], both norms, a norm of weights;
 *   errors  TARE_ESHAPE: x not of three dimensions;  those of tare_rnn */
typedef struct tare_layer_rnn_opt {
    int layers;     /* 0: 1 */
    double dropout; /* of what one layer hands to the next */
    bool no_bias, batch_first;
    const char *input_norm, *cell_norm;
    const tare_sequence *sequence; /* its lengths */
} tare_layer_rnn_opt;
TARE_API tare_layer *tare_layer_rnn(tare_params *ps, const char *name, tare_rnn_kind kind, int64_t in, int64_t hidden,
                                    tare_layer_rnn_opt opt);

/* tare_rnn_state - the states of such a layer for `batch` sequences, zeros at first: for long sequences taken in stretches (truncated
 * backpropagation through time) and for generating. Pairs with tare_rnn_state_free.
 *   errors  NULL with TARE_EINVAL: the layer is no recurrent net, batch < 1;  TARE_ENOMEM */
typedef struct tare_rnn_state tare_rnn_state;
TARE_API tare_rnn_state *tare_rnn_state_new(const tare_layer *layer, int64_t batch);
TARE_API void tare_rnn_state_free(tare_rnn_state *state);
/* tare_rnn_state_zero - begin anew. */
TARE_API void tare_rnn_state_zero(tare_rnn_state *state);
/* tare_rnn_state_data - the numbers, [layers,B,hidden] of h, then as many of an LSTM's c: for checkpoints. */
TARE_API tare_real *tare_rnn_state_data(tare_rnn_state *state, int64_t *count);
/* tare_layer_rnn_carry - from now on each forward starts from `state` and leaves its last states there, without their history; its
 * batch must be the state's. NULL: start from zeros again.   errors  TARE_EINVAL: not made for this layer */
TARE_API tare_status tare_layer_rnn_carry(tare_layer *layer, tare_rnn_state *state);

#ifdef __cplusplus
}
#endif
#endif
