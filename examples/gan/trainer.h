/* trainer.h - everything a run of training works with. */
#ifndef GAN_TRAINER_H
#define GAN_TRAINER_H

#include "gan.h"
#include "metrics.h"

enum { LOG_EVERY = 50 /* steps that a "train" event is the mean of */ };

/* One of the two players. */
typedef struct player {
    tare_params *ps;
    tare_layer *net;
    tare_optim *optim;
    tare_tape *tape;
    tare_guard *guard;
} player;

/* Sums over the steps since the last "train" event; *_n count what they are sums of. */
typedef struct sums {
    double d_loss, g_loss, d_real, d_fake, d_grad, g_grad;
    int64_t d_n, g_n;
} sums;

/* What tells that training has gone wrong though every number is finite: see collapse.c. */
typedef struct health {
    int64_t named;         /* bit k: kind k has been logged */
    double d_grad, g_grad; /* gradient norms when the run was young */
} health;

typedef struct trainer {
    const options *o;
    data data;
    tare_gan_loss_kind loss;
    player g, d;
    tare_tape *fake_tape; /* G where only its samples are wanted */
    tare_loader *loader;
    tare_loader_state place;
    sampler sampler;
    judge *judge;
    tare_progress *progress;
    tare_profile *profile;
    tare_run *run;
    char *summary;          /* of both nets */
    tare_checkpoint *state; /* all that follows and the players */
    tare_ema *ema;          /* NULL: none */
    tare_real *z;
    int32_t *labels;
    int64_t step, draws; /* updates of G; batches of z drawn */
    sums sums;
    health health;
    metrics last;          /* of the newest measurement */
    double d_loss, g_loss; /* of the newest "train" event */
    double best, seconds;
} trainer;

/* setup.c: -1, or the code to exit with (an error, --dry-run). trainer_end frees whatever was made. */
int trainer_begin(trainer *t, const tare_options *args);
void trainer_end(trainer *t);
/* Writes the state to last.safetensors in the run's folder. */
tare_status trainer_save(trainer *t);

/* step.c: one update of G after n_dis of D. On TARE_ENONFINITE the player whose turn it was is in *who. */
tare_status train_step(trainer *t, player **who);
/* The very half step that went wrong, once more, to learn why. */
tare_status explain_nonfinite(trainer *t, player *who, char *why, size_t size);

/* train.c: are there as many steps as wanted, or is the time up? */
bool all_made(const trainer *t);

/* look.c: samples drawn, measured, logged; collapse.c: is this still training? */
tare_status look(trainer *t);
tare_status log_train(trainer *t);
tare_status check_gradients(trainer *t, double d_grad, double g_grad, double d_loss);
tare_status check_samples(trainer *t, const metrics *m);
tare_status name_nonfinite(trainer *t, const char *why);

#endif
