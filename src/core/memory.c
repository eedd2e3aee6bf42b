/* memory.c - the allocator hook, with a count of allocations and a way to let them fail. */
#define _DEFAULT_SOURCE /* madvise */
#include <tare/core.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum {
    ALIGNMENT = 64, /* a cache line, and the widest vector register */
    HUGE_PAGE = 2 << 20,
    LARGE = 2 * HUGE_PAGE, /* blocks from here on ask for huge pages */
};

/* Huge pages, where Linux gives them to those who ask: 512 times fewer faults at the first touch, fewer misses when addresses
 * are looked up. The end of a block, which would not fill one, stays in small pages, so that nothing is taken in vain. */
static void *large_alloc(size_t bytes) {
#ifdef MADV_HUGEPAGE
    void *memory = NULL;
    if (posix_memalign(&memory, HUGE_PAGE, bytes) != 0) { return NULL; }
    (void)madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* without them it works as well */
    return memory;
#else
    return aligned_alloc(ALIGNMENT, bytes);
#endif
}

static void *default_alloc(void *user, size_t bytes) {
    (void)user;
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (rounded < bytes) { return NULL; }
    return rounded >= LARGE ? large_alloc(rounded) : aligned_alloc(ALIGNMENT, rounded);
}

static void default_free(void *user, void *memory) {
    (void)user;
    free(memory);
}

static tare_allocator hook = { default_alloc, default_free, NULL };
static _Atomic uint64_t count, live, fail_in;

void tare_allocator_set(const tare_allocator *allocator) {
    hook = allocator ? *allocator : (tare_allocator){ default_alloc, default_free, NULL };
}

uint64_t tare_alloc_count(void) { return count; }
uint64_t tare_alloc_live(void) { return live; }
void tare_alloc_fail_at(uint64_t n) { fail_in = n; }

/* Counts down to 1 and stays there, so that every allocation from the n-th on fails. */
static bool must_fail(void) {
    uint64_t n = fail_in;
    while (n > 1 && !atomic_compare_exchange_weak(&fail_in, &n, n - 1)) {}
    return n == 1;
}

void *tare_malloc(size_t bytes) {
    count++;
    void *memory = must_fail() ? NULL : hook.alloc(hook.user, bytes ? bytes : 1);
    if (!memory) {
        tare_fail(TARE_ENOMEM, "out of memory: %zu bytes", bytes);
        return NULL;
    }
    live++;
    return memory;
}

void *tare_calloc(size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) {
        tare_fail(TARE_ENOMEM, "out of memory: %zu times %zu bytes", n, size);
        return NULL;
    }
    void *memory = tare_malloc(n * size);
    return memory ? memset(memory, 0, n * size) : NULL;
}

char *tare_strdup(const char *text) {
    if (!text) { return NULL; }
    size_t size = strlen(text) + 1;
    char *copy = tare_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void tare_free(void *memory) {
    if (!memory) { return; }
    live--;
    hook.free(hook.user, memory);
}
