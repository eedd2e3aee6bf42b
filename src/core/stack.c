/* stack.c - how large the calling thread's stack is. */
#ifdef __linux__
#define _GNU_SOURCE /* pthread_getattr_np */
#endif
#include "stack.h"

#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#include <stddef.h>

enum { LARGE = 4 << 20 };

static size_t stack_size(void) {
#ifdef __linux__
    pthread_attr_t attributes;
    void *address = NULL;
    size_t size = LARGE;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) { return LARGE; }
    if (pthread_attr_getstack(&attributes, &address, &size) != 0) { size = LARGE; }
    pthread_attr_destroy(&attributes);
    return size;
#else
    return pthread_get_stacksize_np(pthread_self());
#endif
}

bool tare__stack_is_large(void) {
    static _Thread_local bool known, large;
    if (!known) {
        large = stack_size() >= LARGE;
        known = true;
    }
    return large;
}
#else
bool tare__stack_is_large(void) { return true; }
#endif
