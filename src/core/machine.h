/* machine.h - what Tare found to run on, for reports. */
#ifndef TARE_MACHINE_H
#define TARE_MACHINE_H

/* The level of the kernels chosen: "avx512". */
const char *tare__isa_level(void);
/* OpenBLAS's description of itself: version, build options, the core it chose. */
const char *tare__blas_config(void);

#endif
