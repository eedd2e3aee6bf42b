/* test_program_charlm.c - tare charlm from end to end on a small made-up language: learning, resuming, what it prints. */
#include "charlm_words.h"

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
    assert_null(strstr(o->out, "a step takes")); /* none was made */
    assert_true(metric(folder, "end", "step") == step && metric(folder, "end", "val_loss") == loss);
    assert_code(0, run("tare-charlm --resume %s --seconds 0.3", folder));
    assert_true(metric(folder, "end", "step") > step && metric(folder, "end", "seconds") >= 0.3);
}

/* ---- resuming ------------------------------------------------------------------------------------------------------ */

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

int main(void) {
    if (access(TARE_TEST_BIN "/tare-charlm", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns), cmocka_unit_test(test_files),     cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_interrupt), cmocka_unit_test(test_quiet_and_json),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
