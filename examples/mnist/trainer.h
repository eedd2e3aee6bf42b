/* trainer.h - everything a run of training works with. */
#ifndef MNIST_TRAINER_H
#define MNIST_TRAINER_H

#include "mnist.h"

/* What has been counted in this epoch so far. */
typedef struct epoch_sums {
    double loss, seconds;
    int64_t correct, seen;
} epoch_sums;

typedef struct trainer {
    const options *o;
    input_spec in;
    tare_dataset *train, *test;
    tare_loader *loader, *test_loader, *norm_loader; /* the last for batch norm with batches' own statistics */
    tare_params *ps;
    tare_layer *model;
    tare_optim *optim;
    tare_schedule schedule;
    tare_tape *tape, *test_tape;
    tare_guard *guard;
    tare_norm_stats *stats;
    tare_profile *profile;
    bool over_limit;           /* it has been said that steps take more than --memory-limit */
    tare_confusion *confusion; /* of the last evaluation */
    char *summary;
    tare_progress *progress;
    tare_run *run;
    tare_checkpoint *state; /* what is saved: weights, optimizer, tape's stream, and all that follows */
    int64_t epoch, step;    /* epochs completed, updates made */
    int64_t epochs, steps;  /* until which to train; the last epoch may be cut short by steps */
    epoch_sums sums;
    double test_accuracy, best, total_seconds, grad_norm;
    tare_loader_state place;
} trainer;

/* setup.c: -1, or the code to exit with (an error, --dry-run). trainer_end frees whatever was made. */
int trainer_begin(trainer *t, const tare_options *args);
void trainer_end(trainer *t);
/* Writes the state to this file of the run's folder. */
tare_status trainer_save(trainer *t, const char *file);

#endif
