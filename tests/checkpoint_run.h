/* checkpoint_run.h - a run with one of everything that a checkpoint can hold, and a step of it. */
#ifndef TARE_CHECKPOINT_RUN_H
#define TARE_CHECKPOINT_RUN_H

#include "testing_support.h"

#include <tare/io.h>

typedef struct run {
    tare_params *gen, *dis;
    tare_optim *gen_optim, *dis_optim;
    tare_real *average, *seen;
    tare_tape *tape;
    tare_rng rng;
    int64_t step;
    uint64_t epoch;
    double best;
    char *note;
    tare_checkpoint *c;
} run;

static inline tare_params *make_net(const char *layer) {
    tare_params *ps = tare_params_new(1);
    tare_params_push(ps, layer);
    tare_param(ps, "weight", TARE_SHAPE(4, 5), 0);
    tare_param(ps, "bias", TARE_SHAPE(5), TARE_NO_DECAY);
    tare_buffer(ps, "mean", TARE_SHAPE(5));
    tare_params_pop(ps);
    assert_ok(tare_params_status(ps));
    tare_rng rng = tare_rng_new(1, layer);
    for (int64_t i = 0; i < 20; i++) { tare_params_at(ps, 0)->data[i] = (tare_real)tare_rng_normal(&rng); }
    return ps;
}

static inline void bind_all(run *r) {
    r->c = tare_checkpoint_new();
    tare_checkpoint_params(r->c, "gen", r->gen);
    tare_checkpoint_params(r->c, "dis", r->dis);
    tare_checkpoint_optim(r->c, "gen_optim", r->gen_optim);
    tare_checkpoint_optim(r->c, "dis_optim", r->dis_optim);
    tare_checkpoint_flat(r->c, "ema", r->gen, r->average);
    tare_checkpoint_tensor(r->c, "seen", TARE_SHAPE(3), r->seen);
    tare_checkpoint_tape(r->c, "tape", r->tape);
    tare_checkpoint_rng(r->c, "order", &r->rng);
    tare_checkpoint_int(r->c, "step", &r->step);
    tare_checkpoint_uint(r->c, "epoch", &r->epoch);
    tare_checkpoint_double(r->c, "best", &r->best);
    tare_checkpoint_text(r->c, "note", &r->note);
}

/* In place, since its checkpoint points into it; free_run frees it. */
static inline run *make_run(void) {
    run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->gen = make_net("up");
    r->dis = make_net("down");
    r->gen_optim = tare_adamw_new(r->gen, (tare_adam_opt){ .weight_decay = 0.1 });
    r->dis_optim = tare_rmsprop_new(r->dis, (tare_rmsprop_opt){ .centered = true, .momentum = 0.5 });
    r->average = tare_calloc((size_t)tare_params_flat_size(r->gen), sizeof(tare_real));
    r->seen = tare_calloc(3, sizeof(tare_real));
    r->tape = tare_tape_new((tare_tape_opt){ .seed = 1 });
    r->rng = tare_rng_new(5, "order");
    r->note = tare_strdup("new");
    bind_all(r);
    return r;
}

static inline void free_run(run *r) {
    tare_checkpoint_free(r->c);
    tare_optim_free(r->gen_optim);
    tare_optim_free(r->dis_optim);
    tare_tape_free(r->tape);
    tare_params_free(r->gen);
    tare_params_free(r->dis);
    tare_free(r->average);
    tare_free(r->seen);
    tare_free(r->note);
    free(r);
}

/* One step; gradients come from the run's own generator, so that going on depends on all of the state. */
static inline void train(run *r) {
    tare_params *nets[] = { r->gen, r->dis };
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < tare_params_count(nets[n]); i++) {
            tare_tensor *p = tare_params_at(nets[n], i);
            for (int64_t j = 0; j < p->numel; j++) { p->grad[j] = (tare_real)tare_rng_normal(&r->rng); }
            p->grad_fresh = false;
        }
        tare_tensor *mean = tare_params_buffer_at(nets[n], 0);
        for (int64_t j = 0; j < mean->numel; j++) { mean->data[j] += (tare_real)tare_rng_uniform(&r->rng); }
    }
    assert_ok(tare_optim_lr_set(r->gen_optim, 0.01 / (double)(r->step + 1)));
    assert_ok(tare_optim_step_clipped(r->gen_optim, 1, &r->best));
    assert_ok(tare_optim_step(r->dis_optim));
    for (int64_t j = 0; j < tare_params_flat_size(r->gen); j++) {
        r->average[j] += (tare_real)0.1 * (tare_params_flat(r->gen)[j] - r->average[j]);
    }
    r->seen[r->step % 3] += 1;
    tare_tape_reset(r->tape);
    r->step++;
    r->epoch = UINT64_MAX - (uint64_t)r->step;
    tare_free(r->note);
    r->note = tare_strdup(r->step % 2 ? "odd \"step\"\n" : "even");
}

static inline void assert_same_flat(const tare_real *a, const tare_real *b, int64_t n) {
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

static inline void assert_same_optim(const tare_optim *a, const tare_optim *b) {
    assert_true(tare_optim_steps(a) == tare_optim_steps(b) && tare_optim_lr(a) == tare_optim_lr(b));
    for (int i = 0; i < tare_optim_slots(a); i++) {
        assert_same_flat(tare_optim_slot(a, i), tare_optim_slot(b, i), tare_params_flat_size(tare_optim_params(a)));
    }
}

static inline void assert_same(const run *a, const run *b) {
    assert_same_flat(tare_params_flat(a->gen), tare_params_flat(b->gen), tare_params_flat_size(a->gen));
    assert_same_flat(tare_params_flat(a->dis), tare_params_flat(b->dis), tare_params_flat_size(a->dis));
    assert_same_flat(tare_params_buffer_flat(a->gen), tare_params_buffer_flat(b->gen),
                     tare_params_buffer_flat_size(a->gen));
    assert_same_flat(tare_params_buffer_flat(a->dis), tare_params_buffer_flat(b->dis),
                     tare_params_buffer_flat_size(a->dis));
    assert_same_flat(a->average, b->average, tare_params_flat_size(a->gen));
    assert_same_flat(a->seen, b->seen, 3);
    assert_same_optim(a->gen_optim, b->gen_optim);
    assert_same_optim(a->dis_optim, b->dis_optim);
    assert_true(tare_tape_step(a->tape) == tare_tape_step(b->tape));
    assert_memory_equal(&a->rng, &b->rng, sizeof a->rng);
    assert_true(a->step == b->step && a->epoch == b->epoch && a->best == b->best);
    assert_string_equal(a->note, b->note);
}

#endif
