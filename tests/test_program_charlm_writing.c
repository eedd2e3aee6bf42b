/* test_program_charlm_writing.c - what a model that tare charlm has trained is for: it writes, fills gaps, and is measured. */
#include "charlm_words.h"

/* ---- writing ------------------------------------------------------------------------------------------------------- */

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

int main(void) {
    if (access(TARE_TEST_BIN "/tare-charlm", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
