/* conv_tables.h - tiles that find taps and outputs in a patch where tables say, by their height and number of vectors. */
#ifndef TARE_CONV_TABLES_H
#define TARE_CONV_TABLES_H

#include "conv_patch.h"

#define TILE_FNS(h)                                                                                                    \
    static void tile_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_TABLES, false); }                                 \
    static void tile_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_TABLES, false); }
#define TILE_ENTRY(h) { tile_##h##_1, tile_##h##_2 },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn tile_fns[MR][NV] = { TILE_EACH_HEIGHT(TILE_ENTRY) };

#endif
