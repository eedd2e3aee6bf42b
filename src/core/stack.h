/* stack.h - whether the calling thread's stack holds what kernels keep on it, up to 2.6 MiB. The pool's threads do (parallel.c); one
 * that calls us may not: musl gives 128 KiB, and ulimit -s can say anything. */
#ifndef TARE_CORE_STACK_H
#define TARE_CORE_STACK_H

#include <stdbool.h>

/* Looked up once for each thread; true where it cannot be told. */
bool tare__stack_is_large(void);

#endif
