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

#ifdef __cplusplus
}
#endif
#endif
