/* bench_steps.c - one workload at work, for bench/run.py to time beside PyTorch.
 *   bench_steps --list           the names of all workloads;  --version
 *   bench_steps --machine        processor, kernels and the machine's peaks, as JSON
 *   bench_steps NAME             warm up, then for each line on standard input, seconds, print that many seconds' worth of
 *                                times of a step in microseconds
 *   bench_steps NAME --first     the clock before and after the first step, then memory and work of a step, as JSON
 *   bench_steps NAME --bits N    the losses of N steps to the last bit */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#define COMPILER __VERSION__ /* which names clang itself */
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

enum { WARM_UP = 5, MOST_STEPS = 20000 };

static int fail(void) {
    fprintf(stderr, "bench_steps: %s\n", tare_error());
    return 1;
}

/* ---- what to do -------------------------------------------------------------------------------------------------- */

static int print_machine(void) {
    tare_machine m;
    tare_peak peak;
    tare_machine_get(&m);
    if (tare_peak_measure(&peak, 1.0) != TARE_OK) { return fail(); }
    printf("{\"cpu\":\"%s\",\"compiler\":\"%s\",\"isa\":\"%s\",\"cores\":%d,\"threads\":%d,\"gflops\":%.1f,\"copy_"
           "near\":%.1f,"
           "\"copy_middle\":%.1f,\"copy_far\":%.1f}\n",
           m.cpu, COMPILER, m.isa, m.cores, m.threads, 1e-9 * peak.flops, 1e-9 * peak.copy_near,
           1e-9 * peak.copy_middle, 1e-9 * peak.copy_far);
    return 0;
}

static int print_names(void) {
    const bench_workload *w;
    for (int i = 0; (w = bench_at(i)); i++) { printf("%s\n", w->name); }
    return 0;
}

static int serve(bench *b) {
    int64_t i = 0;
    for (; i < WARM_UP; i++) {
        if (b->workload->step(b, i) != TARE_OK) { return fail(); }
    }
    printf("ready\n");
    fflush(stdout);
    for (char line[64]; fgets(line, sizeof line, stdin);) {
        double end = tare_clock() + strtod(line, NULL);
        for (int n = 0; n < MOST_STEPS && (n < 3 || tare_clock() < end); n++) {
            double start = tare_clock();
            if (b->workload->step(b, i++) != TARE_OK) { return fail(); }
            printf("%.2f ", 1e6 * (tare_clock() - start));
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}

static void add_work(const tare_tape *tape, void *context) {
    double *flops = context;
    for (int64_t i = 0; i < tare_tape_length(tape); i++) {
        const tare_node *n = tare_tape_node(tape, i);
        *flops += tare_node_cost(n, false).flops + tare_node_cost(n, true).flops;
    }
}

/* The most that a step holds without what ops ask for to work in. */
typedef struct held {
    const tare_tape *tape;
    size_t most;
} held;

static void see(void *context, const tare_node *n, bool backward) {
    held *h = context;
    size_t scratch = !n->scratch ? 0 : backward ? n->grad_scratch_bytes : n->scratch_bytes;
    size_t now = tare_tape_bytes(h->tape) - scratch;
    if (now > h->most) { h->most = now; }
}

/* Values, gradients and the optimizer's state. */
static int64_t state_bytes(const bench *b) {
    int64_t values = 0;
    for (int n = 0; n < BENCH_NETS; n++) {
        if (!b->optim[n]) { continue; }
        values += tare_params_flat_size(b->params[n]) * (2 + tare_optim_slots(b->optim[n])) +
                  tare_params_buffer_flat_size(b->params[n]);
    }
    return values * (int64_t)sizeof(tare_real);
}

static int print_first(bench *b) {
    double start = tare_clock();
    if (b->workload->step(b, 0) != TARE_OK) { return fail(); }
    double clock = tare_clock(), flops = 0;
    held h = { .tape = b->tape };
    tare_trace trace = { see, see, &h };
    b->look = add_work;
    b->context = &flops;
    tare_tape_trace_set(b->tape, &trace);
    if (b->workload->step(b, 1) != TARE_OK) { return fail(); }
    tare_tape_trace_set(b->tape, NULL);
    b->look = NULL;
    b->context = NULL;
    for (int64_t i = 2; i < 20 && (i < 5 || tare_clock() < clock + 1); i++) {
        if (b->workload->step(b, i) != TARE_OK) { return fail(); }
    }
    printf("{\"start\":%.6f,\"clock\":%.6f,\"process_bytes\":%lld,\"step_bytes\":%zu,\"held_bytes\":%zu,"
           "\"state_bytes\":%lld,\"flops\":%.0f}\n",
           start, clock, (long long)tare_peak_memory(), tare_tape_peak(b->tape), h.most, (long long)state_bytes(b),
           flops);
    return 0;
}

static int print_bits(bench *b, int64_t steps) {
    for (int64_t i = 0; i < steps; i++) {
        if (b->workload->step(b, i) != TARE_OK) { return fail(); }
        printf("%a ", b->loss);
    }
    printf("\n");
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--machine") == 0) { return print_machine(); }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) { return printf("%s\n", TARE_VERSION) < 0; }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) { return print_names(); }
    const bench_workload *w = argc > 1 ? bench_find(argv[1]) : NULL;
    const char *what = argc > 2 ? argv[2] : "";
    int64_t steps = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
    if (!w || (*what && strcmp(what, "--first") != 0 && (strcmp(what, "--bits") != 0 || steps < 1))) {
        fprintf(stderr, "usage: bench_steps --list | --version | --machine | WORKLOAD [--first | --bits STEPS]\n");
        return 2;
    }
    bench b;
    int code = bench_open(&b, w) != TARE_OK ? fail()
               : !*what                     ? serve(&b)
               : steps                      ? print_bits(&b, steps)
                                            : print_first(&b);
    bench_close(&b);
    return code;
}
