/* test_program_charlm.c - tare charlm from end to end on a small made-up language: learning, resuming, writing, bad input. */
#include "run_folder.h"

#include <tare/tare.h>

/* Commands share this: a net and a batch small enough for a second. */
#define TEXT  "--text %s/words.txt --seed 3 --threads 1 --eval-every 50 "
#define SMALL TEXT "--layers 2 --heads 2 --width 32 --context 16 --batch 8 --lr 5e-3 "
#define CELLS TEXT "--width 48 --context 16 --batch 8 --lr 1e-2 "

/* ---- text: words from a short list, one of them not in ASCII --------------------------------------------------------- */

static void write_words(const char *name, int words) {
    static const char *const list[] = { "the", "cat", "sat", "on", "mat", "caf\xc3\xa9", "and", "then", "slept" };
    tare_rng rng = tare_rng_new(5, name);
    FILE *file = fopen(test_path(work, name), "w");
    assert_non_null(file);
    for (int i = 0; i < words; i++) {
        fprintf(file, "%s%s", list[tare_rng_below(&rng, 9)], i % 12 == 11 ? ".\n" : " ");
    }
    fclose(file);
}

static void write_bytes(const char *name, const char *bytes, size_t size) {
    FILE *file = fopen(test_path(work, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static int make_text(void **state) {
    (void)state;
    work = test_dir_new();
    write_words("words.txt", 2400);
    return 0;
}

static int remove_text(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

static void assert_same_course(const char *a, const char *b) {
    static const char *const names[] = { "step", "lr", "loss", "val_loss", "best" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        double x = metric(a, "eval", names[i]), y = metric(b, "eval", names[i]);
        if (!(x == y)) { fail_msg("%s: %.17g and %.17g", names[i], x, y); }
    }
    double x = metric(a, "train", "loss"), y = metric(b, "train", "loss");
    if (!(x == y)) { fail_msg("train loss: %.17g and %.17g", x, y); }
    if (!last_event(a, "sample")) { return; }
    char kept[1024] = "";
    size_t n = strcspn(last_event(a, "sample"), "\n");
    assert_true(n < sizeof kept);
    memcpy(kept, last_event(a, "sample"), n);
    assert_true(strncmp(kept, last_event(b, "sample"), n) == 0); /* after the same step, the same words */
}

/* ---- learning ------------------------------------------------------------------------------------------------------ */

/* Nine words at random are worth 0.55 nats a character; letters by their frequency alone 2.6. */
static void test_learns(void **state) {
    (void)state;
    static const struct {
        const char *args, *bits;
        double most;
    } cases[] = {
        { "--arch gpt --width 32 --layers 2 --heads 2 --lr 5e-3", "bits_per_char", 0.75 },
        { "--arch gpt --width 32 --layers 2 --heads 4 --lr 5e-3 --norm rms --norm-place post --ffn swiglu "
          "--positions rotary --bias --tied no",
          "bits_per_char", 0.75 },
        { "--arch bert --width 32 --layers 2 --heads 2 --lr 3e-3 --positions rotary --ffn relu --batch 32 --steps 400",
          "bits_per_masked_char", 0.9 },
        { "--arch lstm --width 48 --lr 1e-2", "bits_per_char", 0.75 },
        { "--arch gru --width 48 --lr 1e-2 --norm ln --tied yes", "bits_per_char", 0.75 },
        { "--arch rnn --width 48 --lr 5e-3 --nonlinearity relu --layers 2 --embedding 12", "bits_per_char", 0.75 },
        { "--arch lstm --width 48 --lr 1e-2 --norm bn --bytes", "bits_per_byte", 0.8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "learns%d", (int)i);
        const char *folder = place(name);
        const outcome *o = run("tare-charlm " TEXT "--context 16 --batch 8 --steps 200 --sample 40 %s --out %s", work,
                               cases[i].args, folder);
        assert_code(0, o);
        assert_contains(o->out, "parameters");
        assert_contains(o->out, folder);
        assert_null(strchr(o->out, '\r')); /* no bar where there is no terminal */
        assert_null(strchr(o->out, '\033'));
        double loss = metric(folder, "end", "val_loss"), bits = metric(folder, "end", cases[i].bits);
        if (!(loss <= cases[i].most)) { fail_msg("%s: %g nats", cases[i].args, loss); }
        assert_near(bits, loss / log(2), 1e-12);
        int64_t steps = (int64_t)metric(folder, "end", "step");
        assert_int_equal(count_of(folder, "{\"event\":\"sample\""), steps / 50);
        assert_int_equal(count_of(folder, "{\"event\":\"train\""), steps / 10);
        assert_true(metric(folder, "train", "grad_norm") > 0);
        assert_true(exists(test_path(folder, "best.safetensors")));
    }
}

/* Each file gives its last tenth to test on; characters are counted, not bytes. */
static void test_files(void **state) {
    (void)state;
    write_bytes("one.txt",
                "\xef\xbb\xbf"
                "abcde\xc3\xa9"
                "fghijklmn",
                19); /* a byte order mark is no character */
    write_bytes("two.txt", "0123456789", 10);
    assert_code(0, run("tare-charlm --text %s/one.txt %s/two.txt --context 4 --steps 1 --quiet --out %s/files", work,
                       work, work));
    assert_int_equal(metric(place("files"), "start", "characters"), 13 + 9);
    assert_int_equal(metric(place("files"), "start", "held_out"), 2 + 1);
    assert_int_equal(metric(place("files"), "start", "vocabulary"), 25);
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(place("files/last.safetensors"), &r));
    assert_string_equal(tare_reader_meta(r, "vocabulary"), "0123456789abcdefghijklmn\xc3\xa9");
    tare_reader_free(r);
    write_bytes("lines.txt", "a\r\nb\x1b\n\ta\r\nb\n", 12); /* tare info shows what a terminal would act upon */
    assert_code(0, run("tare-charlm --text %s/lines.txt --context 4 --steps 1 --quiet --out %s/lines", work, work));
    assert_contains(run("tare-info %s/lines/last.safetensors", work)->out, "vocabulary = \\x09\\n\\x0d\\x1bab\n");
    /* the same as bytes, from a folder elsewhere, by names of its own */
    assert_code(
        0, run("tare-charlm --text %s/one.txt --bytes --context 4 --steps 1 --quiet --out %s/asbytes", work, work));
    assert_int_equal(metric(place("asbytes"), "start", "characters"), 17);
    assert_int_equal(metric(place("asbytes"), "start", "vocabulary"), 256);
}

/* --seconds ends between two tests, tests then, and goes on when there is more time. */
static void test_seconds(void **state) {
    (void)state;
    const char *folder = place("seconds");
    assert_code(0, run("tare-charlm " TEXT "--context 16 --batch 8 --steps 1000000 --eval-every 1000000 --seconds 0.2 "
                       "--out %s",
                       work, folder));
    double step = metric(folder, "end", "step"), loss = metric(folder, "end", "val_loss");
    assert_true(metric(folder, "end", "seconds") >= 0.2 && step > 0 && step < 1e6);
    assert_true(loss > 0 && metric(folder, "eval", "step") == step);
    const outcome *o = run("tare-charlm --resume %s", folder);
    assert_code(0, o);
    assert_contains(o->out, "--seconds S adds more");
    assert_true(metric(folder, "end", "step") == step && metric(folder, "end", "val_loss") == loss);
    assert_code(0, run("tare-charlm --resume %s --seconds 0.3", folder));
    assert_true(metric(folder, "end", "step") > step && metric(folder, "end", "seconds") >= 0.3);
}

/* ---- resuming ------------------------------------------------------------------------------------------------------ */

static void resumes(const char *name, const char *args) {
    char whole[64], parts[64];
    snprintf(whole, sizeof whole, "%s_whole", name);
    snprintf(parts, sizeof parts, "%s_parts", name);
    const char *a = place(whole), *b = place(parts);
    assert_code(0, run("tare-charlm %s --schedule constant --steps 90 --eval-every 30 --out %s", args, a));
    assert_code(0, run("tare-charlm %s --schedule constant --steps 30 --warmup 4 --eval-every 30 --out %s", args, b));
    assert_code(0, run("tare-charlm --resume %s --steps 90 --threads 2", b));
    assert_same_model(a, b);
    assert_same_course(a, b);
    assert_code(0, run("tare-charlm --resume %s", b)); /* finished is finished */
    assert_same_model(a, b);
}

static void test_resume(void **state) {
    (void)state;
    char args[4096];
    snprintf(args, sizeof args, SMALL "--dropout 0.2 --warmup 4", work);
    resumes("gpt", args);
    snprintf(args, sizeof args, SMALL "--arch bert --dropout 0.1 --norm bn --warmup 4 --sample 0", work);
    resumes("bert", args);
    snprintf(args, sizeof args, CELLS "--arch lstm --layers 2 --dropout 0.2 --warmup 4", work);
    resumes("lstm", args);
    const outcome *o = run("tare-charlm --resume %s/gpt_parts --norm rms", work);
    assert_code(2, o);
    assert_contains(o->err, "--norm cannot change");
    write_words("other.txt", 2000);
    o = run("tare-charlm --resume %s/gpt_parts --steps 100 --text %s/other.txt", work, work);
    assert_code(1, o);
    assert_contains(o->err, "not what this run was trained on");
}

/* Ctrl-C in the middle of a stretch, then --resume: as if nothing had happened. */
static void test_interrupt(void **state) {
    (void)state;
    const char *whole = place("calm"), *parts = place("stopped"), *out = place("stopped.txt");
    char line[4096], said[8192];
    assert_code(0,
                run("tare-charlm " CELLS "--arch gru --dropout 0.1 --steps 600 --log-every 7 --out %s", work, whole));
    snprintf(line, sizeof line, "tare-charlm " CELLS "--arch gru --dropout 0.1 --steps 600 --log-every 7 --out %s",
             work, parts);
    pid_t child = spawn(&(start){ .out = out, .err = out }, line);
    assert_true(wait_for(test_path(parts, "metrics.jsonl"), "\"step\":63,"));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(wait_code(child), 130);
    read_text(out, said, sizeof said);
    assert_contains(said, "--resume");
    assert_true(metric(parts, "stop", "step") >= 63);
    assert_true(metric(parts, "stop", "step") < 600);
    assert_code(0, run("tare-charlm --resume %s --quiet", parts));
    assert_same_model(whole, parts);
    assert_same_course(whole, parts);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* A model that the tests below share. */
static const char *writer(void) {
    const char *folder = place("writer");
    if (!exists(folder)) {
        assert_code(0, run("tare-charlm " SMALL "--steps 200 --sample 0 --quiet --out %s", work, folder));
    }
    return folder;
}

/* The same net by hand: names of its parameters are PyTorch's, so its file loads as it is. */
typedef struct by_hand {
    tare_params *ps;
    tare_layer *embedding, *body;
    tare_tape *tape;
    char *known; /* characters in order; one of them takes two bytes, so the tests use none behind it */
} by_hand;

static by_hand load_by_hand(const char *folder) {
    by_hand m = { .ps = tare_params_new(1), .tape = tare_tape_new((tare_tape_opt){ .no_grad = true }) };
    tare_reader *r = NULL;
    const char *path = test_path(folder, "best.safetensors");
    assert_ok(tare_reader_open(path, &r));
    m.known = tare_strdup(tare_reader_meta(r, "vocabulary"));
    tare_reader_free(r);
    m.embedding = tare_layer_embedding(m.ps, "embedding", (int64_t)strlen(m.known) - 1, 32);
    tare_layer_transformer_opt block = { .heads = 2, .causal = true, .no_bias = true };
    tare_layer *layers[] = {
        tare_layer_positions(m.ps, "positions", 16, 32, (tare_layer_positions_opt){ 0 }),
        tare_layer_transformer(m.ps, "layers.0", 32, block),
        tare_layer_transformer(m.ps, "layers.1", 32, block),
        tare_layer_layer_norm(m.ps, "norm", TARE_SHAPE(32), (tare_layer_layer_norm_opt){ 0 }),
        tare_layer_tied(m.ps, "head", m.embedding),
    };
    m.body = tare_layer_sequential(m.ps, NULL, layers, 5);
    assert_ok(tare_params_load(m.ps, path, (tare_load_opt){ 0 }));
    return m;
}

/* The likeliest next token after those n. */
static int32_t next_token(by_hand *m, const int32_t *seen, int64_t n) {
    tare_tape_reset(m->tape);
    tare_tensor *logits =
        tare_forward(m->body, m->tape, tare_layer_embed(m->embedding, m->tape, seen, TARE_SHAPE(1, n)));
    assert_ok(tare_tape_status(m->tape));
    int64_t size = logits->shape.dim[2];
    const tare_real *row = logits->data + (n - 1) * size;
    int32_t best = 0;
    for (int32_t i = 1; i < size; i++) { best = row[i] > row[best] ? i : best; }
    return best;
}

/* 60 characters in a context of 16: what the program writes with keys and values kept is what the whole context computed
 * anew for each character gives; a full context goes on with its second half. */
static void test_writes_as_recomputed(void **state) {
    (void)state;
    const char *folder = writer();
    by_hand m = load_by_hand(folder);
    int32_t seen[16] = { 0 };
    int64_t n = 0;
    char want[128] = "the";
    for (int i = 0; i < 3; i++) { seen[n++] = (int32_t)(strchr(m.known, want[i]) - m.known); }
    for (int i = 0; i < 60; i++) {
        int32_t token = next_token(&m, seen, n);
        if ((unsigned char)m.known[token] < 0x80) {
            want[strlen(want)] = m.known[token];
        } else {
            strcat(want, "\xc3\xa9");
        }
        if (n == 16) {
            n = 7;
            memmove(seen, seen + 9, 7 * sizeof seen[0]);
        }
        seen[n++] = token;
    }
    strcat(want, "\n");
    const outcome *o = run("tare-charlm --eval %s --prompt the --sample 60 --temperature 0", folder);
    assert_code(0, o);
    assert_string_equal(o->out, want);
    assert_contains(o->err, "60 tokens in");
    assert_contains(o->err, "tokens/s");
    assert_string_equal(run("tare-charlm --eval %s --prompt the --sample 60 --top-k 1", folder)->out, want);
    tare_free(m.known);
    tare_tape_free(m.tape);
    tare_params_free(m.ps);
}

/* Characters in UTF-8 text. */
static int64_t characters(const char *s) {
    int64_t n = 0;
    for (; *s; s++) { n += ((unsigned char)*s & 0xc0) != 0x80; }
    return n;
}

static void test_chance(void **state) {
    (void)state;
    const char *folder = writer();
    const outcome *o = run("tare-charlm --eval %s --sample 300", folder);
    assert_code(0, o);
    static char first[sizeof o->out];
    memcpy(first, o->out, sizeof first);
    assert_int_equal(characters(first), 301); /* no prompt is printed where none was given; a line break ends it */
    assert_string_equal(run("tare-charlm --eval %s --sample 300 --threads 1", folder)->out, first);
    assert_true(strcmp(run("tare-charlm --eval %s --sample 300 --sample-seed 2", folder)->out, first) != 0);
    assert_true(strcmp(run("tare-charlm --eval %s --sample 300 --temperature 1.5", folder)->out, first) != 0);
    o = run("tare-charlm --eval %s --sample 20 --prompt=caf\xc3\xa9 --json", folder);
    assert_code(0, o);
    assert_contains(o->out, "{\"event\":\"sample\",\"text\":\"");
    assert_contains(o->out, "\"tokens\":20,");
    assert_string_equal(o->err, "");
    o = run("tare-charlm --eval %s --sample 20 --quiet", folder);
    assert_string_equal(o->err, "");
    assert_int_equal(characters(o->out), 21);
    assert_string_equal(run("tare-charlm --eval %s --sample 0 --prompt cat --quiet", folder)->out, "cat\n");
}

/* --sample-seed decides what is written while training, too. */
static void test_sample_seed_in_training(void **state) {
    (void)state;
    char text[3][1024];
    for (int i = 0; i < 3; i++) {
        assert_code(0, run("tare-charlm " SMALL "--steps 2 --sample-seed %d --quiet --force --out %s/seeded", work,
                           i == 2 ? 2 : 1, work));
        snprintf(text[i], sizeof text[i], "%s", last_event(place("seeded"), "sample"));
        text[i][strcspn(text[i], "\n")] = '\0';
    }
    assert_string_equal(text[0], text[1]);
    assert_true(strcmp(text[0], text[2]) != 0);
}

/* A recurrent net reads a prompt of any length, and goes on from its state. */
static void test_recurrent_writes(void **state) {
    (void)state;
    const char *folder = place("cells");
    assert_code(0, run("tare-charlm " CELLS "--arch lstm --steps 200 --sample 0 --quiet --out %s", work, folder));
    const outcome *o =
        run("tare-charlm --eval %s --sample 40 --temperature 0 --prompt then.the.cat.sat.on.the.mat", folder);
    assert_code(0, o);
    assert_true(strncmp(o->out, "then.the.cat.sat.on.the.mat", 27) == 0);
    assert_int_equal(characters(o->out), 27 + 40 + 1);
    /* what it has written is a prompt as well: after it, the same goes on */
    static char longer[sizeof o->out], *tail;
    memcpy(longer, o->out, sizeof longer);
    tail = longer + 27 + strcspn(longer + 27, " \n"); /* up to a space: a test's words hold none */
    if (*tail != ' ') { return; }
    o = run("tare-charlm --eval %s --sample 5 --temperature 0 --prompt %.*s", folder, (int)(tail - longer), longer);
    assert_code(0, o);
    assert_true(strncmp(o->out, longer, strlen(o->out) - 1) == 0);
}

static void test_bert_fills_gaps(void **state) {
    (void)state;
    const char *folder = place("gaps");
    assert_code(0, run("tare-charlm " SMALL "--arch bert --positions rotary --batch 32 --steps 500 --quiet --out %s",
                       work, folder));
    const outcome *o = run("tare-charlm --eval %s --temperature 0 --prompt=slep_", folder);
    assert_code(0, o);
    assert_string_equal(o->out, "slept\n");
    o = run("tare-charlm --eval %s --sample 20", folder);
    assert_code(2, o);
    assert_contains(o->err, "bert fills gaps");
    assert_code(2, run("tare-charlm --eval %s --prompt slept", folder));
}

/* A reader that goes away ends the writing quietly. */
static void closes_pipe(const char *line) {
    const char *fifo = place("fifo"), *err = place("pipe.txt");
    char said[4096];
    unlink(fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    pid_t child = spawn(&(start){ .out = fifo, .err = err }, line);
    FILE *pipe_end = fopen(fifo, "r");
    assert_non_null(pipe_end);
    for (int i = 0; i < 10; i++) { assert_int_not_equal(fgetc(pipe_end), EOF); }
    fclose(pipe_end);
    assert_int_equal(wait_code(child), 128 + SIGPIPE);
    read_text(err, said, sizeof said);
    assert_string_equal(said, "");
}

static void test_closed_pipe(void **state) {
    (void)state;
    char line[4096];
    snprintf(line, sizeof line, "tare-charlm --eval %s --sample 100000000", writer());
    closes_pipe(line);
    snprintf(line, sizeof line, "tare-charlm " SMALL "--steps 1000000 --eval-every 5 --out %s/piped", work, work);
    closes_pipe(line);
    assert_true(exists(place("piped/last.safetensors")));
}

static void test_ctrl_c_ends_writing(void **state) {
    (void)state;
    const char *out = place("endless.txt"), *err = place("endless.err");
    char line[4096], said[4096];
    snprintf(line, sizeof line, "tare-charlm --eval %s --sample 100000000 --prompt cat", writer());
    pid_t child = spawn(&(start){ .out = out, .err = err }, line);
    assert_true(wait_for(out, "cat"));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(wait_code(child), 130);
    read_text(err, said, sizeof said);
    assert_contains(said, "tokens/s");
}

/* ---- a finished run ------------------------------------------------------------------------------------------------ */

static void test_eval(void **state) {
    (void)state;
    char want[64];
    const char *folder = writer();
    double best = metric(folder, "end", "best");
    snprintf(want, sizeof want, "validation loss %.4f nats, %.4f bits per character", best, best / log(2));
    const outcome *o = run("tare-charlm --eval %s", folder);
    assert_code(0, o);
    assert_contains(o->out, want);
    o = run("tare-charlm --eval %s --json --eval-limit 101", folder);
    assert_contains(o->out, "\"tokens\":100}");
    write_bytes("more.txt", "the cat sat on the mat and then slept", 37);
    o = run("tare-charlm --eval %s --json --text %s/more.txt", folder, work); /* all of it */
    assert_code(0, o);
    assert_contains(o->out, "\"tokens\":36}");
    write_bytes("news.txt", "the cat, the mat", 16);
    o = run("tare-charlm --eval %s --text %s/news.txt", folder, work);
    assert_code(1, o);
    assert_contains(o->err, "news.txt: character 8 is \",\" (U+002C), which the model has never seen");
}

/* Nothing is parsed and passed over: what has no use with --eval is refused. */
static void test_eval_usage(void **state) {
    (void)state;
    const char *folder = writer();
    static const char *const writing[] = { "--temperature 1", "--top-k 2", "--sample-seed 2" };
    for (size_t i = 0; i < 3; i++) {
        const outcome *o = run("tare-charlm --eval %s %s", folder, writing[i]);
        assert_code(2, o);
        assert_contains(o->err, "is for writing: add --sample N or --prompt TEXT");
    }
    const outcome *o = run("tare-charlm --eval %s --sample 5 --eval-limit 9", folder);
    assert_code(2, o);
    assert_contains(o->err, "--eval-limit is to test");
    o = run("tare-charlm --eval %s --memory", folder);
    assert_code(2, o);
    assert_contains(o->err, "--profile and --memory look at steps of training");
    o = run("tare-charlm --eval %s --eval-limit 1", folder);
    assert_code(1, o);
    assert_contains(o->err, "1 characters are held out, 2 are needed");
}

/* The held-out tenth of a text that has changed since may hold what was learned. */
static void test_eval_knows_its_text(void **state) {
    (void)state;
    write_words("mine.txt", 600);
    assert_code(0, run("tare-charlm --text %s/mine.txt --layers 1 --heads 2 --width 16 --context 16 --steps 2 --quiet "
                       "--out %s/mine",
                       work, work));
    assert_code(0, run("tare-charlm --eval %s/mine", work));
    write_words("mine.txt", 500);
    const outcome *o = run("tare-charlm --eval %s/mine", work);
    assert_code(1, o);
    assert_contains(o->err, "not what this run was trained on");
    assert_code(0, run("tare-charlm --eval %s/mine --text %s/mine.txt", work, work));
}

/* ---- output -------------------------------------------------------------------------------------------------------- */

static void test_quiet_and_json(void **state) {
    (void)state;
    const outcome *o = run("tare-charlm " SMALL "--steps 20 --quiet --out %s/quiet", work, work);
    assert_code(0, o);
    assert_string_equal(o->out, "");
    assert_string_equal(o->err, "");
    o = run("tare-charlm " SMALL "--steps 20 --json --norm-stats 10 --out %s/json", work, work);
    assert_code(0, o);
    assert_string_equal(o->out, metrics_of(place("json")));
    assert_int_equal(count_of(place("json"), "\"step\":10,\"layer\":\"layers.1.norm2\""), 1);
    o = run("tare-charlm " SMALL "--dry-run --out %s/dry", work, work);
    assert_code(0, o);
    assert_contains(o->out, "MiB for a step of 128 tokens");
    assert_false(exists(place("dry")));
}

/* No line of the help is wider than 80 columns. */
static void test_help(void **state) {
    (void)state;
    const outcome *o = run("tare-charlm --help");
    assert_code(0, o);
    for (const char *s = o->out; *s; s += strcspn(s, "\n") + 1) { assert_true(strcspn(s, "\n") <= 80); }
    assert_contains(o->out, "--prompt TEXT");
}

/* ---- what bad input gets ------------------------------------------------------------------------------------------- */

static void test_usage(void **state) {
    (void)state;
    static const struct {
        const char *args, *words[2];
    } cases[] = {
        { "--heads 3", { "--heads 3 do not divide --width 128" } },
        { "--context 100000", { "--context", "from 1 to 4096" } },
        { "--context 4000 --arch lstm", { "--context 4000 is too long", "or less" } },
        { "--arch gtp", { "did you mean \"gpt\"?" } },
        { "--arch lstm --heads 4", { "--heads: lstm has none" } },
        { "--arch lstm --nonlinearity relu", { "--nonlinearity" } },
        { "--arch gpt --embedding 4", { "--embedding: gpt has none" } },
        { "--arch lstm --norm-place pre", { "cell or input" } },
        { "--norm-place cell", { "pre or post" } },
        { "--arch gru --layers 9", { "8 at most" } },
        { "--arch gru --tied yes --embedding 5", { "--tied yes", "256" } },
        { "--arch lstm --norm wn", { "normalises weights" } },
        { "--norm nl", { "--norm" } },
        { "--ffn swigul", { "did you mean \"swiglu\"?" } },
        { "--positions rotary --width 12 --heads 4", { "rotary positions turn pairs" } },
        { "--temprature 1", { "did you mean --temperature?" } },
        { "--prompt xyz", { "--prompt: the model has never seen \"x\" (U+0078); it knows 17 characters" } },
        { "--prompt=the.cat.sat --context 4", { "--prompt has 11 characters", "sees 4 at once" } },
        { "--optimizer sgd --beta2 0.5", { "--beta1, --beta2: sgd has none" } },
        { "--warmup 5000", { "--warmup" } },
        { "--eval somewhere", { "--eval writes nothing" } },
        { "words.txt", { "unexpected word \"words.txt\"" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const outcome *o = run("tare-charlm --text %s/words.txt --out %s/never %s", work, work, cases[i].args);
        if (o->code != 2) { fail_msg("%s: exit code %d\n%s", cases[i].args, o->code, o->err); }
        for (int k = 0; k < 2 && cases[i].words[k]; k++) { assert_contains(o->err, cases[i].words[k]); }
        assert_true(strncmp(o->err, "tare charlm: ", 13) == 0);
        assert_false(exists(place("never")));
    }
    assert_code(2, run("tare-charlm --eval %s/nothing", work));
    assert_code(2, run("tare-charlm --eval %s --sample 5 --text %s/words.txt", writer(), work));
}

static void test_bad_text(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *words;
    } cases[] = {
        { "", 0, 1, "bad.txt: is empty" },
        { "good\nb\xff\xfe", 8, 1, "bad.txt: no text in UTF-8: byte 7 (line 2) is 0xff; convert it, or take --bytes" },
        { "a\0b", 3, 1, "byte 2 (line 1) is 0x00" },
        { "\xc3", 1, 1, "byte 1 (line 1) is 0xc3" },         /* cut short */
        { "\xc0\x80", 2, 1, "byte 1 (line 1) is 0xc0" },     /* longer than needed */
        { "\xed\xa0\x80", 3, 1, "byte 1 (line 1) is 0xed" }, /* half of a pair */
        { "four", 4, 2, "--context 64 is too long: there are 3 characters to train on; take --context 2 or less" },
        { "1", 1, 2, "too little to learn from: 0 characters; take a longer text" },
        { "\xef\xbb\xbf", 3, 1, "bad.txt: has a byte order mark and no text" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_bytes("bad.txt", cases[i].bytes, cases[i].size);
        const outcome *o = run("tare-charlm --text %s/bad.txt --out %s/never", work, work);
        assert_code(cases[i].code, o);
        assert_contains(o->err, cases[i].words);
        assert_false(exists(place("never")));
    }
    const outcome *o = run("tare-charlm --text %s/words.txt %s/missing.txt --out %s/never", work, work, work);
    assert_code(1, o);
    assert_contains(o->err, "missing.txt: cannot be opened: No such file or directory");
    o = run("tare-charlm --text %s --out %s/never", work, work);
    assert_code(1, o);
    assert_contains(o->err, "Is a directory");
}

/* Another program's run, a file without a vocabulary. */
static void test_strange_runs(void **state) {
    (void)state;
    assert_code(0, run("tare-charlm " SMALL "--steps 5 --quiet --out %s/strange", work, work));
    assert_int_equal(unlink(place("strange/best.safetensors")), 0);
    assert_int_equal(truncate(place("strange/last.safetensors"), 3000), 0);
    const outcome *o = run("tare-charlm --eval %s/strange", work);
    assert_code(1, o);
    assert_contains(o->err, "last.safetensors");
    tare_params *ps = tare_params_new(1);
    tare_param(ps, "w", TARE_SHAPE(2), 0);
    assert_ok(tare_params_save(ps, place("strange/last.safetensors")));
    tare_params_free(ps);
    o = run("tare-charlm --eval %s/strange", work);
    assert_code(1, o);
    assert_contains(o->err, "no vocabulary");
}

/* Weights of NaN say nothing, and write nothing; weights that are sound may still be too large for any text. */
static void test_eval_of_nan(void **state) {
    (void)state;
    const char *folder = place("spoilt");
    assert_code(0, run("tare-charlm " SMALL "--steps 1 --out %s", work, folder));
    spoil(folder, "best.safetensors");
    const char *const ways[] = { "", "--json", "--prompt the --sample 3" };
    for (size_t i = 0; i < 3; i++) {
        const outcome *o = run("tare-charlm --eval %s %s", folder, ways[i]);
        assert_code(3, o);
        assert_string_equal(o->out, "");
        assert_contains(o->err, "best.safetensors: ");
        assert_contains(o->err, " holds nan at 0 of ");
    }
}

/* A rate beyond all measure: the second step's loss is NaN; what is saved is the state before it. */
static void test_nonfinite(void **state) {
    (void)state;
    const char *folder = place("nan");
    for (int i = 0; i < 2; i++) {
        const outcome *o = run("tare-charlm " TEXT "--optimizer sgd --lr 1e30 --clip 0 --warmup 0 --schedule constant "
                               "--steps 5 --force %s --out %s",
                               work, i ? "--arch rnn --nonlinearity relu --lr 1e20" : "--norm none", folder);
        assert_code(3, o);
        assert_contains(o->err, "made NaN or Inf");
        assert_contains(o->err, "saved");
        assert_contains(o->err, "a lower --lr may help");
        assert_true(metric(folder, "nonfinite", "step") >= 2);
    }
    /* the step itself went well, what came of it fails in the test */
    const outcome *o = run("tare-charlm " SMALL "--optimizer sgd --lr 1e30 --clip 0 --warmup 0 --schedule constant "
                           "--norm none --steps 1 --force --out %s",
                           work, folder);
    assert_code(3, o);
    assert_contains(o->err, "step 1: the loss on the text held out is NaN; a lower --lr may help");
    assert_int_equal(metric(folder, "nonfinite", "step"), 1);
    assert_false(exists(test_path(folder, "best.safetensors")));
}

int main(void) {
    if (access(TARE_TEST_BIN "/tare-charlm", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_writes_as_recomputed),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_sample_seed_in_training),
        cmocka_unit_test(test_recurrent_writes),
        cmocka_unit_test(test_bert_fills_gaps),
        cmocka_unit_test(test_closed_pipe),
        cmocka_unit_test(test_ctrl_c_ends_writing),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_eval_usage),
        cmocka_unit_test(test_eval_knows_its_text),
        cmocka_unit_test(test_quiet_and_json),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_strange_runs),
        cmocka_unit_test(test_eval_of_nan),
        cmocka_unit_test(test_nonfinite),
    };
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
