/* options.c - the command line as a table, and the defaults that depend on the data. */
#include "gan.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(options, member)
#define MOST       2147483647.0

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Data" },
    { "data", TARE_OPTION_STRING, AT(data), "fashion-mnist", "DATA",
      "fashion-mnist, mnist, a folder of pictures or of one folder per class; or points: ring8, grid25",
      .flags = TARE_OPTION_RESUME | TARE_OPTION_EVAL },
    { "size", TARE_OPTION_INT, AT(size), "32", "N", "make the pictures of a folder N x N; divisible by 8", .min = 8,
      .max = 256 },
    { "limit", TARE_OPTION_INT, AT(limit), "0", "N", "train on N samples only, the same ones for every seed; 0: all",
      .min = 0, .max = MOST },

    { .kind = TARE_OPTION_GROUP, .help = "Nets" },
    { "g-norm", TARE_OPTION_NORM, AT(g_norm), "bn", "SPEC", "normalisation in the generator: bn, in, gn:8, none, ...",
      .flags = TARE_OPTION_FIXED },
    { "d-norm", TARE_OPTION_NORM, AT(d_norm), "sn", "SPEC",
      "in the discriminator: sn, wn, ln, none, ..., or sn+in for both kinds", .flags = TARE_OPTION_FIXED },
    { "upsample", TARE_OPTION_CHOICE, AT(upsample), "transpose", "transpose|nearest|bilinear",
      "how G doubles its pictures: a transposed convolution, or this and a convolution", .flags = TARE_OPTION_FIXED },
    { "z-dim", TARE_OPTION_INT, AT(z_dim), "0", "N", "numbers that G starts from; 0: 64 for pictures, 4 for points",
      .min = 0, .max = 65536 },
    { "width", TARE_OPTION_INT, AT(width), "0", "N",
      "channels of the widest pictures, doubled at each halving; of points, of every layer; 0: 32 and 128", .min = 0,
      .max = 4096 },
    { "minibatch-stddev", TARE_OPTION_FLAG, AT(minibatch_stddev), NULL, NULL,
      "show D how much the samples of a batch differ, four at a time", .flags = TARE_OPTION_FIXED },
    { "classes", TARE_OPTION_FLAG, AT(classes), NULL, NULL,
      "tell both nets the class: conditional norms in G, a projection in D", .flags = TARE_OPTION_FIXED },

    { .kind = TARE_OPTION_GROUP, .help = "Training" },
    { "steps", TARE_OPTION_INT, AT(steps), "2000", "N", "updates of G", .min = 1, .max = 1e9,
      .flags = TARE_OPTION_RESUME },
    { "seconds", TARE_OPTION_REAL, AT(seconds), "0", "S",
      "stop after S seconds of training, measure and end the run; 0: never", .min = 0, .max = 1e9,
      .flags = TARE_OPTION_RESUME },
    { "batch", TARE_OPTION_INT, AT(batch), "0", "N", "samples in a batch; 0: 64 pictures, 256 points", .min = 0,
      .max = 1e6 },
    { "loss", TARE_OPTION_CHOICE, AT(loss), "hinge", "hinge|logistic|least_squares|wasserstein",
      "what the two minimise; logistic is the non-saturating one", .flags = TARE_OPTION_FIXED },
    { "n-dis", TARE_OPTION_INT, AT(n_dis), "1", "N", "updates of D for each of G", .min = 1, .max = 100 },
    { "lr-g", TARE_OPTION_REAL, AT(lr_g), "4e-4", "RATE", "learning rate of G (Adam)", .min = 0, .max = INFINITY },
    { "lr-d", TARE_OPTION_REAL, AT(lr_d), "4e-4", "RATE", "learning rate of D (Adam)", .min = 0, .max = INFINITY },
    { "beta1", TARE_OPTION_REAL, AT(beta1), "0", "B", "Adam's memory of the gradient, below 1", .min = 0,
      .max = 0.999999 },
    { "beta2", TARE_OPTION_REAL, AT(beta2), "0.9", "B", "and of its square", .min = 0, .max = 0.999999 },
    { "ema", TARE_OPTION_REAL, AT(ema), "0.99", "B",
      "draw from an average of G's weights that keeps this share of itself each step; 0: none", .min = 0,
      .max = 0.999999 },
    { "clip-weights", TARE_OPTION_REAL, AT(clip_weights), "0", "C",
      "keep D's weights between -C and C (wasserstein: 0.01); 0: never", .min = 0, .max = 1e3 },

    { "gp", TARE_OPTION_REAL, AT(gp), "0", "W",
      "keep D's slope near 1 between real and fake samples, with this weight: 10 (WGAN-GP); 0: not", .min = 0,
      .max = 1e6 },
    { "r1", TARE_OPTION_REAL, AT(r1), "0", "W",
      "keep D's slope small on real samples, with this weight: 0.1 to 10; 0: not", .min = 0, .max = 1e6 },

    { .kind = TARE_OPTION_GROUP, .help = "Looking" },
    { "sample-every", TARE_OPTION_INT, AT(sample_every), "200", "K",
      "every K steps draw samples, measure them, and save the run", .min = 1, .max = 1e9, .flags = TARE_OPTION_RESUME },
    { "eval-samples", TARE_OPTION_INT, AT(eval_samples), "2048", "N", "measure N samples", .min = 16, .max = 1e6,
      .flags = TARE_OPTION_RESUME | TARE_OPTION_EVAL },
    { 0 },
};

static const tare_option other_uses[] = {
    { .kind = TARE_OPTION_GROUP, .help = "With a finished run, instead of training" },
    { "eval", TARE_OPTION_STRING, AT(eval), NULL, "RUN", "measure the generator of the run in this folder",
      .flags = TARE_OPTION_LOCAL },
    { "sample", TARE_OPTION_INT, AT(sample), "0", "N", "instead draw N samples with it into the picture --png names",
      .min = 0, .max = 10000, .flags = TARE_OPTION_LOCAL },
    { "png", TARE_OPTION_STRING, AT(png), "samples.png", "FILE", "where to draw them", .flags = TARE_OPTION_LOCAL },
    { "sample-seed", TARE_OPTION_INT, AT(sample_seed), "1", "N", "which ones", .min = 0, .max = MOST,
      .flags = TARE_OPTION_LOCAL },
    { "sample-class", TARE_OPTION_INT, AT(sample_class), "-1", "K",
      "only of class K, counted from 0 (a run with --classes); -1: of all", .min = -1, .max = MOST,
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};

static int usage(void) {
    fail(EXIT_USAGE);
    fprintf(stderr, "try: tare gan --help\n");
    return EXIT_USAGE;
}

static tare_status check_uses(const tare_options *args, const options *o) {
    bool drawing = o->sample > 0 || tare_options_given(args, "png") || tare_options_given(args, "sample-seed") ||
                   o->sample_class >= 0;
    if (drawing && !o->eval) {
        return tare_fail(TARE_EINVAL, "--sample, --png, --sample-seed and --sample-class need a trained generator: "
                                      "--eval RUN, the folder of a run");
    }
    if (o->eval && (o->look.profile > 0 || o->look.memory)) {
        return tare_fail(TARE_EINVAL, "--profile and --memory look at steps of training, and --eval makes none");
    }
    if (drawing && o->sample == 0) { return tare_fail(TARE_EINVAL, "how many samples? --sample 64"); }
    return TARE_OK;
}

/* Defaults that depend on what is imitated. */
static void resolve(options *o) {
    bool points = toy_find(o->data) != NULL;
    if (o->z_dim == 0) { o->z_dim = points ? 4 : 64; }
    if (o->width == 0) { o->width = points ? 128 : 32; }
    if (o->batch == 0) { o->batch = points ? 256 : 64; }
}

/* Options that mean nothing for this data. */
static tare_status check_data(const options *o) {
    bool points = toy_find(o->data) != NULL;
    if (points && strcmp(o->upsample, "transpose") != 0) {
        return tare_fail(TARE_EINVAL, "--upsample %s: is for pictures, and %s is points", o->upsample, o->data);
    }
    if (points && o->limit > 0) {
        return tare_fail(TARE_EINVAL, "--limit: %s has no samples to keep to, its points are drawn anew all the time",
                         o->data);
    }
    if (o->size != 32 && (points || strcmp(o->data, "mnist") == 0 || strcmp(o->data, "fashion-mnist") == 0)) {
        return tare_fail(TARE_EINVAL, "--size is for a folder of pictures; %s has a size of its own", o->data);
    }
    return TARE_OK;
}

static tare_status check_values(const options *o) {
    if (o->size % 8 != 0) { return tare_fail(TARE_EINVAL, "--size %lld: must be divisible by 8", (long long)o->size); }
    if (tare_norm_uses_batch(o->d_norm) && o->batch == 1) {
        return tare_fail(TARE_EINVAL, "--d-norm %s: one sample in a batch has no variance; take --batch 2 or more",
                         o->d_norm);
    }
    if (o->gp > 0 && o->r1 > 0) { return tare_fail(TARE_EINVAL, "--gp and --r1: choose one"); }
    if ((o->gp > 0 || o->r1 > 0) && tare_norm_uses_batch(o->d_norm)) {
        return tare_fail(
            TARE_EINVAL,
            "--gp and --r1 look at each sample's slope, which --d-norm %s mixes over the batch; take ln or "
            "in",
            o->d_norm);
    }
    if (o->minibatch_stddev && o->batch > 4 && o->batch % 4 != 0) {
        return tare_fail(TARE_EINVAL,
                         "--minibatch-stddev takes four samples at a time: --batch %lld is not divisible by 4",
                         (long long)o->batch);
    }
    if (o->sample_class >= 0 && !o->classes) {
        return tare_fail(TARE_EINVAL, "--sample-class: this run was trained without --classes");
    }
    return TARE_OK;
}

/* A folder is remembered from the root, so that the run can be resumed from anywhere. */
static tare_status resolve_data(tare_options *args, const options *o) {
    bool name = strcmp(o->data, "mnist") == 0 || strcmp(o->data, "fashion-mnist") == 0 || toy_find(o->data);
    return name ? TARE_OK : tare_options_root(args, "data");
}

int options_read(tare_options *args, options *o, int argc, char **argv) {
    tare_status s = tare_options_add(args, table, o);
    if (s == TARE_OK) { s = tare_options_add(args, tare_run_options, &o->run); }
    if (s == TARE_OK) { s = tare_options_add(args, tare_profile_options, &o->look); }
    if (s == TARE_OK) { s = tare_options_add(args, other_uses, o); }
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    if (s != TARE_OK) { return usage(); }
    if (tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
        return 0;
    }
    s = check_uses(args, o);
    if (s == TARE_OK) { s = tare_run_adopt(args, &o->run, o->eval); }
    if (s == TARE_OK) {
        resolve(o);
        s = check_values(o);
    }
    if (s == TARE_OK && !o->eval) { s = check_data(o); }
    if (s == TARE_OK) { s = resolve_data(args, o); }
    return s == TARE_OK ? -1 : usage();
}
