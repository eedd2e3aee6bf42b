/* parallel.c - the one way work is spread over cores: chunks fixed by shape, taken by a small pool of threads.
 *
 * Each thread has its share of the chunks and helps the others when done. Whoever calls works too, and waits for chunks, not
 * for threads: one that was busy elsewhere and took nothing is not missed, so a loaded machine slows a step down little
 * (an OpenMP team must meet at a barrier: see docs/architecture.md for what that costs). A caller whose stack is too small
 * for kernels only waits, even for one thread. */
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sched.h>
#define HAVE_THREADS 1
#endif

#include "cores.h"
#include "stack.h"

#include <tare/core.h>

#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_THREADS = 256 };

/* 0: not chosen, so OMP_NUM_THREADS holds, or all cores. */
static atomic_int threads_wanted;

void tare_threads_set(int threads) {
    atomic_store(&threads_wanted, threads < 0 ? 0 : threads > MAX_THREADS ? MAX_THREADS : threads);
}

static int default_threads(void) {
    const char *text = getenv("OMP_NUM_THREADS");
    char *end = NULL;
    long threads = text ? strtol(text, &end, 10) : 0;
    bool number = threads >= 1 && (*end == '\0' || *end == ','); /* "4,2": what nested teams would take follows */
    if (!number) { threads = tare__cores(); }
    return threads > MAX_THREADS ? MAX_THREADS : (int)threads;
}

int tare_threads(void) {
    static atomic_int fallback;
    int threads = atomic_load_explicit(&threads_wanted, memory_order_relaxed);
    if (threads > 0) { return threads; }
    threads = atomic_load_explicit(&fallback, memory_order_relaxed);
    if (threads == 0) { atomic_store(&fallback, threads = default_threads()); }
    return threads;
}

#ifdef HAVE_THREADS

enum {
    SPINS = 4000,          /* about 100 us: longer than the gap between two ops, shorter than anybody minds */
    POLITE = 128,          /* about 3 us */
    STACK_BYTES = 8 << 20, /* kernels keep packed panels on the stack */
    NEXT_BITS = 32,        /* a ticket: the job's number, then the next chunk of a share */
};

#define NEXT_MASK (((uint64_t)1 << NEXT_BITS) - 1)

typedef struct share {
    _Alignas(64) _Atomic uint64_t ticket;
} share;

/* The process's threads, as its memory is the process's: made on first use, kept until it ends. */
static struct {
    share shares[MAX_THREADS];
    /* the job at hand; number is what sleepers and spinners watch */
    _Alignas(64) _Atomic uint32_t number;
    _Atomic(tare_range_fn) fn;
    _Atomic(void *) context;
    _Atomic int64_t n, grain, chunks;
    atomic_int threads;
    _Alignas(64) _Atomic int64_t unfinished; /* chunks */
    atomic_bool busy;
    atomic_int sleeping;
    int workers;  /* touched by whoever holds busy */
    bool watched; /* fork has been told of us; the same */
    pthread_mutex_t lock;
    pthread_cond_t wake;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static _Thread_local bool inside; /* a chunk: what it starts runs inline */

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* The i-th look in vain: others who want the core get it, but not before a short wait, nor at each look. */
static void wait_a_little(int64_t i) {
    if (i >= POLITE && i % POLITE == 0) {
        sched_yield();
    } else {
        relax();
    }
}

/* Do what is left of job `number`, one's own share first. A worker that comes late may find fields of the next job here;
 * then the tickets bear that job's number and it takes nothing: they are spoilt before, and made out after, the rest. */
static void work(uint32_t number, int self) {
    tare_range_fn fn = atomic_load(&pool.fn);
    void *context = atomic_load(&pool.context);
    int64_t n = atomic_load(&pool.n), grain = atomic_load(&pool.grain), chunks = atomic_load(&pool.chunks);
    int threads = atomic_load(&pool.threads);
    if (self >= threads) { return; }
    for (int i = 0; i < threads; i++) {
        int s = (self + i) % threads;
        uint64_t end = (uint64_t)(chunks * (s + 1) / threads);
        uint64_t ticket = atomic_load(&pool.shares[s].ticket);
        while (ticket >> NEXT_BITS == number && (ticket & NEXT_MASK) < end) {
            if (!atomic_compare_exchange_weak(&pool.shares[s].ticket, &ticket, ticket + 1)) { continue; }
            int64_t begin = (int64_t)(ticket & NEXT_MASK) * grain;
            fn(context, begin, n - begin > grain ? begin + grain : n);
            atomic_fetch_sub(&pool.unfinished, 1);
            ticket = atomic_load(&pool.shares[s].ticket);
        }
    }
}

static void wait_for_job(uint32_t seen, int spins) {
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&pool.number, memory_order_relaxed) != seen) { return; }
        wait_a_little(i);
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (atomic_load(&pool.number) == seen) { pthread_cond_wait(&pool.wake, &pool.lock); }
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *worker(void *own_share) {
    int self = (int)((share *)own_share - pool.shares), spins = self < tare__cores() ? SPINS : 0;
    uint32_t seen = 0;
    inside = true;
    tare__cores_use_all();
    for (;;) {
        wait_for_job(seen, spins);
        seen = atomic_load(&pool.number);
        work(seen, self);
    }
    return NULL;
}

/* In the child of a fork: the threads have not come along, and what they were at must not be begun again. */
static void forget_workers(void) {
    uint64_t number = atomic_load(&pool.number);
    for (int s = 0; s < MAX_THREADS; s++) { atomic_store(&pool.shares[s].ticket, number << NEXT_BITS | NEXT_MASK); }
    pool.workers = 0;
    atomic_store(&pool.sleeping, 0);
    atomic_store(&pool.busy, false);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
}

/* Fewer than wanted is no error: those that are there do the work. */
static void hire(int workers) {
    pthread_attr_t attributes;
    if (!pool.watched) { pool.watched = pthread_atfork(NULL, NULL, forget_workers) == 0; }
    if (pool.workers >= workers || pthread_attr_init(&attributes) != 0) { return; }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (pool.workers < workers && pool.workers + 1 < MAX_THREADS) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker, &pool.shares[pool.workers + 1]) != 0) { break; }
        pool.workers++;
    }
    pthread_attr_destroy(&attributes);
}

static void post(int64_t n, int64_t grain, int64_t chunks, int threads, tare_range_fn fn, void *context) {
    uint32_t number = atomic_load(&pool.number) + 1;
    for (int s = 0; s < threads; s++) {
        atomic_store(&pool.shares[s].ticket, (uint64_t)number << NEXT_BITS | NEXT_MASK); /* nothing to take yet */
    }
    atomic_store(&pool.fn, fn);
    atomic_store(&pool.context, context);
    atomic_store(&pool.n, n);
    atomic_store(&pool.grain, grain);
    atomic_store(&pool.chunks, chunks);
    atomic_store(&pool.threads, threads);
    atomic_store(&pool.unfinished, chunks);
    for (int s = 0; s < threads; s++) {
        atomic_store(&pool.shares[s].ticket, (uint64_t)number << NEXT_BITS | (uint64_t)(chunks * s / threads));
    }
    atomic_store(&pool.number, number);
    if (atomic_load(&pool.sleeping) > 0) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
}

/* By another thread of the program. Who cannot work alone waits for it. */
static bool is_taken(bool large) {
    for (int64_t i = 0; atomic_exchange(&pool.busy, true); i++) {
        if (large) { return true; }
        wait_a_little(i);
    }
    return false;
}

/* False where the caller works alone: one thread is enough, or the pool is taken, perhaps by a chunk that calls us. */
static bool run_parallel(int64_t n, int64_t grain, int64_t chunks, int threads, tare_range_fn fn, void *context) {
    if (inside || chunks >= INT32_MAX) { return false; }
    bool large = tare__stack_is_large();
    if ((threads == 1 && large) || is_taken(large)) { return false; }
    if (!large && threads < MAX_THREADS) { threads++; } /* of which the caller is none */
    hire(threads - 1);
    post(n, grain, chunks, threads, fn, context);
    if (large || pool.workers == 0) {
        inside = true;
        work(atomic_load(&pool.number), 0);
        inside = false;
    }
    for (int64_t i = 0; atomic_load(&pool.unfinished) > 0; i++) {
        wait_a_little(i); /* whoever has the last chunk may be waiting for this core */
    }
    atomic_store(&pool.busy, false);
    return true;
}

#else

static bool run_parallel(int64_t n, int64_t grain, int64_t chunks, int threads, tare_range_fn fn, void *context) {
    (void)n, (void)grain, (void)chunks, (void)threads, (void)fn, (void)context;
    return false;
}

#endif

/* More threads than processors only wait for each other. TARE_CROWD starts them nevertheless: tests look for races so. */
static int most_threads(void) {
    static atomic_int most;
    int threads = atomic_load_explicit(&most, memory_order_relaxed);
    if (threads == 0) { atomic_store(&most, threads = getenv("TARE_CROWD") ? MAX_THREADS : tare__cores()); }
    return threads;
}

void tare_parallel_for(int64_t n, int64_t grain, tare_range_fn fn, void *context) {
    if (n <= 0) { return; }
    if (grain < 1) { grain = 1; }
    int64_t chunks = (n - 1) / grain + 1;
    int threads = tare_threads(), most = most_threads();
    if (threads > most) { threads = most; }
    if (chunks < threads) { threads = (int)chunks; }
    if (run_parallel(n, grain, chunks, threads, fn, context)) { return; }
    for (int64_t begin = 0; begin < n; begin += grain) { fn(context, begin, n - begin > grain ? begin + grain : n); }
}
