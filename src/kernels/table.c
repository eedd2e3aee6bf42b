/* table.c - compiled once per level: this level's table of kernels. */
#include "kernels.h"

#define TARE_TEXT_(x) #x
#define TARE_TEXT(x)  TARE_TEXT_(x)

const tare__kernel_table TARE_JOIN(tare__table, TARE_LEVEL) = {
    .level = &TARE_TEXT(TARE_LEVEL)[1],
#if defined(__AVX512F__)
    .lanes = 64 / (int)sizeof(tare_real),
#elif defined(__AVX2__)
    .lanes = 32 / (int)sizeof(tare_real),
#else
    .lanes = 16 / (int)sizeof(tare_real),
#endif
#define KERNEL(result, name, args) .name = TARE_K(name),
#include "kernels.def"
#undef KERNEL
};
