/* mnist.h - what the files of this program share. Read main.c, model.c, train.c, evaluate.c, in that order. */
#ifndef MNIST_H
#define MNIST_H

#include <tare/tare.h>

/* Everything the command line decides; options.c has the table that fills it. */
typedef struct options {
    /* data */
    const char *data, *augment;
    int64_t limit, test_limit;
    /* model */
    const char *arch, *norm;
    double dropout;
    /* learning */
    tare_learn_opt learn;
    int64_t epochs, steps, batch, accumulate;
    double label_smoothing, seconds;
    int64_t norm_stats, eval_every;
    bool recompute;
    int64_t memory_limit; /* MiB */
    /* testing */
    int64_t test_norm_batch;
    double test_contrast;
    /* what to do instead of training */
    const char *eval;
    tare_files predict;
    /* the run's folder, seed, threads, output */
    tare_run_opt run;
    tare_profile_opt look;
} options;

/* What a model takes in and gives out; saved with the run, so that prediction needs no data set. */
typedef struct input_spec {
    int64_t channels, height, width, classes;
    double mean[TARE_DATA_CHANNELS], std[TARE_DATA_CHANNELS];
    char *class_names; /* one to a line */
} input_spec;

/* Exit codes: 1 a failed run, 2 usage, 3 the loss is NaN or Inf. */
enum { EXIT_USAGE = 2, EXIT_NONFINITE = 3 };

/* options.c: -1, or the code to exit with (usage errors, --help). */
int options_read(tare_options *args, options *o, int argc, char **argv);

/* model.c: the model that options ask for, for the shape that image_shape gives (without N). */
tare_layer *model_new(tare_params *ps, const options *o, const input_spec *in);
tare_shape image_shape(const options *o, const input_spec *in);

/* evaluate.c */
enum { SCORE_CLASSES = 256, TEST_BATCH = 256 };
typedef struct score {
    double loss, accuracy;
    int64_t correct[SCORE_CLASSES], count[SCORE_CLASSES]; /* of each class, the first so many */
} score;
int64_t count_correct(const tare_tensor *logits, const int32_t *labels, score *per_class);
tare_status evaluate(tare_layer *model, tare_tape *tape, tare_loader *loader, tare_confusion *confusion, score *out);
tare_status evaluate_contrast(tare_layer *model, tare_tape *tape, tare_loader *loader, double contrast,
                              double *accuracy);
tare_status evaluate_by_batch(tare_layer *model, tare_tape *tape, tare_loader *loader, double *accuracy);
void compare_text(double running, double by_batch, char *text, size_t size);
#define COMPARE_FIELDS(running, by_batch)                                                                              \
    TARE_FIELDS(TARE_NUMBER("running_statistics_accuracy", running), TARE_NUMBER("batch_statistics_accuracy", by_batch))
tare_status test_loader_new(const options *o, const input_spec *in, const tare_dataset *test, int64_t batch,
                            tare_loader **loader);
tare_status input_spec_file(input_spec *in, const char *path, bool save);
int evaluate_run(const options *o);
int predict_files(const options *o);

/* train.c */
int train(const options *o, const tare_options *args);

/* main.c: prints the library's message; returns `code`. */
int fail(int code);

#endif
