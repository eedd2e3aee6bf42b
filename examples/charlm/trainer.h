/* trainer.h - everything a run of training works with. */
#ifndef CHARLM_TRAINER_H
#define CHARLM_TRAINER_H

#include "charlm.h"

typedef struct trainer {
    const options *o;
    corpus text;
    feeder feeder;
    tare_params *ps;
    net net;
    tare_optim *optim;
    tare_schedule schedule;
    tare_tape *tape, *test_tape;
    tare_guard *guard;
    tare_norm_stats *stats;
    tare_profile *profile;
    bool over_limit; /* it has been said that steps take more than --memory-limit */
    tare_progress *progress;
    tare_run *run;
    int32_t *prompt; /* of samples, tokens */
    int64_t prompted;
    char *summary; /* of the net */
    /* what is saved beside weights, optimizer, the tape's stream and the states carried */
    tare_checkpoint *state;
    char *vocabulary;
    uint64_t text_hash;
    int64_t step, tests;                 /* updates made, evaluations made */
    double loss_sum, log_sum, grad_norm; /* losses since the last test, since the last line; of the last step */
    int64_t loss_count, log_count;
    double val_loss, best, seconds, tested_at; /* tested_at: seconds at the last test */
} trainer;

/* setup.c: -1, or the code to exit with (an error, --dry-run). trainer_end frees whatever was made. */
int trainer_begin(trainer *t, const tare_options *args);
void trainer_end(trainer *t);
/* Writes the state to this file of the run's folder. */
tare_status trainer_save(trainer *t, const char *file);
/* Forward and loss of the batch of this step, on the training tape. */
tare_tensor *trainer_loss(trainer *t);

#endif
