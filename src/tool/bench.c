/* bench.c - `tare bench`: how fast one op is, forward and with backward, beside what the machine can do. */
#include <tare/tare.h>

#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 3, MOST_TIMES = 100000 };

typedef struct options {
    const char *op, *example;
    tare_files shape;
    double seconds;
    int64_t threads;
} options;

#define AT(member) offsetof(options, member)
static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to time" },
    { "op", TARE_OPTION_STRING, AT(op), NULL, "NAME", "an op, such as conv2d; none: what the machine can do at most",
      .flags = TARE_OPTION_LOCAL },
    { "case", TARE_OPTION_STRING, AT(example), NULL, "NAME",
      "one of the situations that the op is tested in (tare gradcheck NAME shows them); it brings shapes and options "
      "such as "
      "padding; none: the first that has as many inputs as --shape",
      .flags = TARE_OPTION_LOCAL },
    { "shape", TARE_OPTION_FILES, AT(shape), NULL, "SHAPE",
      "other shapes for the inputs, in order, as 64x32x28x28 64x32x3x3; - leaves an optional one out",
      .flags = TARE_OPTION_LOCAL },
    { .kind = TARE_OPTION_GROUP, .help = "How" },
    { "seconds", TARE_OPTION_REAL, AT(seconds), "0.5", "S", "how long each figure is measured", .min = 0.001,
      .max = 1e4, .flags = TARE_OPTION_LOCAL },
    { "threads", TARE_OPTION_INT, AT(threads), "0", "N", "threads to work with; 0: one per core", .min = 0, .max = 256,
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};

/* ---- what is timed ------------------------------------------------------------------------------------------------ */

typedef struct subject {
    const tare_op *op;
    tare_opcase situation; /* with the shapes that were asked for */
    int inputs;
    bool backward;
    tare_tape *tape;
    tare_real *value[TARE_CASE_INPUTS], *grad[TARE_CASE_INPUTS], *dy;
    void *scratch;
    const tare_node *node; /* of the latest pass */
} subject;

static int inputs_of(const tare_op *op, const tare_opcase *c) { return c->n_in ? c->n_in : op->n_in; }

static tare_status parse_shape(const char *text, tare_shape *shape) {
    *shape = (tare_shape){ 0 };
    for (const char *s = text; shape->ndim < TARE_MAX_DIMS;) {
        char *end;
        long long size = strtoll(s, &end, 10);
        if (end == s || size < 1 || (*end && !strchr("x,", *end))) { break; }
        shape->dim[shape->ndim++] = size;
        if (!*end && tare_shape_numel(*shape) >= 0) { return TARE_OK; }
        if (!*end) { return tare_fail(TARE_EINVAL, "--shape: %s: more values than can be counted", text); }
        s = end + 1;
    }
    return tare_fail(TARE_EINVAL, "--shape: \"%s\" is not a shape such as 64x32x28x28", text);
}

static const tare_opcase *find_case(const options *o, const tare_op *op) {
    for (const tare_opcase *c = op->cases; c && c->name; c++) {
        if (o->example ? strcmp(c->name, o->example) == 0 : o->shape.count == 0 || o->shape.count == inputs_of(op, c)) {
            return c;
        }
    }
    if (o->example) {
        tare_fail(TARE_EINVAL, "--case: %s has no case \"%s\"; tare gradcheck %s shows them", op->name, o->example,
                  op->name);
    } else {
        tare_fail(TARE_EINVAL,
                  "--shape: no case of %s has %lld input%s, the first has %d; - leaves an optional one out", op->name,
                  (long long)o->shape.count, o->shape.count == 1 ? "" : "s", inputs_of(op, op->cases));
    }
    return NULL;
}

static tare_status choose(const options *o, subject *s) {
    s->op = tare_op_find(o->op);
    if (!s->op) {
        return tare_fail(TARE_EINVAL, "--op: there is no op \"%s\"; tare gradcheck --list shows them", o->op);
    }
    const tare_opcase *c = find_case(o, s->op);
    if (!c) { return TARE_EINVAL; }
    s->situation = *c;
    s->inputs = inputs_of(s->op, c);
    if (o->shape.count > 0 && o->shape.count != s->inputs) {
        return tare_fail(TARE_EINVAL, "--shape: case \"%s\" of %s has %d inputs, not %lld", c->name, s->op->name,
                         s->inputs, (long long)o->shape.count);
    }
    for (int i = 0; i < o->shape.count; i++) {
        bool absent = strcmp(o->shape.name[i], "-") == 0;
        s->situation.absent = (s->situation.absent & ~(1u << i)) | (unsigned)absent << i;
        tare_status status = absent ? TARE_OK : parse_shape(o->shape.name[i], &s->situation.in[i]);
        if (status != TARE_OK) { return status; }
    }
    return TARE_OK;
}

static tare_real *array_new(int64_t n, tare_rng *rng) {
    tare_real *x = tare_calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; x && rng && i < n; i++) { x[i] = (tare_real)tare_rng_uniform(rng) + (tare_real)0.5; }
    return x;
}

static tare_status fill(subject *s) {
    tare_rng rng = tare_rng_new(1, "bench");
    for (int i = 0; i < s->inputs; i++) {
        if (s->situation.absent & 1u << i) { continue; }
        int64_t n = tare_shape_numel(s->situation.in[i]);
        s->value[i] = array_new(n, &rng);
        s->grad[i] = array_new(n, NULL);
        if (!s->value[i] || !s->grad[i]) { return TARE_ENOMEM; }
    }
    return TARE_OK;
}

/* ---- one pass ----------------------------------------------------------------------------------------------------- */

/* The op's own backward, as the tape runs it in the middle of a net; tare_backward_from would copy dy first. */
static tare_status run_backward(subject *s, tare_node *n, tare_tensor **in) {
    if (!s->dy) {
        tare_rng rng = tare_rng_new(2, "bench");
        s->dy = array_new(n->out->numel, &rng);
        s->scratch = tare_malloc(n->grad_scratch_bytes + 1);
        if (!s->dy || !s->scratch) { return TARE_ENOMEM; }
    }
    n->scratch = s->scratch;
    n->out->grad = s->dy;
    for (int i = 0; i < s->inputs; i++) {
        if (in[i] && in[i]->requires_grad) { in[i]->grad = s->grad[i], in[i]->grad_fresh = true; }
    }
    n->op->backward(n);
    n->out->grad = NULL;
    n->scratch = NULL;
    for (int i = 0; i < s->inputs; i++) {
        if (in[i]) { in[i]->grad = NULL; }
    }
    return TARE_OK;
}

static tare_status pass(subject *s) {
    tare_tensor *in[TARE_CASE_INPUTS] = { NULL };
    tare_tape_reset(s->tape);
    for (int i = 0; i < s->inputs; i++) {
        if (!s->value[i]) { continue; }
        in[i] = tare_input_view(s->tape, s->situation.in[i], s->value[i]);
        if (in[i]) { in[i]->requires_grad = s->backward && !(s->situation.nograd & 1u << i); }
    }
    tare_tensor *y = tare_apply(s->tape, s->op, in, s->inputs, s->situation.attr);
    if (!y) { return tare_fail(tare_tape_status(s->tape), "%s", tare_tape_error(s->tape)); }
    s->node = y->node;
    return s->backward && y->requires_grad ? run_backward(s, y->node, in) : TARE_OK;
}

/* ---- figures ------------------------------------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const subject *s, double *times, int n, const tare_peak *peak) {
    qsort(times, (size_t)n, sizeof *times, by_size);
    tare_cost c = tare_node_cost(s->node, false), back = { 0 };
    if (s->backward) { back = tare_node_cost(s->node, true); }
    double arithmetic = (c.flops + back.flops) / peak->flops, seconds = times[n / 2];
    double traffic = c.bytes / tare_peak_copy(peak, c.bytes);
    if (back.bytes > 0) { traffic += back.bytes / tare_peak_copy(peak, back.bytes); }
    char flops[16] = "";
    if (c.flops > 0) { snprintf(flops, sizeof flops, "%.0f", 1e-9 * (c.flops + back.flops) / seconds); }
    printf("%-18s %10.1f %10.1f %10.1f %9s %8.1f %7.0f%%\n", s->backward ? "forward, backward" : "forward",
           1e6 * seconds, 1e6 * times[n / 10], 1e6 * times[n - 1 - n / 10], flops,
           1e-9 * (c.bytes + back.bytes) / seconds, 100 * (arithmetic > traffic ? arithmetic : traffic) / seconds);
}

static tare_status time_passes(subject *s, bool backward, double seconds, const tare_peak *peak) {
    static double times[MOST_TIMES];
    int n = 0;
    s->backward = backward;
    s->tape = tare_tape_new((tare_tape_opt){ .training = !s->situation.eval, .no_grad = !backward });
    tare_status status = s->tape ? TARE_OK : TARE_ENOMEM;
    for (int i = 0; status == TARE_OK && i < WARM_UP; i++) { status = pass(s); }
    for (double begin = tare_clock();
         status == TARE_OK && n < MOST_TIMES && (n < 5 || tare_clock() - begin < seconds);) {
        double before = tare_clock();
        status = pass(s);
        times[n++] = tare_clock() - before;
    }
    if (status == TARE_OK) { print_row(s, times, n, peak); }
    tare_tape_free(s->tape);
    return status;
}

static void print_peak(const tare_peak *peak) {
    printf("%d thread%s: at most %.0f GFLOP/s; copies %.0f GB/s in a core's cache, %.0f in the shared one,\n%.0f in "
           "memory\n",
           peak->threads, peak->threads == 1 ? "" : "s", 1e-9 * peak->flops, 1e-9 * peak->copy_near,
           1e-9 * peak->copy_middle, 1e-9 * peak->copy_far);
}

static void print_heading(const subject *s) {
    printf("\n%s, case \"%s\":", s->op->name, s->situation.name);
    for (int i = 0; i < s->inputs; i++) {
        tare_shape_buf buf;
        printf(" %s", s->situation.absent & 1u << i ? "-" : tare_shape_text(s->situation.in[i], &buf));
    }
    printf("\n%-18s %10s %10s %10s %9s %8s %8s\n", "", "median us", "p10", "p90", "GFLOP/s", "GB/s", "of roof");
}

/* One pass, so that shapes which do not go together are told before anything is measured. */
static tare_status try_once(subject *s) {
    tare_status status = fill(s);
    s->tape =
        status == TARE_OK ? tare_tape_new((tare_tape_opt){ .training = !s->situation.eval, .no_grad = true }) : NULL;
    if (status == TARE_OK) { status = s->tape ? pass(s) : TARE_ENOMEM; }
    tare_tape_free(s->tape);
    return status;
}

static tare_status bench_op(const options *o, subject *s) {
    tare_peak peak;
    tare_status status = try_once(s);
    if (status == TARE_OK) { status = tare_peak_measure(&peak, 0.5); }
    if (status != TARE_OK) { return status; }
    print_peak(&peak);
    print_heading(s);
    status = time_passes(s, false, o->seconds, &peak);
    if (status == TARE_OK && s->op->backward) { status = time_passes(s, true, o->seconds, &peak); }
    return status;
}

static tare_status bench_machine(void) {
    tare_peak peak;
    tare_status status = tare_peak_measure(&peak, 0.5);
    if (status == TARE_OK) { print_peak(&peak); }
    return status;
}

static tare_status bench(const options *o) {
    subject s = { 0 };
    tare_threads_set((int)o->threads);
    if (!o->op) { return bench_machine(); }
    tare_status status = choose(o, &s);
    if (status == TARE_OK) { status = bench_op(o, &s); }
    for (int i = 0; i < s.inputs; i++) {
        tare_free(s.value[i]);
        tare_free(s.grad[i]);
    }
    tare_free(s.dy);
    tare_free(s.scratch);
    return status;
}

int main(int argc, char **argv) {
    options o = { 0 };
    tare_options *args = tare_options_new("bench", TARE_DESCRIBE "how fast an op is, beside what this machine can do");
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    int code = s == TARE_OK ? 0 : 2;
    if (s == TARE_OK && tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
    } else if (s == TARE_OK) {
        s = bench(&o);
        code = s == TARE_OK ? 0 : s == TARE_EINVAL || s == TARE_ESHAPE ? 2 : 1;
    }
    if (s != TARE_OK) { fprintf(stderr, "tare bench: %s\n", tare_error()); }
    tare_options_free(args);
    return tare_output_end("tare bench", code);
}
