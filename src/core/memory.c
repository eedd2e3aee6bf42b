/* memory.c - the allocator hook, with a count of allocations and a way to let them fail. */
#define _GNU_SOURCE /* mmap's MAP_ANONYMOUS, madvise, mremap */
#include "grow.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

enum {
    ALIGNMENT = 64, /* a cache line, and the widest vector register */
    HUGE_PAGE = 2 << 20,
    LARGE = HUGE_PAGE, /* blocks from here on are mapped, where that is known how */
};

/* The sanitizers watch the C library's memory alone. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(MADV_HUGEPAGE) && !defined(SANITIZED)
enum { MAPS = 1 };

/* Large blocks get pages of their own, huge ones where Linux gives them to those who ask: 512 times fewer faults at the first touch,
 * fewer misses when addresses are looked up. They hold zeros and take no memory before they are touched, and what is freed goes back
 * to the system at once. The end of a block, which would not fill a huge page, stays in small ones. A block begins at a multiple of
 * HUGE_PAGE, behind a page that knows its size. */
static void *map_large(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (bytes + page - 1) / page * page, all = page + size + HUGE_PAGE;
    if (size < bytes || all < size) { return NULL; }
    char *base = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == (char *)MAP_FAILED) { return NULL; }
    size_t before = HUGE_PAGE - ((uintptr_t)base + page) % HUGE_PAGE; /* 1 .. HUGE_PAGE, a multiple of pages */
    char *block = base + before + page;
    (void)munmap(base, before);
    if (before < HUGE_PAGE) { (void)munmap(block + size, HUGE_PAGE - before); }
    *(size_t *)(void *)(block - page) = page + size;
    (void)madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* without them it works as well */
    return block;
}

/* The first `used` bytes of one mapped block become those of another, which has not been touched: pages move, nothing is copied. What
 * is left of the first goes. */
static bool move_pages(void *from, size_t used, void *to) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), moved = (used + page - 1) / page * page;
    char *start = (char *)from - page;
    size_t size = *(size_t *)(void *)start;
    if (moved == 0 || mremap(from, moved, moved, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) { return false; }
    (void)munmap(start, page);
    if (page + moved < size) { (void)munmap((char *)from + moved, size - page - moved); }
    return true;
}

static void unmap_large(void *block) {
    char *start = (char *)block - sysconf(_SC_PAGESIZE);
    (void)munmap(start, *(size_t *)(void *)start);
}
#else
enum { MAPS = 0 };
static void *map_large(size_t bytes) { return aligned_alloc(ALIGNMENT, bytes); }
static bool move_pages(void *from, size_t used, void *to) { return (void)from, (void)used, (void)to, false; }
static void unmap_large(void *block) { free(block); }
#endif

/* Where only mapped blocks begin. */
static bool begins_huge_page(const void *memory) { return MAPS && (uintptr_t)memory % HUGE_PAGE == 0; }

static void *default_alloc(void *user, size_t bytes) {
    (void)user;
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (rounded < bytes) { return NULL; }
    if (rounded >= LARGE) { return map_large(rounded); }
    void *memory = aligned_alloc(ALIGNMENT, rounded);
    if (!memory || !begins_huge_page(memory)) { return memory; }
    free(memory); /* it would be taken for a mapped block; some C libraries give nothing else from a certain size on */
    return map_large(rounded);
}

static void default_free(void *user, void *memory) {
    (void)user;
    if (begins_huge_page(memory)) {
        unmap_large(memory);
    } else {
        free(memory);
    }
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
    bool zeros = hook.alloc == default_alloc && begins_huge_page(memory); /* as the system gives them */
    return memory && !zeros ? memset(memory, 0, n * size) : memory;
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

void *tare__grow(void *old, size_t used, size_t n, size_t size) {
    void *larger = tare_calloc(n, size);
    if (!larger) { return NULL; }
    bool mapped = hook.alloc == default_alloc && old && begins_huge_page(old) && begins_huge_page(larger);
    if (mapped && used <= n * size && move_pages(old, used, larger)) {
        live--;
        return larger;
    }
    if (old && used) { memcpy(larger, old, used); }
    tare_free(old);
    return larger;
}
