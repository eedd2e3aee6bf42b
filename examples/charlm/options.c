/* options.c - the command line as a table, and defaults that hang on the net. */
#include "charlm.h"

#include <string.h>

#define AT(member) offsetof(options, member)

enum { CHANGES = TARE_OPTION_RESUME | TARE_OPTION_EVAL };

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Text" },
    { "text", TARE_OPTION_FILES, AT(text), NULL, "FILE",
      "UTF-8 text to learn from, the last tenth of each file held out to test on (default: Debian's fortunes); with "
      "--eval RUN: text to test on, all of it",
      .flags = TARE_OPTION_ROOTED | CHANGES },
    { "bytes", TARE_OPTION_FLAG, AT(bytes), NULL, NULL, "tokens are bytes, not characters: takes any file",
      .flags = TARE_OPTION_FIXED },
    { "eval-limit", TARE_OPTION_INT, AT(eval_limit), "0", "N", "test on the first N characters held out; 0: all",
      .min = 0, .max = 1e12, .flags = CHANGES },

    { .kind = TARE_OPTION_GROUP, .help = "Model" },
    { "arch", TARE_OPTION_CHOICE, AT(arch), "gpt", "gpt|bert|lstm|gru|rnn",
      "which net. gpt and the recurrent ones predict the next character, bert finds hidden ones",
      .flags = TARE_OPTION_FIXED },
    { "layers", TARE_OPTION_INT, AT(layers), "0", "N", "blocks, or layers of a recurrent net; 0: 4, or 1", .min = 0,
      .max = 64 },
    { "width", TARE_OPTION_INT, AT(width), "0", "N", "features of a position, or of a state; 0: 128, or 256", .min = 0,
      .max = 65536 },
    { "context", TARE_OPTION_INT, AT(context), "64", "N",
      "characters that gpt and bert see at once; that a recurrent net learns through, before it carries its state on",
      .min = 1, .max = 4096 },
    { "norm", TARE_OPTION_NORM, AT(norm), NULL, "SPEC",
      "normalisation: none, ln, rms, bn, ... (default: ln, in recurrent nets none)", .flags = TARE_OPTION_FIXED },
    { "norm-place", TARE_OPTION_CHOICE, AT(norm_place), NULL, "pre|post|cell|input",
      "before or after attention and feed-forward net (default: pre); in recurrent nets within the cell, or of the "
      "input's share alone (default: cell, for batch norms input)",
      .flags = TARE_OPTION_FIXED },
    { "dropout", TARE_OPTION_REAL, AT(dropout), "0", "P",
      "of embeddings, attention and what blocks add; of what recurrent layers give", .min = 0, .max = 0.99 },
    { "tied", TARE_OPTION_CHOICE, AT(tied), "auto", "auto|yes|no",
      "use the embedding's weights for the output too; auto: yes in gpt and bert, no in recurrent nets",
      .flags = TARE_OPTION_FIXED },

    { .kind = TARE_OPTION_GROUP, .help = "Model: gpt and bert" },
    { "heads", TARE_OPTION_INT, AT(heads), "4", "N", "of attention; they divide the width", .min = 1, .max = 1024 },
    { "ffn", TARE_OPTION_CHOICE, AT(ffn), "gelu", "gelu|gelu_tanh|relu|silu|glu|swiglu|geglu|reglu|bilinear",
      "what the feed-forward net does", .flags = TARE_OPTION_FIXED },
    { "hidden", TARE_OPTION_INT, AT(hidden), "0", "N",
      "its width; 0: 4 times --width, with gates two thirds of that rounded up to a multiple of 8", .min = 0,
      .max = 1 << 20 },
    { "positions", TARE_OPTION_CHOICE, AT(positions), "learned", "learned|sinusoidal|rotary|none",
      "how a place in the text is told", .flags = TARE_OPTION_FIXED },
    { "bias", TARE_OPTION_FLAG, AT(bias), NULL, NULL, "biases in the linear maps", .flags = TARE_OPTION_FIXED },

    { .kind = TARE_OPTION_GROUP, .help = "Model: lstm, gru and rnn" },
    { "embedding", TARE_OPTION_INT, AT(embedding), "0", "N",
      "width of a character's embedding; 0: as many as there are characters, --width at most", .min = 0, .max = 65536 },
    { "nonlinearity", TARE_OPTION_CHOICE, AT(nonlinearity), "tanh", "tanh|relu", "of rnn", .flags = TARE_OPTION_FIXED },

    { .kind = TARE_OPTION_GROUP, .help = "Training (with Adam: gpt and bert beta2 0.99, recurrent nets lr 0.002)" },
    { "steps", TARE_OPTION_INT, AT(steps), "2000", "N",
      "updates of the weights; unless --warmup says otherwise 100 of them, a twentieth of short runs, warm up",
      .min = 1, .max = 1e9, .flags = TARE_OPTION_RESUME },
    { "seconds", TARE_OPTION_REAL, AT(seconds), "0", "S",
      "stop after S seconds of training, test and end the run; 0: never", .min = 0, .max = 1e9,
      .flags = TARE_OPTION_RESUME },
    { "batch", TARE_OPTION_INT, AT(batch), "0", "N", "sequences in a batch; 0: 12, in recurrent nets 32", .min = 0,
      .max = 65536 },
    { "eval-every", TARE_OPTION_INT, AT(eval_every), "250", "K", "steps from test to test", .min = 1, .max = 1e9,
      .flags = TARE_OPTION_RESUME },
    { "log-every", TARE_OPTION_INT, AT(log_every), "10", "K", "steps from line to line in metrics.jsonl", .min = 1,
      .max = 1e9, .flags = TARE_OPTION_RESUME },
    { "memory-limit", TARE_OPTION_INT, AT(memory_limit), "0", "MIB",
      "for parameters, gradients, optimizer and step together: steps that would take more compute values again rather "
      "than keep them: the same results in more time; 0: no limit",
      .min = 0, .max = 1e9, .flags = TARE_OPTION_RESUME },
    { "recompute", TARE_OPTION_FLAG, AT(recompute), NULL, NULL,
      "gpt, bert: keep only what enters a block and compute the rest again in backward: the same results with less "
      "memory and "
      "more time",
      .flags = TARE_OPTION_RESUME },
    { "norm-stats", TARE_OPTION_INT, AT(norm_stats), "0", "K",
      "every K steps, log what each layer does to mean and variance, gradient norms and singular values; 0: never",
      .min = 0, .max = 2147483647, .flags = TARE_OPTION_RESUME },
    { 0 },
};

static const tare_option writing[] = {
    { .kind = TARE_OPTION_GROUP, .help = "Writing" },
    { "sample", TARE_OPTION_INT, AT(sample), "200", "N",
      "characters to write after each test, or with --eval RUN to the terminal", .min = 0, .max = 1e9,
      .flags = CHANGES },
    { "prompt", TARE_OPTION_STRING, AT(prompt), NULL, "TEXT",
      "what the text begins with (default: a new line); for bert, text with a _ for each character to find",
      .flags = CHANGES },
    { "temperature", TARE_OPTION_REAL, AT(temperature), "0.8", "T",
      "below 1 likelier characters get likelier still; 0: always the likeliest", .min = 0, .max = 100,
      .flags = CHANGES },
    { "top-k", TARE_OPTION_INT, AT(top_k), "0", "K", "choose among the K likeliest characters; 0: among all", .min = 0,
      .max = 2147483647, .flags = CHANGES },
    { "sample-seed", TARE_OPTION_INT, AT(sample_seed), "1", "N", "another number, another text", .min = 0,
      .max = 9007199254740992.0, .flags = CHANGES },
    { .kind = TARE_OPTION_GROUP, .help = "With a finished run, instead of training" },
    { "eval", TARE_OPTION_STRING, AT(eval), NULL, "RUN",
      "test the model of the run in this folder; with --sample or --prompt, let it write", .flags = TARE_OPTION_LOCAL },
    { 0 },
};

bool is_bert(const options *o) { return strcmp(o->arch, "bert") == 0; }
bool is_recurrent(const options *o) { return strcmp(o->arch, "gpt") != 0 && !is_bert(o); }

static int usage(void) {
    fail(EXIT_USAGE);
    fprintf(stderr, "try: tare charlm --help\n");
    return EXIT_USAGE;
}

/* ---- what goes together ------------------------------------------------------------------------------------------ */

/* Options that the chosen net has no use for. */
static tare_status check_arch(const tare_options *args, const options *o) {
    static const char *const theirs[] = { "recompute", "heads", "ffn", "hidden", "positions", "bias" };
    static const char *const ours[] = { "embedding", "nonlinearity" };
    bool recurrent = is_recurrent(o), transformer_place = strcmp(o->norm_place, "pre") == 0;
    transformer_place = transformer_place || strcmp(o->norm_place, "post") == 0;
    for (size_t i = 0; recurrent && i < sizeof theirs / sizeof *theirs; i++) {
        if (tare_options_given(args, theirs[i])) {
            return tare_fail(TARE_EINVAL, "--%s: %s has none; gpt and bert do", theirs[i], o->arch);
        }
    }
    for (size_t i = 0; !recurrent && i < sizeof ours / sizeof *ours; i++) {
        if (tare_options_given(args, ours[i])) {
            return tare_fail(TARE_EINVAL, "--%s: %s has none; recurrent nets do", ours[i], o->arch);
        }
    }
    if (strcmp(o->arch, "rnn") != 0 && tare_options_given(args, "nonlinearity")) {
        return tare_fail(TARE_EINVAL, "--nonlinearity: the gates of %s fix it; rnn has a choice", o->arch);
    }
    if (recurrent == transformer_place) {
        return tare_fail(TARE_EINVAL, "--norm-place %s: %s takes %s", o->norm_place, o->arch,
                         recurrent ? "cell or input" : "pre or post");
    }
    return TARE_OK;
}

static tare_status check_sizes(const options *o) {
    if (!is_recurrent(o) && o->width % o->heads != 0) {
        return tare_fail(TARE_EINVAL, "--heads %lld do not divide --width %lld: each head takes as many features",
                         (long long)o->heads, (long long)o->width);
    }
    if (is_recurrent(o) && o->layers > 8) {
        return tare_fail(TARE_EINVAL, "--layers %lld: recurrent nets have 8 at most", (long long)o->layers);
    }
    if (is_recurrent(o) && strcmp(o->tied, "yes") == 0 && o->embedding != o->width) {
        return tare_fail(TARE_EINVAL, "--tied yes needs an --embedding as wide as --width %lld", (long long)o->width);
    }
    return TARE_OK;
}

static tare_status check_writing(const tare_options *args, options *o) {
    static const char *const writes[] = { "temperature", "top-k", "sample-seed" };
    o->write = tare_options_given(args, "sample") || tare_options_given(args, "prompt");
    o->other_text = tare_options_given(args, "text");
    if (!o->eval) { return TARE_OK; }
    for (size_t i = 0; !o->write && i < sizeof writes / sizeof *writes; i++) {
        if (tare_options_given(args, writes[i])) {
            return tare_fail(TARE_EINVAL, "--%s is for writing: add --sample N or --prompt TEXT", writes[i]);
        }
    }
    if (o->write && tare_options_given(args, "eval-limit")) {
        return tare_fail(TARE_EINVAL, "--eval-limit is to test, --sample and --prompt are to write: choose one");
    }
    if (o->write && o->other_text) {
        return tare_fail(TARE_EINVAL, "--text is to test on, --sample and --prompt are to write: choose one");
    }
    if (o->write && o->sample == 0 && !tare_options_given(args, "sample")) { o->sample = 500; }
    if (o->write && is_bert(o) && !(o->prompt && strchr(o->prompt, '_'))) {
        return tare_fail(TARE_EINVAL, "bert fills gaps: --prompt TEXT with a _ for each character to find");
    }
    return TARE_OK;
}

/* ---- defaults ---------------------------------------------------------------------------------------------------- */

/* nanoGPT's small setting for gpt and bert (github.com/karpathy/nanoGPT, the CPU run of its README), one layer of 256 for the
 * others. */
static void resolve_model(options *o) {
    bool recurrent = is_recurrent(o);
    if (o->layers == 0) { o->layers = recurrent ? 1 : 4; }
    if (o->width == 0) { o->width = recurrent ? 256 : 128; }
    if (o->batch == 0) { o->batch = recurrent ? 32 : 12; }
    if (recurrent && strcmp(o->tied, "yes") == 0 && o->embedding == 0) { o->embedding = o->width; }
    if (!o->norm) { o->norm = recurrent ? "none" : "ln"; }
    if (!o->norm_place) { o->norm_place = !recurrent ? "pre" : tare_norm_uses_batch(o->norm) ? "input" : "cell"; }
}

static bool is_adam(const options *o) { return strncmp(o->learn.optimizer, "adam", 4) == 0; }

/* For a new run; one that is resumed has them in its config.json. */
static void resolve_learning(const tare_options *args, options *o) {
    tare_learn_opt *l = &o->learn;
    bool rate = tare_options_given(args, "lr");
    if (!rate && is_adam(o) && is_recurrent(o)) { l->lr = 2e-3; }
    if (!tare_options_given(args, "beta2") && is_adam(o) && !is_recurrent(o)) { l->beta2 = 0.99; }
    if (!tare_options_given(args, "warmup") && l->warmup > o->steps / 20) { l->warmup = o->steps / 20; }
    if (!tare_options_given(args, "schedule") && rate && l->lr < 1e-4) { l->schedule = "cosine"; }
}

static tare_status resolve(const tare_options *args, options *o) {
    bool fresh = !o->run.resume && !o->eval;
    resolve_model(o);
    if (fresh) { resolve_learning(args, o); }
    bool rate = tare_options_given(args, "lr") || !fresh || o->learn.lr > 0;
    tare_status s = tare_learn_resolve(&o->learn, rate);
    if (s == TARE_OK) { s = check_arch(args, o); }
    if (s == TARE_OK) { s = check_sizes(o); }
    return s == TARE_OK ? check_writing(args, o) : s;
}

static tare_status add_tables(tare_options *args, options *o) {
    tare_status s = tare_options_add(args, table, o);
    if (s == TARE_OK) { s = tare_options_add(args, tare_learn_options, &o->learn); }
    if (s == TARE_OK) { s = tare_options_add(args, tare_run_options, &o->run); }
    if (s == TARE_OK) { s = tare_options_add(args, tare_profile_options, &o->look); }
    if (s == TARE_OK) { s = tare_options_add(args, writing, o); }
    if (s == TARE_OK) { s = tare_options_default(args, "schedule", "cosine:min=1e-4"); }
    if (s == TARE_OK) { s = tare_options_default(args, "warmup", "100"); }
    /* What is resolved later is no fixed default: the command that repeats a run always says it. */
    if (s == TARE_OK) { s = tare_options_default(args, "warmup", NULL); }
    if (s == TARE_OK) { s = tare_options_default(args, "beta2", NULL); }
    if (s == TARE_OK) { s = tare_options_default(args, "weight-decay", "0.1"); }
    return s == TARE_OK ? tare_options_default(args, "clip", "1") : s;
}

int options_read(tare_options *args, options *o, int argc, char **argv) {
    tare_status s = add_tables(args, o);
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    if (s != TARE_OK) { return usage(); }
    if (tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
        return 0;
    }
    s = tare_run_adopt(args, &o->run, o->eval);
    if (s == TARE_OK) { s = resolve(args, o); }
    return s == TARE_OK ? -1 : usage();
}
