/* tare/run.h - what every training program shares: options, run folder, progress, stopping, checkpoint and resume.
 *
 * Pieces, not a framework: a program keeps its own training loop and calls what it needs (examples/mnist is the tour).
 * Nothing here exits, and nothing writes to a stream but those it is handed.
 */
#ifndef TARE_RUN_H
#define TARE_RUN_H

#include <stdio.h>

#include <tare/data.h>
#include <tare/io.h>
#include <tare/norms.h>
#include <tare/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options ----------------------------------------------------------------------------------------------------- */

typedef enum tare_option_kind {
    TARE_OPTION_GROUP,  /* no option: `help` is a heading for those that follow */
    TARE_OPTION_FLAG,   /* bool          --quiet, --quiet=no */
    TARE_OPTION_INT,    /* int64_t       from min to max */
    TARE_OPTION_REAL,   /* double        finite, from min to max */
    TARE_OPTION_STRING, /* const char *  NULL where neither given nor defaulted */
    TARE_OPTION_CHOICE, /* const char *  one of `what`, "sgd|adam|adamw" */
    TARE_OPTION_NORM,   /* const char *  a norm spec that tare_norm_check accepts, "gn:8" */
    TARE_OPTION_FILES,  /* tare_files    all words up to the next option; named "": words before and between options */
    TARE_OPTION_PLUGINS, /* tare_files   the same, and opens each with tare_plugin_open, before any other option is read, so
                          *              that a norm may be one of theirs; the names become absolute paths */
} tare_option_kind;

typedef struct tare_files {
    int64_t count;
    const char **name;
} tare_files;

enum {
    TARE_OPTION_FIXED = 0,  /* belongs to the run for good */
    TARE_OPTION_LOCAL = 1,  /* concerns this call alone: not written to config.json, not read back */
    TARE_OPTION_RESUME = 2, /* a resumed run may change it */
    TARE_OPTION_EVAL = 4,   /* evaluation of a finished run may change it */
    TARE_OPTION_ROOTED = 8, /* files: names become absolute paths, so that a run can go on from any folder */
};

/* tare_option - one row of a program's table of options. */
typedef struct tare_option {
    const char *name; /* "batch" for --batch */
    tare_option_kind kind;
    size_t at;            /* offsetof its value in the program's struct */
    const char *fallback; /* the default, written as a user would; NULL: 0, false, NULL, no files */
    const char *what;     /* what stands for the value in the help: "N", "DIR"; the choices of a choice */
    const char *help;     /* one sentence; wrapped to 80 columns */
    double min, max;      /* of a number; both 0: any */
    unsigned flags;
} tare_option;

typedef struct tare_options tare_options;

/* In front of the text for tare_options_new: `tare` finds it in the program's file and lists it, without running it. A
 * script says the same in a comment:  # tare-describe: one line. A "-" in front of the line keeps it off the list. */
#define TARE_DESCRIBE "tare-describe: "

/* tare_options_new - a parser for the program `name` ("mnist"); `about` is its one-line description. NULL: TARE_ENOMEM. */
TARE_API tare_options *tare_options_new(const char *name, const char *about);
/* tare_options_free - frees the strings that parsed values point to as well. */
TARE_API void tare_options_free(tare_options *o);
/* tare_options_add - the rows of `table` (up to the one whose help is NULL), their values in *values, set to defaults now.
 * Call it for each table, in the order the help shows them.
 *   errors  TARE_EEXIST: name taken;  TARE_EINVAL: a default that is not allowed;  TARE_ENOMEM */
TARE_API tare_status tare_options_add(tare_options *o, const tare_option *table, void *values);
/* tare_options_default - another default for an option of a shared table, before parsing. */
TARE_API tare_status tare_options_default(tare_options *o, const char *name, const char *text);

/* tare_options_parse - read the command line. --help, --version and --describe are understood by themselves.
 *   errors  TARE_EINVAL: unknown option (the message has the nearest one), a value missing or not allowed (the message
 *           names option, value and what is allowed) */
TARE_API tare_status tare_options_parse(tare_options *o, int argc, char **argv);
/* tare_options_text - what --help, --version or --describe asks to print; NULL where none was given. */
TARE_API const char *tare_options_text(const tare_options *o);
/* tare_options_given - did the command line name this option? */
TARE_API bool tare_options_given(const tare_options *o, const char *name);
/* tare_options_root - make the value of a string option, a path, absolute, so that the run can go on from any folder. A path that
 * leads nowhere stays as it is, for the message that will follow.
 *   errors  TARE_EINVAL: no string option of that name;  TARE_ENOMEM */
TARE_API tare_status tare_options_root(tare_options *o, const char *name);

/* tare_options_json - all values but local ones as one JSON object, a line for each; tare_free it. NULL: TARE_ENOMEM. */
TARE_API char *tare_options_json(const tare_options *o);
/* tare_options_command - the command line that gives these values again, quoted for a shell; tare_free it. */
TARE_API char *tare_options_command(const tare_options *o);
/* tare_options_adopt - take the values that a run's config.json holds ("options" in the file at `path`) for whatever the
 * command line did not give.
 *   may     TARE_OPTION_RESUME or TARE_OPTION_EVAL: options with this flag may be given anew
 *   errors  TARE_ENOENT, TARE_EIO, TARE_EFORMAT;  TARE_EMISMATCH: the file is another program's;  TARE_EINVAL: the command
 *           line gives a fixed option another value, or the file holds one that is not known or not allowed */
TARE_API tare_status tare_options_adopt(tare_options *o, const char *path, unsigned may);

/* tare_nearest - the word of the list that `word` is most likely a misspelling of, or NULL (Damerau-Levenshtein). */
TARE_API const char *tare_nearest(const char *word, const char *const *list, int64_t count);

/* ---- options that programs share --------------------------------------------------------------------------------- */

/* The run itself: --plugin --out --resume --force --seed --threads --dry-run --quiet --json */
typedef struct tare_run_opt {
    const char *out, *resume;
    bool force, dry_run, quiet, json;
    int64_t seed, threads;
    tare_files plugin;
} tare_run_opt;
TARE_API extern const tare_option tare_run_options[];

/* tare_run_adopt - after parsing, for a program that trains, resumes (opt->resume) and looks at finished runs (`eval`, the folder
 * of one, or NULL): check that what was given goes together, and take over the options of the run that is named.
 *   errors  TARE_EINVAL: both, or --out, --force or --dry-run beside one of them;  those of tare_options_adopt */
TARE_API tare_status tare_run_adopt(tare_options *o, const tare_run_opt *opt, const char *eval);

/* How to learn: --optimizer --lr --momentum --beta1 --beta2 --schedule --warmup --weight-decay --clip */
typedef struct tare_learn_opt {
    const char *optimizer, *schedule;
    double lr, momentum, beta1, beta2, weight_decay, clip;
    int64_t warmup;
} tare_learn_opt;
TARE_API extern const tare_option tare_learn_options[];
/* tare_learn_resolve - after parsing: put the optimizer's own rate unless one was given, and check what goes with what.
 *   errors  TARE_EINVAL: an unknown optimizer, a schedule that does not parse, momentum or betas for an optimizer that has none */
TARE_API tare_status tare_learn_resolve(tare_learn_opt *opt, bool lr_given);
/* tare_learn_optim - the optimizer these options describe; NULL with tare_error(). */
TARE_API tare_optim *tare_learn_optim(const tare_learn_opt *opt, tare_params *ps);
/* tare_learn_schedule - the schedule they describe over a run of `steps`.  errors  TARE_EINVAL: warm-up longer than that */
TARE_API tare_status tare_learn_schedule(const tare_learn_opt *opt, int64_t steps, tare_schedule *out);

/* ---- the machine ------------------------------------------------------------------------------------------------- */

typedef struct tare_machine {
    char cpu[80];    /* as the system names it */
    int cores;       /* that this process may use */
    int threads;     /* that Tare uses */
    const char *isa; /* the level of its kernels: "avx512" */
    char blas[160];  /* OpenBLAS's own description of itself */
    int64_t memory;  /* bytes of RAM; 0: unknown */
} tare_machine;
TARE_API void tare_machine_get(tare_machine *machine);
/* tare_peak_memory - most bytes of RAM that this process has held at once; 0: unknown. */
TARE_API int64_t tare_peak_memory(void);

/* tare_peak - the most that the machine does on `threads` threads, a second: multiply-adds at the level of Tare's kernels, each
 * two floating-point operations, and bytes read plus bytes written by copies that fit each core's own cache (half a MiB a
 * thread), the shared one (16 MiB), or neither (256 MiB). */
typedef struct tare_peak {
    int threads;
    double flops, copy_near, copy_middle, copy_far;
} tare_peak;
/* tare_peak_measure - measure it on all of tare_threads(), for about `seconds`.   errors  TARE_ENOMEM */
TARE_API tare_status tare_peak_measure(tare_peak *peak, double seconds);
/* tare_peak_copy - the copy bandwidth of the smallest of those places that holds `bytes`. */
TARE_API double tare_peak_copy(const tare_peak *peak, double bytes);

/* ---- a run is a folder ------------------------------------------------------------------------------------------- */

/* config.json (every option, resolved; machine, versions, the command that repeats it), metrics.jsonl (one JSON object per
 * event, appended), last.safetensors and best.safetensors; for the report summary.txt, and confusion.json of classifiers. */
typedef struct tare_run tare_run;

/* tare_run_open - make the folder and write config.json, or open it again to resume. A resumed run's config.json is written
 * anew with its first event: what fails before that leaves the folder as it was.
 *   opt.resume: that folder;  opt.out: that one;  else runs/<program>-<hint>-<time>
 *   errors  TARE_EEXIST: the folder holds something (opt.force clears the run in it), or another process is in it;
 *           TARE_ENOENT: nothing there to resume;  TARE_EIO;  TARE_ENOMEM.   *run is NULL then */
TARE_API tare_status tare_run_open(tare_run **run, const tare_options *o, const tare_run_opt *opt, const char *hint);
TARE_API void tare_run_close(tare_run *run);
TARE_API const char *tare_run_folder(const tare_run *run);
/* tare_run_word - the folder as a shell takes it, quoted where its name has spaces: for commands to type next. */
TARE_API const char *tare_run_word(const tare_run *run);
/* tare_run_path - a file in the folder; the text belongs to run and stays until it has been asked for four more. */
TARE_API const char *tare_run_path(tare_run *run, const char *file);
/* tare_run_write - a text file of the folder, replaced whole or not at all. The report shows summary.txt, which should be what
 * tare_summary says of the model.
 *   errors  TARE_EIO;  TARE_ENOMEM */
TARE_API tare_status tare_run_write(tare_run *run, const char *file, const char *text);
/* tare_run_echo - write each event to `stream` too (--json); NULL: no more. */
TARE_API void tare_run_echo(tare_run *run, FILE *stream);

/* tare_field - one member of an event: `text`, or `count` numbers from `list`, or `number` (NaN and Inf become null). */
typedef struct tare_field {
    const char *name;
    double number;
    const char *text;
    const double *list;
    int64_t count;
} tare_field;

/* tare_event - one line of JSON, {"event":"epoch","loss":0.25,...}; tare_free it. NULL: TARE_ENOMEM. */
TARE_API char *tare_event(const char *event, const tare_field *fields);
/* tare_event_print - the same line on `stream`. */
TARE_API void tare_event_print(FILE *stream, const char *event, const tare_field *fields);
/* tare_run_log - append that line to metrics.jsonl, on disk when it returns to the extent that write(2) promises.
 *     tare_run_log(run, "epoch", TARE_FIELDS(TARE_NUMBER("epoch", 3), TARE_NUMBER("loss", 0.25)));
 *   errors  TARE_EIO: the disk is full;  TARE_ENOMEM */
TARE_API tare_status tare_run_log(tare_run *run, const char *event, const tare_field *fields);
/* tare_run_resumed - the first event of a resumed run, {"event":"resume","step":step}. A run that was killed may have logged steps
 * that its checkpoint, of `step`, knows nothing of and that are now made again: metrics.jsonl is cut off before the first event
 * with a larger "step", so that each is there once.
 *   errors  as tare_run_log */
TARE_API tare_status tare_run_resumed(tare_run *run, int64_t step);
#define TARE_FIELDS(...) ((const tare_field[]){ __VA_ARGS__, { NULL, 0, NULL, NULL, 0 } })
#define TARE_NUMBER(name, value)                                                                                       \
    { name, (double)(value), NULL, NULL, 0 }
#define TARE_TEXT(name, text)                                                                                          \
    { name, 0, text, NULL, 0 }
#define TARE_LIST(name, list, count)                                                                                   \
    { name, 0, NULL, list, count }

/* tare_confusion - which class a classifier took for which, and the 16 mistakes that it was surest of; for confusion.json. */
typedef struct tare_confusion tare_confusion;
TARE_API tare_confusion *tare_confusion_new(int64_t classes); /* NULL: TARE_ENOMEM */
TARE_API void tare_confusion_free(tare_confusion *c);
TARE_API void tare_confusion_reset(tare_confusion *c);
/* tare_confusion_add - n rows of logits [n, classes] and their labels; row 0 is sample `first` of the data set. Labels that are
 * no class are passed over. */
TARE_API void tare_confusion_add(tare_confusion *c, const tare_real *logits, const int32_t *labels, int64_t n,
                                 int64_t first);
/* tare_confusion_write - into the run's confusion.json, with the mistakes' pictures, at most 64 pixels a side:
 *     {"classes":["shirt",..],"counts":[[true class 0 said to be 0, 1, ..],..],"channels":1,"height":28,"width":28,
 *      "mistakes":[{"index":12,"label":3,"said":5,"probability":0.99,"pixels":"00ff.."},..]}
 * `ds` has the names of the classes and the samples. Nothing is written where nothing was added, or of more than 128 classes.
 *   errors  TARE_EIO;  TARE_ENOMEM */
TARE_API tare_status tare_confusion_write(const tare_confusion *c, tare_run *run, const tare_dataset *ds);

/* ---- progress ---------------------------------------------------------------------------------------------------- */

/* On a terminal a line that redraws itself; elsewhere, or where it is told to be quiet, nothing but tare_progress_print. */
typedef struct tare_progress tare_progress;

typedef struct tare_progress_opt {
    FILE *stream;     /* where to write */
    bool quiet;       /* write nothing at all */
    int64_t total;    /* units of work in the whole run */
    const char *unit; /* "images" */
} tare_progress_opt;

TARE_API tare_progress *tare_progress_new(tare_progress_opt opt); /* NULL: TARE_ENOMEM */
TARE_API void tare_progress_free(tare_progress *p);               /* takes the line off the terminal */
/* tare_progress_begin - a stretch of `count` units starts, `from` of them done already (a resumed epoch), with `before` of
 * the run's total behind it. */
TARE_API void tare_progress_begin(tare_progress *p, const char *title, int64_t before, int64_t count, int64_t from);
/* tare_progress_step - `n` more units; the text says how it goes ("loss 0.25  accuracy 91.3%"). Redraws at most 15 times
 * a second. */
TARE_API void tare_progress_step(tare_progress *p, int64_t n, const char *format, ...) TARE_PRINTF(3, 4);
/* tare_progress_print - a line of its own, above the bar. */
TARE_API void tare_progress_print(tare_progress *p, const char *format, ...) TARE_PRINTF(2, 3);
/* tare_progress_heading - the same, in bold where the terminal may have it. */
TARE_API void tare_progress_heading(tare_progress *p, const char *format, ...) TARE_PRINTF(2, 3);
/* tare_progress_end - a line on what training took: its seconds, the most MiB of a step on `tape` (NULL, or no step was made on it:
 * left out), and of the process. */
TARE_API void tare_progress_end(tare_progress *p, double seconds, const tare_tape *tape);
/* tare_progress_clear - take the bar off the terminal: something else wants to write there. */
TARE_API void tare_progress_clear(tare_progress *p);
/* tare_progress_rate - units per second in this stretch so far. */
TARE_API double tare_progress_rate(const tare_progress *p);
/* tare_terminal_colour - may `stream` get colour? (a terminal, NO_COLOR unset, TERM not dumb; no-color.org) */
TARE_API bool tare_terminal_colour(FILE *stream);
/* tare_terminal_width - columns of the terminal behind `stream`; 80 where there is none. */
TARE_API int tare_terminal_width(FILE *stream);
/* tare_terminal_columns - how many of them `text` (UTF-8) takes, a column each character; printf("%-20s") counts bytes instead. */
TARE_API int tare_terminal_columns(const char *text);
/* tare_terminal_wrap - prints `text` word by word, 80 columns wide, from column `at` on, to where the caller has printed; lines that follow
 * begin at `indent`. Ends the line. */
TARE_API void tare_terminal_wrap(FILE *stream, const char *text, int at, int indent);
/* tare_clock - seconds on a clock that only goes forward. */
TARE_API double tare_clock(void);

/* ---- dry runs ---------------------------------------------------------------------------------------------------- */

/* tare_run_describe - what --dry-run prints once `tape` has seen a step: options, command, memory, steps; with --json one event.
 *   batch   what a step takes, "64 images".   errors  TARE_ENOMEM */
typedef struct tare_run_facts {
    const tare_tape *tape;
    const tare_params *ps;
    const tare_optim *optim;
    int64_t steps;
    const char *batch;
    FILE *stream; /* where the event goes */
} tare_run_facts;
TARE_API tare_status tare_run_describe(const tare_options *o, const tare_run_opt *opt, tare_progress *progress,
                                       tare_run_facts facts);

/* ---- when a step goes wrong ------------------------------------------------------------------------------------------ */

/* tare_guard - what a step changes before its update: buffers (running statistics), the tape's random stream, the loader's
 * place. Keep it before each step; where the loss or the gradient comes out as NaN or Inf, restore it and either save, or run
 * the very same step again under tare_tape_check_finite to learn where it began. */
typedef struct tare_guard tare_guard;

/* tape and loader may be NULL. NULL: TARE_ENOMEM. */
TARE_API tare_guard *tare_guard_new(tare_params *ps, tare_tape *tape, tare_loader *loader);
TARE_API void tare_guard_free(tare_guard *g);
/* tare_guard_also - keep these bytes as well (states carried from step to step); four such at most.  errors  TARE_ENOMEM */
TARE_API tare_status tare_guard_also(tare_guard *g, void *memory, size_t bytes);
TARE_API void tare_guard_keep(tare_guard *g);
/* tare_guard_restore - back to what was kept; gradients are zero, the tape is reset. */
TARE_API tare_status tare_guard_restore(tare_guard *g);

/* tare_guard_explain - after a step that ended with TARE_ENONFINITE: run `step(user)` once more from what was kept, stopping at the
 * first op that makes NaN or Inf, and go back to what was kept. `why` gets the reason in words.
 *   returns TARE_OK where the state is sound, so that it can be saved;  TARE_ENONFINITE: the weights are not */
TARE_API tare_status tare_guard_explain(tare_guard *g, tare_status (*step)(void *user), void *user, char *why,
                                        size_t size);

/* tare_params_check_finite - TARE_ENONFINITE, naming the first parameter or buffer that holds NaN or Inf. */
TARE_API tare_status tare_params_check_finite(const tare_params *ps);
/* tare_params_load_finite - tare_params_load for a model that is to be used, not mended: weights of NaN or Inf are an error as well.
 *   errors  as tare_params_load;  TARE_ENONFINITE, naming the file and the first of them (they are loaded all the same) */
TARE_API tare_status tare_params_load_finite(tare_params *ps, const char *path, tare_load_opt opt);

/* ---- looking into a step ----------------------------------------------------------------------------------------- */

/* tare_norm_stats - what norms do to activations, gradients and weights: for each layer (containers apart) mean and biased
 * variance of what it takes and what it gives, for each parameter the length of its gradient and sigma. Nothing about training
 * changes, to the last bit. Between zero_grad and the optimizer's step:
 *     if (step % 100 == 0) { tare_norm_stats_begin(stats); }
 *     ... forward, backward, once or (gradients accumulating) more often ...
 *     tare_norm_stats_log(stats, run, step);
 * A layer that runs several times in between is described by all its values together. */
typedef struct tare_norm_stats tare_norm_stats;

/* Of the layers run on `tape` and the parameters in `ps`, both lent. NULL: TARE_ENOMEM. Free it before the tape. */
TARE_API tare_norm_stats *tare_norm_stats_new(tare_params *ps, tare_tape *tape);
TARE_API void tare_norm_stats_free(tare_norm_stats *stats);
/* tare_norm_stats_begin - look from now on; what was seen before and not logged is forgotten. */
TARE_API void tare_norm_stats_begin(tare_norm_stats *stats);
/* tare_norm_stats_log - log what was seen and look no longer; nothing where none has begun. Layers in the order they ran, then
 * parameters in the order they were made (sigma only where they have two dimensions or more):
 *     {"event":"norm_stats","step":0,"layer":"block1.norm","kind":"batch_norm","in_mean":..,"in_var":..,"out_mean":..,
 *      "out_var":..}
 *     {"event":"weight_stats","step":0,"parameter":"block1.conv.weight","grad_norm":..,"sigma":..}
 * sigma is the largest singular value of the parameter (before spectral norm or another transform) as a matrix of outputs by the
 * rest, by the power method in double precision: too small by 1e-3 of it at worst, where the largest few lie close together.
 *   errors  TARE_EIO;  TARE_ENOMEM */
TARE_API tare_status tare_norm_stats_log(tare_norm_stats *stats, tare_run *run, int64_t step);

/* tare_profile - what --profile N and --memory print: where the time of a step goes, by op, beside what the machine could do; and
 * what a step keeps, by layer. Nothing about training changes, to the last bit.
 *     for each step:  tare_profile_enter(profile, TARE_PROFILE_DATA);       ... load a batch ...
 *                     tare_profile_enter(profile, TARE_PROFILE_TAPE);       ... forward, backward ...
 *                     tare_profile_enter(profile, TARE_PROFILE_OPTIMIZER);  ... update ...
 *                     tare_profile_enter(profile, TARE_PROFILE_REST);       ... progress, logs ...
 *                     const char *text = tare_profile_step(profile);        if (text) { print it }
 * Ops are told apart by themselves; what a part has beside them counts as "(tape)", "(data)", "(optimizer)", "(the rest)". */
typedef struct tare_profile_opt {
    int64_t profile;
    bool memory;
} tare_profile_opt;
TARE_API extern const tare_option tare_profile_options[];
typedef struct tare_profile tare_profile;
typedef enum tare_profile_part {
    TARE_PROFILE_TAPE,
    TARE_PROFILE_DATA,
    TARE_PROFILE_OPTIMIZER,
    TARE_PROFILE_REST,
} tare_profile_part;
/* Of the ops on `tape` and the optimizer, both lent; asleep unless opt asks for something. NULL: TARE_ENOMEM. Free it after the
 * last step. */
TARE_API tare_profile *tare_profile_new(const tare_profile_opt *opt, tare_tape *tape, const tare_optim *optim);
TARE_API void tare_profile_free(tare_profile *profile);
/* tare_profile_also - another tape or optimizer that takes part in each step, as a GAN has; either may be NULL. Times, memory and
 * state are those of all.
 *   errors  TARE_EINVAL: more than 8 tapes or optimizers */
TARE_API tare_status tare_profile_also(tare_profile *profile, tare_tape *tape, const tare_optim *optim);
/* tare_profile_enter - this part of the step begins. NULL or asleep: does nothing. */
TARE_API void tare_profile_enter(tare_profile *profile, tare_profile_part part);
/* tare_profile_step - a step is over. The text to print, the profile's own, or NULL where there is none yet: memory after the second
 * step, times after N steps that follow three. */
TARE_API const char *tare_profile_step(tare_profile *profile);

/* tare_memory_limit - what --memory-limit asks for: steps on `tape` get what parameters, gradients and the optimizer's state leave of
 * `mib` MiB (tare_tape_limit_set). 0: no limit.
 *   errors  TARE_EINVAL: they leave nothing */
TARE_API tare_status tare_memory_limit(int64_t mib, tare_tape *tape, const tare_optim *optim);
/* tare_memory_limit_look - after a step: where all that together has passed `mib`, a line on `progress` says so, once (*told). */
TARE_API void tare_memory_limit_look(int64_t mib, const tare_tape *tape, const tare_optim *optim,
                                     tare_progress *progress, bool *told);

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

/* tare_stop_catch - from now on SIGINT, SIGTERM and SIGHUP ask the program to stop (the same signal a second time kills it), and a
 * closed pipe is an error of the write, which progress and echo turn into the same request. The one piece of process-wide
 * state in Tare, as signals are. */
TARE_API void tare_stop_catch(void);
/* tare_stop - the signal that asks to stop, or 0. Exit with 128 + this: 130 after Ctrl-C, 141 after a closed pipe. */
TARE_API int tare_stop(void);
/* tare_stop_ask - ask to stop as if `signal` had come; 0 withdraws. */
TARE_API void tare_stop_ask(int signal);
/* tare_output_end - the exit code of a program that printed on standard output: `code`; but where not all of it could be written
 * 1 in place of 0, with a line on standard error that begins with `program` ("tare mnist"). A pipe that nobody reads any more
 * takes no line: 141 in place of 0. */
TARE_API int tare_output_end(const char *program, int code);

#ifdef __cplusplus
}
#endif
#endif
