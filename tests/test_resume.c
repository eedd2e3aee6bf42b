/* test_resume.c - 100 steps are 50, a checkpoint, everything new, and 50 more: bit for bit, with dropout, shuffling,
 * momentum, running statistics and a schedule.   tare-test: double */
#include "nets.h"

#include <tare/io.h>

enum { SAMPLES = 40, MOST_NUMEL = 64, STEPS = 100 };

/* A training run as a program would hold it. */
typedef struct run {
    net n;
    tare_tape *tape;
    tare_rng order; /* of the epoch at hand */
    uint32_t index[SAMPLES];
    int64_t step, epoch, at; /* at: the next place in index */
    double seen;             /* something only a checkpoint can know */
    char *note;
    tare_checkpoint *checkpoint;
} run;

static void start_epoch(run *r) {
    tare_rng rng = tare_rng_split(r->order, (uint64_t)r->epoch);
    for (uint32_t i = 0; i < SAMPLES; i++) { r->index[i] = i; }
    tare_rng_shuffle(&rng, r->index, SAMPLES);
}

static void run_start(run *r, const char *kind, uint64_t seed) {
    *r = (run){ .order = tare_rng_new(seed, "order") };
    assert_ok(net_new(&r->n, kind, seed));
    r->tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = seed });
    r->checkpoint = tare_checkpoint_new();
    assert_true(r->tape && r->checkpoint);
    tare_checkpoint_params(r->checkpoint, "", r->n.ps);
    tare_checkpoint_optim(r->checkpoint, "optim", r->n.optim);
    tare_checkpoint_tape(r->checkpoint, "tape", r->tape);
    tare_checkpoint_rng(r->checkpoint, "order", &r->order);
    tare_checkpoint_int(r->checkpoint, "step", &r->step);
    tare_checkpoint_int(r->checkpoint, "epoch", &r->epoch);
    tare_checkpoint_int(r->checkpoint, "at", &r->at);
    tare_checkpoint_double(r->checkpoint, "seen", &r->seen);
    tare_checkpoint_text(r->checkpoint, "note", &r->note);
    start_epoch(r);
}

static void run_end(run *r) {
    tare_checkpoint_free(r->checkpoint);
    tare_tape_free(r->tape);
    tare_free(r->note);
    net_free(&r->n);
}

/* The batch that lies at `at` in the order of this epoch; sample i is a function of i. */
static void next_batch(run *r, tare_real *x, int32_t *target) {
    int64_t batch = r->n.kind->batch, numel = tare_shape_numel(net_batch_shape(&r->n)) / batch;
    if (r->at + batch > SAMPLES) {
        r->epoch++;
        r->at = 0;
        start_epoch(r);
    }
    for (int64_t b = 0; b < batch; b++) {
        uint32_t id = r->index[r->at++];
        tare_rng rng = tare_rng_split(tare_rng_new(1, "sample"), id);
        for (int64_t i = 0; i < numel; i++) { x[b * numel + i] = (tare_real)tare_rng_normal(&rng); }
        target[b] = (int32_t)(id % 5);
    }
}

static void train(run *r, int64_t until, double *losses) {
    tare_real x[16 * MOST_NUMEL];
    int32_t target[16];
    const tare_schedule schedule = { TARE_SCHEDULE_COSINE, .lr = 0.02, .steps = STEPS, .warmup = 10 };
    while (r->step < until) {
        next_batch(r, x, target);
        assert_ok(tare_optim_lr_set(r->n.optim, tare_schedule_at(&schedule, r->step)));
        assert_ok(net_step(&r->n, r->tape, x, target, &losses[r->step]));
        r->seen += losses[r->step++] / 3;
    }
}

static void expect_same_state(const run *a, const run *b) {
    const tare_params *p = a->n.ps, *q = b->n.ps;
    assert_memory_equal(tare_params_flat(p), tare_params_flat(q), (size_t)tare_params_flat_size(p) * sizeof(tare_real));
    size_t buffers = (size_t)tare_params_buffer_flat_size(p) * sizeof(tare_real);
    if (buffers) { assert_memory_equal(tare_params_buffer_flat(p), tare_params_buffer_flat(q), buffers); }
    for (int i = 0; i < tare_optim_slots(a->n.optim); i++) {
        assert_memory_equal(tare_optim_slot(a->n.optim, i), tare_optim_slot(b->n.optim, i),
                            (size_t)tare_params_flat_size(p) * sizeof(tare_real));
    }
    assert_true(tare_optim_steps(a->n.optim) == tare_optim_steps(b->n.optim));
    assert_true(tare_optim_lr(a->n.optim) == tare_optim_lr(b->n.optim));
    assert_memory_equal(&a->seen, &b->seen, sizeof a->seen);
}

static void hundred_are_fifty_and_fifty(void **state) {
    const char *kind = *state;
    char *dir = test_dir_new();
    double straight[STEPS], parts[STEPS] = { 0 };
    run whole, first, second;
    run_start(&whole, kind, 5);
    train(&whole, STEPS, straight);

    run_start(&first, kind, 5);
    first.note = tare_strdup("half way \"there\"\n");
    train(&first, STEPS / 2, parts);
    assert_ok(tare_checkpoint_save(first.checkpoint, test_path(dir, "half.safetensors")));

    /* The tape's seed is the program's to give again; weights and order must come from the file. */
    run_start(&second, kind, 5);
    for (int64_t i = 0; i < tare_params_flat_size(second.n.ps); i++) { tare_params_flat(second.n.ps)[i] *= 2; }
    second.order = tare_rng_new(99, "other");
    assert_ok(tare_checkpoint_load(second.checkpoint, test_path(dir, "half.safetensors")));
    assert_string_equal(second.note, first.note);
    assert_int_equal(second.step, STEPS / 2);
    expect_same_state(&first, &second);
    start_epoch(&second);
    train(&second, STEPS, parts);
    assert_memory_equal(straight, parts, sizeof straight);
    expect_same_state(&whole, &second);
    assert_true(straight[0] > straight[STEPS - 1]);
    run_end(&whole);
    run_end(&first);
    run_end(&second);
    test_dir_remove(dir);
}

int main(void) {
    static char *const kinds[] = { "mlp_dropout", "cnn_bn_dropout", "cnn_gn", "cnn_gn1" };
    struct CMUnitTest tests[4];
    for (size_t i = 0; i < 4; i++) {
        tests[i] = (struct CMUnitTest){ kinds[i], hundred_are_fifty_and_fifty, NULL, NULL, kinds[i] };
    }
    return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
