/* charlm.h - what the files of this program share. Read main.c, text.c, model.c, batch.c, train.c, evaluate.c, write.c, in that
 * order. A token is a character, or a byte with --bytes. */
#ifndef CHARLM_H
#define CHARLM_H

#include <tare/tare.h>

/* Everything the command line decides; options.c has the table that fills it. */
typedef struct options {
    /* text */
    tare_files text;
    bool bytes;
    int64_t eval_limit;
    /* model */
    const char *arch, *norm, *norm_place, *ffn, *positions, *tied, *nonlinearity;
    int64_t layers, heads, width, hidden, embedding, context;
    double dropout, seconds;
    bool bias, recompute;
    int64_t memory_limit; /* MiB */
    /* learning */
    tare_learn_opt learn;
    int64_t steps, batch, eval_every, log_every, norm_stats;
    /* writing */
    const char *prompt;
    int64_t sample, top_k, sample_seed;
    double temperature;
    /* what to do instead of training */
    const char *eval;
    bool write, other_text; /* --sample or --prompt, --text on the command line */
    /* the run's folder, seed, threads, output */
    tare_run_opt run;
    tare_profile_opt look;
} options;

/* Exit codes: 1 a failed run, 2 usage, 3 the loss is NaN or Inf. */
enum { EXIT_USAGE = 2, EXIT_NONFINITE = 3 };

/* ---- options.c --------------------------------------------------------------------------------------------------- */

/* -1, or the code to exit with (usage errors, --help). */
int options_read(tare_options *args, options *o, int argc, char **argv);
bool is_recurrent(const options *o); /* lstm, gru, rnn: text comes as streams, [T,B] */
bool is_bert(const options *o);

/* ---- utf8.c ------------------------------------------------------------------------------------------------------ */

/* Bytes of the character at s (of n bytes), its code point in *code; 0 where it is not well-formed UTF-8. */
int utf8_get(const unsigned char *s, size_t n, uint32_t *code);
/* Writes the character and a 0; how many bytes without the 0. */
int utf8_put(uint32_t code, char text[5]);
/* "é" (U+00E9), for messages. */
typedef struct utf8_name {
    char text[32];
} utf8_name;
const char *utf8_describe(uint32_t code, utf8_name *name);

/* ---- text.c ------------------------------------------------------------------------------------------------------ */

/* The tokens that a model knows, in order of their code points; with bytes, all 256 of them. */
typedef struct vocabulary {
    bool bytes;
    int32_t size;
    uint32_t *code; /* [size] */
} vocabulary;

void vocabulary_free(vocabulary *v);
/* From the characters of `text`, as a checkpoint has them (vocabulary_text, to tare_free). */
tare_status vocabulary_read(vocabulary *v, bool bytes, const char *text);
char *vocabulary_text(const vocabulary *v);
/* The token of a code point (a byte), or -1. */
int32_t vocabulary_find(const vocabulary *v, uint32_t code);
/* The bytes of a token, and a 0; how many without the 0. */
int vocabulary_put(const vocabulary *v, int32_t token, char text[5]);
/* The tokens of a prompt, to tare_free; `gap` (-1: none) stands for each '_'.
 *   errors  TARE_EINVAL: a character that is not known, not UTF-8 */
tare_status vocabulary_encode(const vocabulary *v, const char *text, int32_t gap, int32_t **tokens, int64_t *count);

typedef struct corpus {
    vocabulary known;
    int32_t *train, *held; /* nine tenths of each file, and the last tenth of each */
    int64_t trained, held_out;
    uint64_t hash; /* of all tokens: a run goes on with the text it began with */
    int64_t files;
} corpus;

/* The text of --text, or Debian's fortunes. known: take that vocabulary (NULL: make one); all_held: nothing is to train on.
 *   errors  TARE_ENOENT, TARE_EIO;  TARE_EFORMAT: empty, not UTF-8, a character that is not known */
tare_status corpus_open(corpus *c, const options *o, const vocabulary *known, bool all_held);
void corpus_free(corpus *c);
/* TARE_EINVAL where too little is held out to test on. */
tare_status corpus_testable(const corpus *c);

/* ---- model.c ----------------------------------------------------------------------------------------------------- */

typedef struct net {
    const options *o;
    int64_t tokens;                             /* rows of the embedding: the vocabulary, for bert the mask too */
    tare_layer *whole, *embedding, *body, *rnn; /* whole: embedding and body; rnn: within the body, or NULL */
    tare_sequence sequence;
    tare_rnn_state *state; /* of training, carried from step to step; NULL: none */
} net;

/* Options that make no model leave their message in ps. The net must stay where it is. */
void net_new(net *n, tare_params *ps, const options *o, const vocabulary *v);
void net_free(net *n); /* the state; layers belong to ps */
/* Scores for each token, [B*T, tokens]; x: tokens [B,T], of recurrent nets [T,B]. */
tare_tensor *net_logits(net *n, tare_tape *tape, const int32_t *x, tare_shape shape);
/* bert's sign for a character that is to be found. */
int32_t net_mask(const net *n);

/* ---- batch.c ----------------------------------------------------------------------------------------------------- */

/* A batch depends on the text, the seed and the number of the step alone. */
typedef struct feeder {
    const options *o;
    const corpus *text;
    int32_t mask;
    int32_t *x, *y; /* what goes in, what is to come out (-100: of no interest) */
    tare_shape shape;
} feeder;

tare_status feeder_new(feeder *f, const options *o, const corpus *text, int32_t mask);
void feeder_free(feeder *f);
/* Fills x and y; true where streams begin anew, so that states are to be zeroed. */
bool feeder_fill(feeder *f, int64_t step);
/* Hides 15% of the n tokens at x: the mask for 80% of those, any token for 10%, themselves for 10%. y keeps what they were and
 * -100 elsewhere; one is hidden at least. Returns how many.  Devlin et al. 2019, arXiv:1810.04805, section 3.1 */
int64_t hide(tare_rng rng, int32_t mask, int64_t n, int32_t *x, int32_t *y);

/* ---- evaluate.c -------------------------------------------------------------------------------------------------- */

typedef struct score {
    double loss; /* nats a token */
    int64_t tokens;
} score;

/* The held-out text: windows of `context` side by side, or for recurrent nets up to 32 long streams. */
tare_status evaluate(net *n, tare_tape *tape, const corpus *text, score *out);
/* The name under which loss / log 2 is reported, and in words. */
const char *bits_name(const options *o);
const char *bits_words(const options *o);
int evaluate_run(const options *o);

/* A finished or stopped run's model. */
typedef struct finished {
    vocabulary known;
    uint64_t text_hash; /* of the text it was trained on */
    tare_params *ps;
    net net;
    tare_tape *tape;
} finished;
tare_status finished_load(finished *f, const options *o);
void finished_free(finished *f);

/* ---- write.c ----------------------------------------------------------------------------------------------------- */

/* Text that a model makes up: `count` tokens behind the prompt, each handed to `put` as it comes (false ends it).
 * bert: the prompt with its gaps filled. */
typedef bool (*put_text)(void *user, const char *text, int size);
typedef struct request {
    net *net;
    tare_tape *tape; /* in evaluation */
    const vocabulary *known;
    const int32_t *prompt;
    int64_t prompted, count;
    double temperature;
    int64_t top_k;
    tare_rng rng;
    put_text put;
    void *user;
} request;
tare_status write_text(const request *r);
/* The prompt of the options, or what a text may begin with; to tare_free.   errors  as vocabulary_encode; too long */
tare_status prompt_read(const options *o, const vocabulary *v, int32_t gap, int32_t **tokens, int64_t *count);
/* What chance hangs on: the run's seed and --sample-seed. */
tare_rng sample_rng(const options *o);
int write_run(const options *o);

/* ---- train.c ----------------------------------------------------------------------------------------------------- */

int train(const options *o, const tare_options *args);

/* ---- main.c: prints the library's message; returns `code`. -------------------------------------------------------- */

int fail(int code);

#endif
