/* grow.h - blocks that grow. */
#ifndef TARE_GROW_H
#define TARE_GROW_H

#include <tare/core.h>

/* tare__grow - n * size bytes that begin with the first `used` of `old` and are zero behind. `old`, NULL or from tare_calloc or
 * here, holds zeros behind `used` too; it is freed, or, where memory is short (NULL), stays. */
void *tare__grow(void *old, size_t used, size_t n, size_t size);

#endif
