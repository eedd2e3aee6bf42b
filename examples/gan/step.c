/* step.c - one step of each player. While one learns the other is frozen: weights, statistics and singular vectors stay. */
#include "trainer.h"

#include <math.h>

/* A new batch of z and classes. */
static void draw(trainer *t, int64_t n) {
    tare_profile_enter(t->profile, TARE_PROFILE_DATA);
    uint64_t seed = (uint64_t)t->o->run.seed, batch = (uint64_t)t->draws++;
    draw_z(seed, "z", batch, n, t->o->z_dim, t->z);
    draw_labels(seed, "z", batch, n, t->data.what.classes, t->labels);
    tare_profile_enter(t->profile, TARE_PROFILE_TAPE);
}

static tare_tensor *generate(trainer *t, tare_tape *tape, int64_t n) {
    draw(t, n);
    return net_forward(t->g.net, tape, tare_input_view(tape, TARE_SHAPE(n, t->o->z_dim), t->z), t->labels);
}

static double mean_of(const tare_tensor *x) {
    double sum = 0;
    for (int64_t i = 0; x && i < x->numel; i++) { sum += (double)x->data[i]; }
    return x ? sum / (double)x->numel : 0;
}

/* Backward and update of one player; *norm is the length of its gradient. */
static tare_status update(trainer *t, player *p, tare_tensor *loss, double *norm) {
    if (!loss) { return tape_status(p->tape); }
    if (!isfinite(tare_item(loss))) { return tare_fail(TARE_ENONFINITE, "the loss is %g", tare_item(loss)); }
    tare_params_zero_grad(p->ps);
    tare_status s = tare_backward(p->tape, loss);
    tare_profile_enter(t->profile, TARE_PROFILE_OPTIMIZER);
    /* Nothing is clipped, but a gradient of NaN or Inf is found before it reaches the weights. */
    return s == TARE_OK ? tare_optim_step_clipped(p->optim, (double)INFINITY, norm) : s;
}

/* The next batch of real samples; at the end of an epoch the first of the next one. */
static tare_status next_batch(trainer *t, tare_batch *b) {
    tare_profile_enter(t->profile, TARE_PROFILE_DATA);
    bool there = tare_loader_next(t->loader, b);
    if (!there) { there = tare_loader_next(t->loader, b); }
    return there ? TARE_OK : tare_loader_status(t->loader);
}

/* The slope of D: its square on real samples, or its distance from 1 between real and fake ones. */
static tare_tensor *with_penalty(trainer *t, tare_tensor *loss, const tare_batch *b, const tare_tensor *fake) {
    tare_tape *tape = t->d.tape;
    tare_gradient_penalty_opt opt = { .kind = t->o->r1 > 0 ? TARE_PENALTY_R1 : TARE_PENALTY_WGAN_GP,
                                      .weight = t->o->r1 > 0 ? t->o->r1 : t->o->gp };
    if (opt.weight <= 0) { return loss; }
    tare_tensor *x = tare_input_view(tape, b->shape, b->x);
    if (opt.kind == TARE_PENALTY_WGAN_GP) {
        tare_rng rng = tare_rng_split(tare_rng_new((uint64_t)t->o->run.seed, "mix"), (uint64_t)t->draws);
        x = tare_mix(tape, x, fake, &rng);
    }
    tare_condition(t->d.net, b->labels, b->n);
    return tare_add(tape, loss, tare_gradient_penalty(tape, t->d.net, x, opt));
}

/* Real and fake samples go through D apart, so that its norms see one kind at a time. */
static tare_status learn_d(trainer *t) {
    tare_batch b;
    tare_tape *tape = t->d.tape;
    double norm = 0;
    tare_status s = next_batch(t, &b);
    if (s != TARE_OK) { return s; }
    tare_tape_reset(t->fake_tape);
    tare_tape_reset(tape);
    tare_tensor *fake = generate(t, t->fake_tape, b.n);
    if (!fake) { return tape_status(t->fake_tape); }
    tare_tensor *on_real = net_forward(t->d.net, tape, tare_input_view(tape, b.shape, b.x), b.labels);
    tare_tensor *on_fake = net_forward(t->d.net, tape, tare_input_view(tape, fake->shape, fake->data), t->labels);
    double d_real = mean_of(on_real), d_fake = mean_of(on_fake);
    tare_tensor *loss = tare_add(tape, tare_gan_loss(tape, on_real, t->loss, TARE_GAN_D_REAL),
                                 tare_gan_loss(tape, on_fake, t->loss, TARE_GAN_D_FAKE));
    double value = loss ? tare_item(loss) : 0; /* backward frees what a penalty is added to */
    s = update(t, &t->d, with_penalty(t, loss, &b, fake), &norm);
    if (s == TARE_OK && t->o->clip_weights > 0) { s = tare_clip_weights(t->d.ps, t->o->clip_weights); }
    if (s != TARE_OK) { return s; }
    t->sums.d_loss += value;
    t->sums.d_real += d_real;
    t->sums.d_fake += d_fake;
    t->sums.d_grad += norm;
    t->sums.d_n++;
    return TARE_OK;
}

static tare_status learn_g(trainer *t) {
    tare_tape *tape = t->g.tape;
    double norm = 0;
    tare_tape_reset(tape);
    tare_tensor *fake = generate(t, tape, t->o->batch);
    tare_tensor *loss = tare_gan_loss(tape, net_forward(t->d.net, tape, fake, t->labels), t->loss, TARE_GAN_G);
    tare_status s = update(t, &t->g, loss, &norm);
    if (s != TARE_OK) { return s; }
    t->sums.g_loss += tare_item(loss);
    t->sums.g_grad += norm;
    t->sums.g_n++;
    return TARE_OK;
}

/* One player's half of a step, the other one frozen. */
static tare_status half_step(trainer *t, player *who) {
    player *other = who == &t->d ? &t->g : &t->d;
    tare_params_freeze(other->ps, true);
    tare_status s = who == &t->d ? learn_d(t) : learn_g(t);
    tare_params_freeze(other->ps, false);
    return s;
}

tare_status train_step(trainer *t, player **who) {
    tare_status s = TARE_OK;
    for (int64_t i = 0; s == TARE_OK && i <= t->o->n_dis; i++) {
        *who = i < t->o->n_dis ? &t->d : &t->g;
        tare_guard_keep((*who)->guard);
        s = half_step(t, *who);
    }
    if (s == TARE_OK && t->ema) { s = tare_ema_update(t->ema); }
    if (s == TARE_OK) { t->step++; }
    return s;
}

typedef struct replay {
    trainer *t;
    player *who;
} replay;

static tare_status again(void *user) {
    replay *r = user;
    return half_step(r->t, r->who);
}

tare_status explain_nonfinite(trainer *t, player *who, char *why, size_t size) {
    return tare_guard_explain(who->guard, again, &(replay){ t, who }, why, size);
}
