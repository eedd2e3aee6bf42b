/* pool.h - the tape's memory for values and gradients: best fit over address-ordered holes.
 *
 * One large chunk serves a whole step. A step that outgrows it adds chunks; pool_reset then replaces them all by one of
 * their total size, so that from the third step of the same shapes on nothing is allocated. */
#ifndef TARE_POOL_H
#define TARE_POOL_H

#include <tare/core.h>

typedef struct tare__hole {
    char *at;
    size_t size;
} tare__hole;

typedef struct tare__pool {
    tare__hole *hole; /* in order of address */
    size_t holes, hole_room;
    char **chunk;
    size_t *chunk_size;
    size_t chunks, chunk_room;
    size_t blocks;           /* handed out */
    size_t used, high, peak; /* bytes; high: most since the reset, peak: since ever */
} tare__pool;

/* 64-byte aligned; NULL with TARE_ENOMEM's message set. */
void *tare__pool_alloc(tare__pool *pool, size_t bytes);
/* `bytes` as they were asked for. */
void tare__pool_free(tare__pool *pool, void *memory, size_t bytes);
/* Does `memory` come from this pool? */
bool tare__pool_holds(const tare__pool *pool, const void *memory);
/* Take everything back. */
void tare__pool_reset(tare__pool *pool);
void tare__pool_destroy(tare__pool *pool);

#endif
