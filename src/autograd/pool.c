/* pool.c - best-fit allocation over address-ordered holes; see pool.h. */
#include "pool.h"

#include <string.h>

enum { UNIT = 64, FIRST_CHUNK = 1 << 20 };

static size_t round_up(size_t bytes) { return (bytes + UNIT - 1) / UNIT * UNIT; }

/* Room for `wanted` elements of `size` bytes in *array, of which `used` are in use. */
static bool make_room(void *array_address, size_t used, size_t wanted, size_t *room, size_t size) {
    if (wanted <= *room) { return true; }
    size_t larger_room = wanted > 2 * *room ? wanted + 16 : 2 * *room;
    void *old, *larger = tare_calloc(larger_room, size);
    if (!larger) { return false; }
    memcpy(&old, array_address, sizeof old);
    if (used) { memcpy(larger, old, used * size); }
    tare_free(old);
    memcpy(array_address, &larger, sizeof larger);
    *room = larger_room;
    return true;
}

/* Where in the order of addresses a hole at `at` belongs. */
static size_t hole_position(const tare__pool *p, const char *at) {
    size_t low = 0, high = p->holes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->hole[middle].at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void hole_remove(tare__pool *p, size_t i) {
    memmove(&p->hole[i], &p->hole[i + 1], (p->holes - i - 1) * sizeof *p->hole);
    p->holes--;
}

/* Give [at, at + size) back, joined with the holes it touches. Room for one more hole is there: see pool_alloc. */
static void hole_insert(tare__pool *p, char *at, size_t size) {
    size_t i = hole_position(p, at);
    bool touches_left = i > 0 && p->hole[i - 1].at + p->hole[i - 1].size == at;
    bool touches_right = i < p->holes && at + size == p->hole[i].at;
    if (touches_left) {
        p->hole[i - 1].size += size;
        if (touches_right) {
            p->hole[i - 1].size += p->hole[i].size;
            hole_remove(p, i);
        }
    } else if (touches_right) {
        p->hole[i].at = at;
        p->hole[i].size += size;
    } else {
        memmove(&p->hole[i + 1], &p->hole[i], (p->holes - i) * sizeof *p->hole);
        p->hole[i] = (tare__hole){ at, size };
        p->holes++;
    }
}

static bool add_chunk(tare__pool *p, size_t bytes) {
    size_t total = 0;
    for (size_t i = 0; i < p->chunks; i++) { total += p->chunk_size[i]; }
    size_t size = bytes > total ? bytes : total; /* doubling */
    size = round_up(size > FIRST_CHUNK ? size : FIRST_CHUNK);
    size_t sizes_room = p->chunk_room;
    if (!make_room(&p->chunk_size, p->chunks, p->chunks + 1, &sizes_room, sizeof *p->chunk_size) ||
        !make_room(&p->chunk, p->chunks, p->chunks + 1, &p->chunk_room, sizeof *p->chunk)) {
        return false;
    }
    char *memory = tare_malloc(size);
    if (!memory && size > round_up(bytes)) { memory = tare_malloc(size = round_up(bytes)); }
    if (!memory) { return false; }
    p->chunk[p->chunks] = memory;
    p->chunk_size[p->chunks++] = size;
    hole_insert(p, memory, size);
    return true;
}

static size_t best_fit(const tare__pool *p, size_t bytes) {
    size_t best = p->holes;
    for (size_t i = 0; i < p->holes; i++) {
        if (p->hole[i].size >= bytes && (best == p->holes || p->hole[i].size < p->hole[best].size)) { best = i; }
    }
    return best;
}

void *tare__pool_alloc(tare__pool *p, size_t bytes) {
    bytes = round_up(bytes ? bytes : 1);
    /* Blocks in use lie between holes, so there are at most so many: with room for them, freeing cannot fail. */
    size_t most_holes = p->blocks + 1 + p->chunks + 1;
    if (!make_room(&p->hole, p->holes, most_holes, &p->hole_room, sizeof *p->hole)) { return NULL; }
    size_t i = best_fit(p, bytes);
    if (i == p->holes) {
        if (!add_chunk(p, bytes)) { return NULL; }
        i = best_fit(p, bytes);
    }
    char *memory = p->hole[i].at;
    p->hole[i].at += bytes;
    p->hole[i].size -= bytes;
    if (p->hole[i].size == 0) { hole_remove(p, i); }
    p->blocks++;
    p->used += bytes;
    if (p->used > p->high) { p->high = p->used; }
    if (p->used > p->peak) { p->peak = p->used; }
    return memory;
}

void tare__pool_free(tare__pool *p, void *memory, size_t bytes) {
    bytes = round_up(bytes ? bytes : 1);
    p->blocks--;
    p->used -= bytes;
    hole_insert(p, memory, bytes);
}

bool tare__pool_holds(const tare__pool *p, const void *memory) {
    for (size_t i = 0; i < p->chunks; i++) {
        const char *at = memory;
        if (at >= p->chunk[i] && at < p->chunk[i] + p->chunk_size[i]) { return true; }
    }
    return false;
}

void tare__pool_reset(tare__pool *p) {
    size_t total = 0;
    for (size_t i = 0; i < p->chunks; i++) { total += p->chunk_size[i]; }
    p->holes = p->blocks = p->used = p->high = 0;
    if (p->chunks > 1) {
        while (p->chunks) { tare_free(p->chunk[--p->chunks]); }
        add_chunk(p, total); /* where this fails, the next allocation tries again and reports it */
    } else if (p->chunks == 1) {
        hole_insert(p, p->chunk[0], p->chunk_size[0]);
    }
}

void tare__pool_destroy(tare__pool *p) {
    while (p->chunks) { tare_free(p->chunk[--p->chunks]); }
    tare_free(p->chunk);
    tare_free(p->chunk_size);
    tare_free(p->hole);
    *p = (tare__pool){ 0 };
}
