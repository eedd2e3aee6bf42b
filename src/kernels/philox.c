/* philox.c - random words for those who draw many at once (src/core/rng.c). */
#include "philox.h"

void TARE_K(philox)(tare_rng rng, uint64_t first, uint32_t word[4][TARE__PHILOX_BLOCKS]) {
    tare__philox_blocks(rng, first, word);
}
