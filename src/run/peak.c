/* peak.c - the most that this machine does: multiply-adds, and copies within each level of memory. */
#include <tare/run.h>

#include <math.h>
#include <string.h>

#include "../core/machine.h"

enum { SINK = 64, MIB = 1 << 20, RUNS = 5 };

typedef struct work {
    int64_t rounds; /* of multiply-adds, or copies of a thread's part */
    int64_t bytes;  /* of a thread's part of `from`; 0: multiply-adds */
    char *from, *to;
    tare_real *sink; /* SINK for each thread, apart from each other */
    double *done;    /* operations, or bytes read and written, by thread */
} work;

static void run_part(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t i = begin; i < end; i++) {
        if (w->bytes == 0) {
            w->done[i] = tare__multiply_adds(w->rounds, w->sink + i * SINK);
            continue;
        }
        /* To and fro, so that no copy can be left out. */
        for (int64_t r = 0; r < w->rounds; r++) {
            char *from = r % 2 ? w->to : w->from, *to = r % 2 ? w->from : w->to;
            memcpy(to + i * w->bytes, from + i * w->bytes, (size_t)w->bytes);
        }
        w->done[i] = 2.0 * (double)w->bytes * (double)w->rounds;
    }
}

/* Operations or bytes a second: the best of a few runs, each long enough to be timed, within `seconds`. */
static double rate(work *w, int threads, double seconds) {
    double best = 0;
    w->rounds = 2;
    for (int run = 0; run < RUNS;) {
        double start = tare_clock(), sum = 0;
        tare_parallel_for(threads, 1, run_part, w);
        double took = tare_clock() - start;
        if (took < seconds / RUNS / 2 && w->rounds < (int64_t)1 << 40) {
            double more = seconds / RUNS / fmax(took, 1e-7);
            w->rounds = (int64_t)((double)w->rounds * fmin(fmax(more, 2), 1000));
            continue;
        }
        for (int i = 0; i < threads; i++) { sum += w->done[i]; }
        best = fmax(best, sum / took);
        run++;
    }
    return best;
}

/* Of `bytes` in all, half read and half written. */
static double copy_rate(work *w, int threads, int64_t bytes, double seconds) {
    w->bytes = bytes / 2 / threads / 64 * 64;
    return rate(w, threads, seconds);
}

tare_status tare_peak_measure(tare_peak *peak, double seconds) {
    int threads = tare_threads();
    const int64_t near = (int64_t)MIB / 2 * threads, middle = 16 * MIB, far = 256 * (int64_t)MIB;
    size_t room = (size_t)(far > near ? far : near) / 2;
    double *done = tare_calloc((size_t)threads, sizeof *done);
    tare_real *sink = tare_calloc((size_t)threads * SINK, sizeof *sink);
    char *from = tare_malloc(room), *to = tare_malloc(room);
    bool there = done && sink && from && to;
    if (there) {
        work w = { .from = from, .to = to, .sink = sink, .done = done };
        memset(from, 1, room);
        memset(to, 1, room);
        *peak = (tare_peak){ .threads = threads, .flops = rate(&w, threads, seconds / 4) };
        peak->copy_near = copy_rate(&w, threads, near, seconds / 4);
        peak->copy_middle = copy_rate(&w, threads, middle, seconds / 4);
        peak->copy_far = copy_rate(&w, threads, far, seconds / 4);
    }
    tare_free(done);
    tare_free(sink);
    tare_free(from);
    tare_free(to);
    return there ? TARE_OK : TARE_ENOMEM;
}

double tare_peak_copy(const tare_peak *peak, double bytes) {
    if (bytes <= (double)MIB / 2 * peak->threads) { return peak->copy_near; }
    return bytes <= 16.0 * MIB ? peak->copy_middle : peak->copy_far;
}
