/* options.c - the command line as a table. */
#include "mnist.h"

#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(options, member)

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Data" },
    { "data", TARE_OPTION_STRING, AT(data), "fashion-mnist", "DATA",
      "fashion-mnist, mnist, or a folder: IDX files, or images in one folder per class",
      .flags = TARE_OPTION_RESUME | TARE_OPTION_EVAL },
    { "augment", TARE_OPTION_CHOICE, AT(augment), "none", "none|shift|flip|both",
      "move training images by up to 2 pixels, mirror them, or both", .flags = TARE_OPTION_FIXED },
    { "limit", TARE_OPTION_INT, AT(limit), "0", "N", "train on N images only, the same ones for every seed; 0: all",
      .min = 0, .max = 2147483647 },
    { "test-limit", TARE_OPTION_INT, AT(test_limit), "0", "N", "test on N images only; 0: all", .min = 0,
      .max = 2147483647, .flags = TARE_OPTION_EVAL },

    { .kind = TARE_OPTION_GROUP, .help = "Model" },
    { "arch", TARE_OPTION_CHOICE, AT(arch), "cnn", "mlp|cnn|resnet20", "which net", .flags = TARE_OPTION_FIXED },
    { "norm", TARE_OPTION_NORM, AT(norm), "bn", "SPEC",
      "normalisation: none, bn, ln, in, gn, gn:8, bn:batch=8,eps=1e-3, ...", .flags = TARE_OPTION_FIXED },
    { "dropout", TARE_OPTION_REAL, AT(dropout), "0", "P", "probability of dropping a value before the last layer",
      .min = 0, .max = 0.99 },

    { .kind = TARE_OPTION_GROUP, .help = "Training" },
    { "epochs", TARE_OPTION_INT, AT(epochs), "3", "N", "passes over the training images", .min = 1, .max = 1e6,
      .flags = TARE_OPTION_RESUME },
    { "steps", TARE_OPTION_INT, AT(steps), "0", "N", "updates of the weights, in place of --epochs; 0: whole epochs",
      .min = 0, .max = 1e12 },
    { "seconds", TARE_OPTION_REAL, AT(seconds), "0", "S",
      "stop after S seconds of training, test and end the run; 0: never", .min = 0, .max = 1e9,
      .flags = TARE_OPTION_RESUME },
    { "batch", TARE_OPTION_INT, AT(batch), "64", "N", "images in a batch", .min = 1, .max = 1e6 },
    { "accumulate", TARE_OPTION_INT, AT(accumulate), "1", "K", "batches whose gradients make one update", .min = 1,
      .max = 1e6 },
    { "memory-limit", TARE_OPTION_INT, AT(memory_limit), "0", "MIB",
      "for parameters, gradients, optimizer and step together: steps that would take more compute values again rather "
      "than keep them: the same results in more time; 0: no limit",
      .min = 0, .max = 1e9, .flags = TARE_OPTION_RESUME },
    { "recompute", TARE_OPTION_FLAG, AT(recompute), NULL, NULL,
      "cnn, resnet20: keep only what enters a block and compute the rest again in backward: the same results with less "
      "memory "
      "and more time",
      .flags = TARE_OPTION_RESUME },
    { "label-smoothing", TARE_OPTION_REAL, AT(label_smoothing), "0", "S", "share of the loss spread over all classes",
      .min = 0, .max = 1 },
    { "eval-every", TARE_OPTION_INT, AT(eval_every), "0", "K",
      "test every K steps too, not after each epoch alone; 0: never", .min = 0, .max = 1e12,
      .flags = TARE_OPTION_RESUME },
    { "norm-stats", TARE_OPTION_INT, AT(norm_stats), "0", "K",
      "every K steps, log what each layer does to mean and variance, gradient norms and singular values; 0: never",
      .min = 0, .max = 2147483647, .flags = TARE_OPTION_RESUME },

    { .kind = TARE_OPTION_GROUP, .help = "Testing, at the end" },
    { "test-norm-batch", TARE_OPTION_INT, AT(test_norm_batch), "256", "N",
      "images in a batch where batch norm is tested with each batch's own statistics; 1: each image's own", .min = 1,
      .max = 1e6, .flags = TARE_OPTION_RESUME | TARE_OPTION_EVAL },
    { "test-contrast", TARE_OPTION_REAL, AT(test_contrast), "1", "C",
      "test once more on images with C times the contrast; 1: no such test", .min = 0, .max = 100,
      .flags = TARE_OPTION_RESUME },
    { 0 },
};

static const tare_option other_uses[] = {
    { .kind = TARE_OPTION_GROUP, .help = "With a finished run, instead of training" },
    { "eval", TARE_OPTION_STRING, AT(eval), NULL, "RUN", "test the model of the run in this folder",
      .flags = TARE_OPTION_LOCAL },
    { "predict", TARE_OPTION_FILES, AT(predict), NULL, "FILE",
      "with --eval RUN: classify these PNG, JPEG or BMP images. They are made the size and colours of the training "
      "images, nothing else: MNIST's "
      "digits are light on dark, so should yours be",
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};

static int usage(void) {
    fail(EXIT_USAGE);
    fprintf(stderr, "try: tare mnist --help\n");
    return EXIT_USAGE;
}

static tare_status check_combination(options *o) {
    if (o->predict.count > 0 && !o->eval) { /* --resume RUN names a run just as well */
        o->eval = o->run.resume;
        o->run.resume = NULL;
    }
    if (o->predict.count > 0 && !o->eval) {
        return tare_fail(TARE_EINVAL, "--predict needs a trained model: --eval RUN, the folder of a finished run");
    }
    return TARE_OK;
}

/* A folder is remembered from the root, so that the run can be resumed from anywhere. */
static tare_status resolve_data(tare_options *args, const options *o) {
    bool name = strcmp(o->data, "mnist") == 0 || strcmp(o->data, "fashion-mnist") == 0;
    return name ? TARE_OK : tare_options_root(args, "data");
}

int options_read(tare_options *args, options *o, int argc, char **argv) {
    tare_status s = tare_options_add(args, table, o);
    if (s == TARE_OK) { s = tare_options_add(args, tare_learn_options, &o->learn); }
    if (s == TARE_OK) { s = tare_options_add(args, tare_run_options, &o->run); }
    if (s == TARE_OK) { s = tare_options_add(args, tare_profile_options, &o->look); }
    if (s == TARE_OK) { s = tare_options_add(args, other_uses, o); }
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    if (s != TARE_OK) { return usage(); }
    if (tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
        return 0;
    }
    s = check_combination(o);
    if (s == TARE_OK) { s = tare_run_adopt(args, &o->run, o->eval); }
    if (s == TARE_OK && o->steps > 0 && tare_options_given(args, "epochs")) {
        s = tare_fail(TARE_EINVAL, "--steps and --epochs: choose one");
    }
    bool has_rate = tare_options_given(args, "lr") || o->run.resume || o->eval;
    if (s == TARE_OK) { s = tare_learn_resolve(&o->learn, has_rate); }
    if (s == TARE_OK) { s = resolve_data(args, o); }
    return s == TARE_OK ? -1 : usage();
}
