/* machine.h - what Tare found to run on, for reports. */
#ifndef TARE_MACHINE_H
#define TARE_MACHINE_H

#include <tare/core.h>

/* The level of the kernels chosen: "avx512". */
const char *tare__isa_level(void);
/* OpenBLAS's description of itself: version, build options, the core it chose. */
const char *tare__blas_config(void);

/* tare__multiply_adds - do as many as the processor can in `rounds` rounds of its widest kernel; returns how many floating-point
 * operations that was. sink takes 64 values. */
double tare__multiply_adds(int64_t rounds, tare_real *sink);

#endif
