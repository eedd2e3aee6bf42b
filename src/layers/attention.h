/* attention.h - the attention layer, and the memory it generates with. */
#ifndef TARE_LAYERS_ATTENTION_H
#define TARE_LAYERS_ATTENTION_H

#include <tare/sequence.h>

typedef struct tare__attention_layer {
    tare_layer base; /* weight: in_proj_weight */
    tare_tensor *bias;
    tare_layer *out;
    tare_layer_attention_opt opt;
} tare__attention_layer;

extern const tare_layer_class tare__attention_class;

/* tare__kv_cache_keep - put the keys and values of qkv [B,T,3*width] at the sequence's offset. A failure is the tape's too. */
tare_status tare__kv_cache_keep(tare_kv_cache *cache, const tare__attention_layer *a, tare_tape *tape,
                                const tare_tensor *qkv);
/* tare__kv_cache_attend - the answer to the query of one step [B,1,3*width], from all that has been kept: [B,1,width]. */
tare_tensor *tare__kv_cache_attend(tare_kv_cache *cache, const tare__attention_layer *a, tare_tape *tape,
                                   tare_tensor *qkv);

#endif
