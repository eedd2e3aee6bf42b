/* shared_options.c - the options that training programs have in common, and what they make. */
#include <tare/run.h>

#include <math.h>
#include <string.h>

/* ---- the run ----------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(tare_run_opt, member)
const tare_option tare_run_options[] = {
    { .kind = TARE_OPTION_GROUP, .help = "The run" },
    { "out", TARE_OPTION_STRING, AT(out), NULL, "DIR",
      "the run's folder (default: runs/ and a name made of options and time)", .flags = TARE_OPTION_LOCAL },
    { "resume", TARE_OPTION_STRING, AT(resume), NULL, "DIR",
      "go on with the run in this folder, with its own options, from where it was saved", .flags = TARE_OPTION_LOCAL },
    { "force", TARE_OPTION_FLAG, AT(force), NULL, NULL, "clear a run that is in the folder already",
      .flags = TARE_OPTION_LOCAL },
    { "seed", TARE_OPTION_INT, AT(seed), "1", "N", "decides initial weights, order of data, dropout, augmentation",
      .min = 0, .max = 9007199254740992.0 },
    { "threads", TARE_OPTION_INT, AT(threads), "0", "N",
      "threads to work with; 0: one per core. Results do not depend on it", .min = 0, .max = 256,
      .flags = TARE_OPTION_RESUME | TARE_OPTION_EVAL },
    { "dry-run", TARE_OPTION_FLAG, AT(dry_run), NULL, NULL,
      "show options, model and memory of a step; train and write nothing", .flags = TARE_OPTION_LOCAL },
    { "quiet", TARE_OPTION_FLAG, AT(quiet), NULL, NULL, "print errors alone", .flags = TARE_OPTION_LOCAL },
    { "plugin", TARE_OPTION_PLUGINS, AT(plugin), NULL, "FILE",
      "shared objects that bring norms or optimizers of their own (docs/extending.md)",
      .flags = TARE_OPTION_RESUME | TARE_OPTION_EVAL },
    { "json", TARE_OPTION_FLAG, AT(json), NULL, NULL, "print events as JSON lines, as metrics.jsonl has them",
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};
#undef AT

tare_status tare_run_adopt(tare_options *o, const tare_run_opt *opt, const char *eval) {
    if (opt->resume && eval) { return tare_fail(TARE_EINVAL, "--resume trains and --eval tests: choose one"); }
    if (eval && (opt->out || opt->force || opt->dry_run)) {
        return tare_fail(TARE_EINVAL, "--eval writes nothing: --out, --force, --dry-run do not go with it");
    }
    if (eval && (tare_options_given(o, "profile") || tare_options_given(o, "memory"))) {
        return tare_fail(TARE_EINVAL, "--profile and --memory look at steps of training: --eval makes none");
    }
    if (opt->resume && (opt->out || opt->force)) {
        return tare_fail(TARE_EINVAL, "--resume goes on in the run's own folder: --out and --force do not go with it");
    }
    const char *folder = opt->resume ? opt->resume : eval;
    if (!folder) { return TARE_OK; }
    char path[4096];
    snprintf(path, sizeof path, "%s/config.json", folder);
    return tare_options_adopt(o, path, opt->resume ? TARE_OPTION_RESUME : TARE_OPTION_EVAL);
}

/* ---- looking into a step ------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(tare_profile_opt, member)
const tare_option tare_profile_options[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Time and memory" },
    { "profile", TARE_OPTION_INT, AT(profile), "0", "N",
      "after a few steps, time N of them and show where the time goes, op by op; 0: never", .min = 0, .max = 1e6,
      .flags = TARE_OPTION_LOCAL },
    { "memory", TARE_OPTION_FLAG, AT(memory), NULL, NULL, "show where the memory of a step goes, layer by layer",
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};
#undef AT

/* ---- learning ---------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(tare_learn_opt, member)
const tare_option tare_learn_options[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Learning" },
    { "optimizer", TARE_OPTION_STRING, AT(optimizer), "adamw", "NAME",
      "sgd, adam, adamw, rmsprop, or one of a plugin's", .flags = TARE_OPTION_FIXED },
    { "lr", TARE_OPTION_REAL, AT(lr), NULL, "RATE",
      "the highest learning rate (default: the optimizer's own, 0.001; rmsprop 0.01)", .min = 0, .max = INFINITY },
    { "momentum", TARE_OPTION_REAL, AT(momentum), "0", "M", "of sgd and rmsprop", .min = 0, .max = 1 },
    { "beta1", TARE_OPTION_REAL, AT(beta1), "0.9", "B", "decay of the mean gradient in adam and adamw", .min = 0,
      .max = 1 },
    { "beta2", TARE_OPTION_REAL, AT(beta2), "0.999", "B", "decay of the mean squared gradient in adam and adamw",
      .min = 0, .max = 1 },
    { "schedule", TARE_OPTION_STRING, AT(schedule), "cosine", "SPEC",
      "how the rate goes down: constant, step, cosine, linear; with options as cosine:min=1e-5 or "
      "step:every=0.3,gamma=0.1",
      .flags = TARE_OPTION_FIXED },
    { "warmup", TARE_OPTION_INT, AT(warmup), "0", "STEPS", "steps over which the rate rises first", .min = 0,
      .max = 1e12 },
    { "weight-decay", TARE_OPTION_REAL, AT(weight_decay), "0", "D", "weight decay; norms and biases are passed over",
      .min = 0, .max = INFINITY },
    { "clip", TARE_OPTION_REAL, AT(clip), "0", "NORM", "clip the gradient's global norm; 0: never", .min = 0,
      .max = INFINITY },
    { 0 },
};
#undef AT

static bool has_betas(const char *optimizer) {
    return strcmp(optimizer, "adam") == 0 || strcmp(optimizer, "adamw") == 0;
}

static bool has_momentum(const char *optimizer) {
    return strcmp(optimizer, "sgd") == 0 || strcmp(optimizer, "rmsprop") == 0;
}

static tare_status unknown_optimizer(const char *name) {
    const char *list[64];
    int64_t count = 0;
    char known[512] = "";
    const tare_optim_class *cls;
    for (int i = 0; count < 64 && (cls = tare_optim_class_at(i)); i++) {
        list[count++] = cls->name;
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", cls->name);
    }
    const char *near = tare_nearest(name, list, count);
    return tare_fail(TARE_EINVAL, "--optimizer: \"%s\" is not one of %s%s%s%s", name, known,
                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

tare_status tare_learn_resolve(tare_learn_opt *opt, bool lr_given) {
    const tare_optim_class *cls = tare_optim_class_find(opt->optimizer);
    if (!cls) { return unknown_optimizer(opt->optimizer); }
    if (!lr_given) { opt->lr = cls->lr; }
    if (opt->momentum > 0 && !has_momentum(opt->optimizer)) {
        return tare_fail(TARE_EINVAL, "--momentum: %s has none; sgd and rmsprop do", opt->optimizer);
    }
    if (!has_betas(opt->optimizer) && !(opt->beta1 == 0.9 && opt->beta2 == 0.999)) {
        return tare_fail(TARE_EINVAL, "--beta1, --beta2: %s has none; adam and adamw do", opt->optimizer);
    }
    tare_schedule s = { 0 };
    tare_status status = tare_schedule_parse(&s, opt->schedule);
    if (status != TARE_OK) {
        const char *why = tare_error();
        return tare_fail(status, "--schedule: %s", strncmp(why, "schedule: ", 10) == 0 ? why + 10 : why);
    }
    if (s.min > opt->lr) {
        return tare_fail(TARE_EINVAL, "--schedule: min is %g, above the rate %g that it comes down from", s.min,
                         opt->lr);
    }
    if (s.warmup > 0 && opt->warmup > 0) {
        return tare_fail(TARE_EINVAL, "--warmup and a warmup in --schedule: choose one");
    }
    return TARE_OK;
}

/* 0 is a value on the command line, and "the default" in an option struct. */
static double meant(double value) { return value == 0 ? TARE_ZERO : value; }

tare_optim *tare_learn_optim(const tare_learn_opt *opt, tare_params *ps) {
    double lr = meant(opt->lr);
    if (strcmp(opt->optimizer, "sgd") == 0) {
        return tare_sgd_new(ps,
                            (tare_sgd_opt){ .lr = lr, .momentum = opt->momentum, .weight_decay = opt->weight_decay });
    }
    if (strcmp(opt->optimizer, "rmsprop") == 0) {
        return tare_rmsprop_new(
            ps, (tare_rmsprop_opt){ .lr = lr, .momentum = opt->momentum, .weight_decay = opt->weight_decay });
    }
    if (has_betas(opt->optimizer)) {
        tare_adam_opt adam = {
            .lr = lr, .beta1 = meant(opt->beta1), .beta2 = meant(opt->beta2), .weight_decay = opt->weight_decay
        };
        return strcmp(opt->optimizer, "adam") == 0 ? tare_adam_new(ps, adam) : tare_adamw_new(ps, adam);
    }
    const tare_optim_class *cls = tare_optim_class_find(opt->optimizer);
    if (!cls) {
        unknown_optimizer(opt->optimizer);
        return NULL;
    }
    return tare_optim_new(ps, cls, (tare_optim_opt){ .lr = lr, .weight_decay = opt->weight_decay });
}

tare_status tare_learn_schedule(const tare_learn_opt *opt, int64_t steps, tare_schedule *out) {
    tare_schedule s = { .lr = opt->lr, .steps = steps, .warmup = opt->warmup };
    tare_status status = tare_schedule_parse(&s, opt->schedule);
    if (status != TARE_OK) { return status; }
    if (s.warmup > steps) {
        return tare_fail(TARE_EINVAL, "--warmup: %lld steps, but the run has %lld in all", (long long)s.warmup,
                         (long long)steps);
    }
    status = tare_schedule_check(&s);
    if (status == TARE_OK) { *out = s; }
    return status;
}
