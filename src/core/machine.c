/* machine.c - the name of the kernels' level, for rooms that do not see kernels. */
#include "machine.h"

#include "../kernels/kernels.h"

const char *tare__isa_level(void) { return tare__kernels()->level; }

double tare__multiply_adds(int64_t rounds, tare_real *sink) { return tare__kernels()->multiply_adds(rounds, sink); }
