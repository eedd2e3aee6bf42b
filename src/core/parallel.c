/* parallel.c - the one way work is spread over cores: chunks fixed by shape, taken by the threads of one OpenMP team. */
#include <tare/core.h>

#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { MAX_THREADS = 256 };

#ifdef _OPENMP

/* 0: not chosen yet, so OpenMP's own default (OMP_NUM_THREADS, or all cores) holds. */
static atomic_int threads_wanted;

void tare_threads_set(int threads) {
    if (threads < 0) { threads = 0; }
    atomic_store(&threads_wanted, threads > MAX_THREADS ? MAX_THREADS : threads);
}

int tare_threads(void) {
    int threads = atomic_load(&threads_wanted);
    if (threads == 0) { threads = omp_get_max_threads(); }
    return threads > MAX_THREADS ? MAX_THREADS : threads;
}

/* The chunks of one thread, on a cache line of their own; a thread that is done helps the others. */
typedef struct share {
    _Alignas(64) atomic_llong next;
    int64_t end;
} share;

typedef struct job {
    share *shares;
    int count;
    int64_t n, grain;
    tare_range_fn fn;
    void *context;
} job;

static void work(const job *all, int self) {
    for (int i = 0; i < all->count; i++) {
        share *from = &all->shares[(self + i) % all->count];
        for (;;) {
            int64_t chunk = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
            if (chunk >= from->end) { break; }
            int64_t begin = chunk * all->grain;
            int64_t end = all->n - begin > all->grain ? begin + all->grain : all->n;
            all->fn(all->context, begin, end);
        }
    }
}

static void run_parallel(int64_t n, int64_t grain, int64_t chunks, int threads, tare_range_fn fn, void *context) {
    share shares[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        atomic_init(&shares[t].next, chunks * t / threads);
        shares[t].end = chunks * (t + 1) / threads;
    }
    const job all = { shares, threads, n, grain, fn, context };
    /* OpenMP may give fewer threads than asked for; the shares left over are then taken by those that came. */
#pragma omp parallel num_threads(threads)
    work(&all, omp_get_thread_num());
}

static bool inside_parallel(void) { return omp_in_parallel() != 0; }

#else

void tare_threads_set(int threads) { (void)threads; }
int tare_threads(void) { return 1; }
static bool inside_parallel(void) { return true; }
static void run_parallel(int64_t n, int64_t grain, int64_t chunks, int threads, tare_range_fn fn, void *context) {
    (void)n, (void)grain, (void)chunks, (void)threads, (void)fn, (void)context;
}

#endif

void tare_parallel_for(int64_t n, int64_t grain, tare_range_fn fn, void *context) {
    if (n <= 0) { return; }
    if (grain < 1) { grain = 1; }
    int64_t chunks = (n - 1) / grain + 1;
    int64_t threads = chunks < tare_threads() ? chunks : tare_threads();
    if (threads > 1 && !inside_parallel()) {
        run_parallel(n, grain, chunks, (int)threads, fn, context);
        return;
    }
    for (int64_t begin = 0; begin < n; begin += grain) { fn(context, begin, n - begin > grain ? begin + grain : n); }
}
