/* test_program_mnist.c - tare mnist from end to end on small data: learning, resuming, stopping, bad input. */
#include "run_folder.h"

#include <math.h>

#include "data_fixtures.h"

/* Commands share this: few images, few steps, everything random switched on. */
#define SMALL "--data %s/data --batch 20 --seed 3 --threads 1 "

/* ---- data: five classes, each a bright stripe at its own height, in noise -------------------------------------------- */

enum { SIZE = 12, CLASSES = 5, TRAIN = 301, TEST = 100 };

static void draw(tare_rng *rng, int label, uint8_t *pixels) {
    for (int i = 0; i < SIZE * SIZE; i++) { pixels[i] = (uint8_t)tare_rng_below(rng, 100); }
    for (int x = 0; x < SIZE; x++) { pixels[(2 * label + 1) * SIZE + x] = (uint8_t)(100 + tare_rng_below(rng, 150)); }
}

static void write_idx(const char *dir, const char *images, const char *labels, int n) {
    tare_rng rng = tare_rng_new(5, images);
    buffer x = { .size = 0 }, y = { .size = 0 };
    put_big32(&x, 0x0803);
    put_big32(&x, (uint32_t)n);
    put_big32(&x, SIZE);
    put_big32(&x, SIZE);
    put_big32(&y, 0x0801);
    put_big32(&y, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        uint8_t pixels[SIZE * SIZE];
        draw(&rng, i % CLASSES, pixels);
        put(&x, pixels, sizeof pixels);
        put_byte(&y, i % CLASSES);
    }
    write_buffer(dir, images, &x);
    write_buffer(dir, labels, &y);
}

static int make_data(void **state) {
    (void)state;
    work = test_dir_new();
    const char *dir = make_dir(work, "data");
    write_idx(dir, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", TRAIN);
    write_idx(dir, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", TEST);
    return 0;
}

static int remove_data(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

/* ---- what a run has left ------------------------------------------------------------------------------------------- */

static void assert_same_epoch(const char *a, const char *b) {
    static const char *const names[] = { "step", "lr", "loss", "accuracy", "test_loss", "test_accuracy", "best" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        double x = metric(a, "epoch", names[i]), y = metric(b, "epoch", names[i]);
        if (!(x == y)) { fail_msg("%s: %.17g and %.17g", names[i], x, y); }
    }
}

/* ---- learning ------------------------------------------------------------------------------------------------------ */

static void test_learns(void **state) {
    (void)state;
    static const char *const specs[] = { "--arch cnn --norm bn", "--arch mlp --norm ln", "--arch cnn --norm gn:8",
                                         "--arch mlp --norm none --optimizer sgd --momentum 0.9 --lr 0.05" };
    for (int i = 0; i < 4; i++) {
        const char *folder = place((const char *[]){ "learns0", "learns1", "learns2", "learns3" }[i]);
        const outcome *o = run("tare-mnist " SMALL "%s --epochs 6 --out %s", work, specs[i], folder);
        assert_code(0, o);
        assert_contains(o->out, "parameters");
        assert_contains(o->out, "6/6");
        assert_contains(o->out, folder);
        assert_null(strchr(o->out, '\r')); /* no bar where there is no terminal */
        assert_null(strchr(o->out, '\033'));
        double accuracy = metric(folder, "epoch", "test_accuracy");
        if (!(accuracy >= 0.97)) { fail_msg("%s: accuracy %g", specs[i], accuracy); }
        assert_true(exists(test_path(folder, "best.safetensors")));
    }
}

/* What the report reads beside the curves. */
static void test_leaves_what_reports_show(void **state) {
    (void)state;
    const char *folder = place("shown");
    char text[65536];
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --limit 100 --epochs 2 --out %s", work, folder));
    read_text(test_path(folder, "summary.txt"), text, sizeof text);
    assert_contains(text, "linear 144");
    read_text(test_path(folder, "confusion.json"), text, sizeof text);
    assert_contains(text, "\"counts\"");
    double said = 0; /* all numbers of the table add up to the test set */
    for (const char *s = strstr(text, "\"counts\""); *s && strncmp(s, "]]", 2) != 0; s++) {
        if (strchr("[, ", s[-1]) && *s >= '0' && *s <= '9') { said += strtod(s, NULL); }
    }
    assert_near(said, TEST, 0);
    assert_near(metric(folder, "train", "step"), 10, 0);
    assert_true(metric(folder, "train", "loss") > 0 && metric(folder, "train", "grad_norm") > 0);
    assert_true(metric(folder, "epoch", "seconds") == metric(folder, "end", "seconds")); /* both from the start */
    const outcome *o = run("tare-report %s/", folder);
    assert_code(0, o);
    assert_contains(o->out, "shown/report.html\n");
    assert_true(exists(test_path(folder, "report.html")));
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --limit 100 --epochs 1 --force --out %s", work, folder));
    assert_false(exists(test_path(folder, "report.html"))); /* of the run that was cleared */
    assert_code(2, run("tare-report"));
    o = run("tare-report %s %s --out x.html", folder, folder);
    assert_code(2, o);
    assert_contains(o->err, "--out");
    o = run("tare-report %s", work);
    assert_code(1, o);
    assert_contains(o->err, "no run");
}

/* --steps ends within an epoch, tests then, and resumes to the same bits; --eval-every tests in between and changes nothing. */
static void test_steps(void **state) {
    (void)state;
    const char *common = "--arch mlp --norm bn --steps 25";
    assert_code(0, run("tare-mnist " SMALL "%s --out %s/steps", work, common, work));
    assert_code(0, run("tare-mnist " SMALL "%s --eval-every 10 --out %s/steps-eval", work, common, work));
    assert_true(metric(place("steps"), "end", "step") == 25 && metric(place("steps"), "end", "epoch") == 2);
    assert_same_model(place("steps"), place("steps-eval"));
    assert_true(isnan(metric(place("steps"), "eval", "step")));
    assert_true(metric(place("steps-eval"), "eval", "step") == 20);
    double tested = metric(place("steps-eval"), "eval", "test_accuracy");
    assert_true(tested > 0.2 && tested <= 1);
    assert_code(2, run("tare-mnist " SMALL "--steps 25 --epochs 2 --out %s/both", work, work));
    const outcome *o = run("tare-mnist " SMALL "--arch mlp --epochs 1000 --seconds 0.05 --out %s/seconds", work, work);
    assert_code(0, o);
    assert_true(metric(place("seconds"), "end", "seconds") >= 0.05 && metric(place("seconds"), "end", "epoch") < 1000);
    assert_true(isfinite(metric(place("seconds"), "end", "test_accuracy")));
}

/* Tests at the end: other contrast, which instance norm does not see; batch norm with each image's own statistics. */
static void test_tests(void **state) {
    (void)state;
    const char *common = "--arch cnn --epochs 4 --test-contrast 0.2 --test-norm-batch 1";
    assert_code(0, run("tare-mnist " SMALL "%s --norm bn --out %s/tests-bn", work, common, work));
    assert_code(0, run("tare-mnist " SMALL "%s --norm in --out %s/tests-in", work, common, work));
    assert_near(metric(place("tests-in"), "contrast", "contrast"), 0.2, 0);
    assert_true(metric(place("tests-bn"), "contrast", "contrast_accuracy") <
                metric(place("tests-bn"), "end", "test_accuracy"));
    double same =
        metric(place("tests-in"), "contrast", "contrast_accuracy") - metric(place("tests-in"), "end", "test_accuracy");
    assert_true(fabs(same) <= 0.05);
    assert_true(metric(place("tests-bn"), "batch_norm", "batch_statistics_accuracy") > 0);
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --epochs 1 --test-norm-batch 1 --out %s/tests-mlp", work, work));
    assert_true(
        isnan(metric(place("tests-mlp"), "batch_norm", "batch_statistics_accuracy"))); /* one value has no variance */
    assert_true(isnan(metric(place("tests-in"), "batch_norm", "batch_statistics_accuracy")));
}

static void test_resnet(void **state) {
    (void)state;
    const outcome *o =
        run("tare-mnist " SMALL "--arch resnet20 --limit 20 --test-limit 10 --epochs 1 --out %s/resnet", work, work);
    assert_code(0, o);
    assert_contains(o->out, "stage3.2.conv2");
    assert_true(isfinite(metric(place("resnet"), "epoch", "test_loss")));
}

/* Gradients of 5 batches of 4 are those of one of 20 where the norm looks at single samples; BatchNorm says so. */
static void test_accumulate(void **state) {
    (void)state;
    const char *common = "--arch mlp --norm ln --epochs 1 --limit 300 --schedule constant";
    assert_code(0, run("tare-mnist --data %s/data --batch 20 %s --out %s/acc1", work, common, work));
    const outcome *o = run("tare-mnist --data %s/data --batch 4 --accumulate 5 %s --out %s/acc5", work, common, work);
    assert_code(0, o);
    assert_contains(o->out, "effective batch 20, norm batch 1");
    double one = metric(place("acc1"), "epoch", "loss"), five = metric(place("acc5"), "epoch", "loss");
    assert_near(five, one, 1e-4 * one);
    assert_int_equal(metric(place("acc5"), "epoch", "step"), 15);
    o = run("tare-mnist --data %s/data --batch 5 --accumulate 4 --arch mlp --epochs 1 --out %s/acc4", work, work);
    assert_code(0, o);
    assert_contains(o->out, "effective batch 20, norm batch 5");
    assert_contains(o->out, "last batch of one image is left out"); /* 301 = 60 * 5 + 1 */
    assert_int_equal(metric(place("acc4"), "start", "images"), 300);
}

/* ---- resuming ------------------------------------------------------------------------------------------------------ */

#define RANDOM "--arch cnn --norm bn --dropout 0.3 --augment both --label-smoothing 0.1 --weight-decay 0.05 --clip 1 "

static void test_resume(void **state) {
    (void)state;
    const char *whole = place("whole"), *parts = place("parts");
    assert_code(0, run("tare-mnist " SMALL RANDOM "--schedule constant --epochs 4 --out %s", work, whole));
    assert_code(0, run("tare-mnist " SMALL RANDOM "--schedule constant --epochs 2 --out %s", work, parts));
    assert_code(0, run("tare-mnist --resume %s --epochs 4 --threads 2", parts));
    assert_same_model(whole, parts);
    assert_same_epoch(whole, parts);
    /* finished is finished */
    assert_code(0, run("tare-mnist --resume %s", parts));
    assert_same_model(whole, parts);
    const outcome *o = run("tare-mnist --resume %s --norm gn:8", parts);
    assert_code(2, o);
    assert_contains(o->err, "--norm cannot change");
}

/* Killed after steps that no checkpoint knows of: they are made again, and stand in metrics.jsonl once. */
static void test_steps_made_again(void **state) {
    (void)state;
    const char *folder = place("killed");
    assert_code(0, run("tare-mnist " SMALL RANDOM "--epochs 2 --schedule constant --out %s", work, folder));
    assert_int_equal(rename(test_path(folder, "last.safetensors"), place("kept")), 0);
    assert_code(0, run("tare-mnist " SMALL RANDOM "--epochs 4 --schedule constant --force --out %s", work, folder));
    int64_t steps = count_of(folder, "{\"event\":\"train\"");
    assert_true(steps > 30);
    assert_int_equal(rename(place("kept"), test_path(folder, "last.safetensors")), 0);
    assert_code(0, run("tare-mnist --resume %s", folder));
    assert_int_equal(count_of(folder, "{\"event\":\"train\""), steps);
    assert_int_equal(count_of(folder, "{\"event\":\"resume\""), 1);
    assert_int_equal(count_of(folder, "{\"event\":\"epoch\""), 4);
    assert_int_equal(count_of(folder, "{\"event\":\"end\""), 1);
    double before = 0;
    for (const char *s = metrics_of(folder); (s = strstr(s, "{\"event\":\"train\",\"step\":")); s++) {
        double step = strtod(s + strlen("{\"event\":\"train\",\"step\":"), NULL);
        assert_true(step > before);
        before = step;
    }
}

/* Ctrl-C in the middle of an epoch, then --resume: as if nothing had happened. */
static void test_interrupt(void **state) {
    (void)state;
    const char *whole = place("calm"), *parts = place("stopped"), *out = place("stopped.txt");
    char line[16384];
    assert_code(0, run("tare-mnist " SMALL RANDOM "--epochs 8 --out %s", work, whole));
    snprintf(line, sizeof line, "tare-mnist " SMALL RANDOM "--epochs 8 --out %s", work, parts);
    pid_t child = spawn(&(start){ .out = out, .err = out }, line);
    assert_true(wait_for(test_path(parts, "metrics.jsonl"), "\"epoch\":1,"));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(wait_code(child), 130);
    char said[4096];
    read_text(out, said, sizeof said);
    assert_contains(said, "--resume");
    assert_true(metric(parts, "stop", "step") >= 15);
    assert_true(metric(parts, "stop", "step") < 8 * 15);
    assert_code(0, run("tare-mnist --resume %s --quiet", parts));
    assert_same_model(whole, parts);
    assert_same_epoch(whole, parts);
}

/* Stopped within the first epoch, resumed with no time left: the epoch so far is tested, no accuracy is made up. */
static void test_no_time_left(void **state) {
    (void)state;
    const char *folder = place("hurried"), *out = place("hurried.txt");
    char line[16384];
    snprintf(line, sizeof line, "tare-mnist " SMALL "--arch resnet20 --limit 0 --epochs 1 --out %s", work, folder);
    pid_t child = spawn(&(start){ .out = out, .err = out }, line);
    assert_true(wait_for(test_path(folder, "metrics.jsonl"), "\"event\":\"train\""));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(wait_code(child), 130);
    assert_code(0, run("tare-mnist --resume %s --seconds 0.0001", folder));
    assert_int_equal(metric(folder, "end", "epoch"), 1);
    assert_true(metric(folder, "end", "test_accuracy") > 0);
    assert_int_equal(count_of(folder, "\"event\":\"epoch\""), 1);
}

/* ---- looking into steps -------------------------------------------------------------------------------------------- */

/* --norm-stats changes no weight; every tenth step of 26 is logged, once each, whether the run is resumed in between or not. */
static void test_norm_stats(void **state) {
    (void)state;
    const char *without = place("unseen"), *with = place("seen");
    const char *common = RANDOM "--schedule constant --limit 256";
    assert_code(0, run("tare-mnist " SMALL "%s --epochs 2 --out %s", work, common, without));
    assert_code(0, run("tare-mnist " SMALL "%s --epochs 1 --norm-stats 10 --out %s", work, common, with));
    assert_code(0, run("tare-mnist --resume %s --epochs 2", with));
    assert_same_model(without, with);
    assert_int_equal(metric(with, "epoch", "step"), 26);
    assert_int_equal(count_of(without, "_stats\""), 0);
    for (int step = 0; step < 26; step++) {
        char words[64];
        snprintf(words, sizeof words, "\"step\":%d,\"layer\":\"block1.norm\"", step);
        assert_int_equal(count_of(with, words), step % 10 == 0);
    }
    assert_int_equal(metric(with, "norm_stats", "step"), 20);
    assert_true(metric(with, "weight_stats", "grad_norm") > 0);
    /* evaluation and another interval on resuming */
    assert_code(0, run("tare-mnist --eval %s --quiet", with));
    assert_code(0, run("tare-mnist --resume %s --epochs 3 --norm-stats 0 --quiet", with));
    assert_int_equal(metric(with, "epoch", "step"), 39);
    assert_int_equal(metric(with, "norm_stats", "step"), 20);
}

/* ---- output -------------------------------------------------------------------------------------------------------- */

static void test_quiet_and_json(void **state) {
    (void)state;
    const outcome *o = run("tare-mnist " SMALL "--arch mlp --epochs 2 --quiet --out %s/quiet", work, work);
    assert_code(0, o);
    assert_string_equal(o->out, "");
    assert_string_equal(o->err, "");
    o = run("tare-mnist " SMALL "--arch mlp --epochs 2 --json --out %s/json", work, work);
    assert_code(0, o);
    char metrics[16384];
    read_text(place("json/metrics.jsonl"), metrics, sizeof metrics);
    assert_string_equal(o->out, metrics);
    o = run("tare-mnist --version");
    assert_code(0, o);
    assert_contains(o->out, TARE_VERSION);
    assert_code(0, run("tare-mnist --help"));
}

static void test_profile(void **state) {
    (void)state;
    const outcome *o =
        run("tare-mnist " SMALL "--arch mlp --epochs 1 --profile 3 --memory --out %s/profile", work, work);
    assert_code(0, o);
    assert_contains(o->out, "memory of a step, in MiB");
    assert_contains(o->out, "(3 steps on 1 threads)");
    assert_contains(o->out, "\n(data) ");
    o = run("tare-mnist --eval %s/profile --profile 3", work);
    assert_code(2, o);
    assert_contains(o->err, "--eval makes none");
    o = run("tare-mnist " SMALL "--arch mlp --recompute --dry-run", work);
    assert_code(2, o);
    assert_contains(o->err, "mlp has no blocks");
    assert_code(
        0, run("tare-mnist " SMALL "--arch resnet20 --recompute --limit 20 --epochs 1 --out %s/again", work, work));
}

/* The weights that steps with half the room end at, to the last bit; and what cannot be had is said. */
static void test_memory_limit(void **state) {
    (void)state;
    char folder[3][512];
    for (int i = 0; i < 3; i++) {
        const int limit[] = { 0, 3, 2 };
        snprintf(folder[i], sizeof folder[i], "%s/limit%d", work, i);
        const outcome *o = run("tare-mnist " SMALL "--arch cnn --limit 60 --epochs 1 --memory-limit %d --out %s", work,
                               limit[i], folder[i]);
        assert_code(0, o);
        assert_int_equal(strstr(o->out, "--memory-limit 2 cannot be kept") != NULL, limit[i] == 2);
        assert_same_model(folder[0], folder[i]);
    }
    const outcome *o = run("tare-mnist " SMALL "--arch cnn --memory-limit 1 --dry-run", work);
    assert_code(2, o);
    assert_contains(o->err, "optimizer's state take 1.");
}

static void test_dry_run(void **state) {
    (void)state;
    const outcome *o = run("tare-mnist " SMALL "--dry-run --out %s/dry", work, work);
    assert_code(0, o);
    assert_contains(o->out, "MiB for a step of 20 images");
    assert_contains(o->out, "\"batch\": 20");
    assert_false(exists(place("dry")));
    o = run("tare-mnist " SMALL "--dry-run --json", work);
    assert_code(0, o);
    assert_true(strncmp(o->out, "{\"event\":\"dry_run\",", 19) == 0);
    assert_null(strchr(strchr(o->out, '\n') + 1, '\n')); /* one line */
    assert_string_equal(run("tare-mnist " SMALL "--dry-run --quiet", work)->out, "");
}

/* A reader that goes away ends the run quietly: the state is saved, the code is a closed pipe's. */
static void test_closed_pipe(void **state) {
    (void)state;
    const char *fifo = place("fifo"), *err = place("pipe.txt");
    char line[16384], said[4096];
    snprintf(line, sizeof line, "tare-mnist " SMALL "--arch mlp --epochs 1000 --out %s/piped", work, work);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    pid_t child = spawn(&(start){ .out = fifo, .err = err }, line);
    FILE *pipe_end = fopen(fifo, "r");
    assert_non_null(pipe_end);
    assert_int_not_equal(fgetc(pipe_end), EOF);
    fclose(pipe_end);
    assert_int_equal(wait_code(child), 128 + SIGPIPE);
    read_text(err, said, sizeof said);
    assert_string_equal(said, "");
    assert_true(exists(place("piped/last.safetensors")));
}

/* ---- a finished run ------------------------------------------------------------------------------------------------ */

static void test_eval_and_predict(void **state) {
    (void)state;
    const char *folder = place("done");
    assert_code(0, run("tare-mnist " SMALL "--arch cnn --epochs 6 --out %s", work, folder));
    const outcome *o = run("tare-mnist --eval %s", folder);
    assert_code(0, o);
    char want[64];
    snprintf(want, sizeof want, "test accuracy %.2f%%", 100 * metric(folder, "epoch", "best"));
    assert_contains(o->out, want);
    assert_contains(o->out, "of 20)"); /* per class */

    tare_rng rng = tare_rng_new(9, "pictures");
    for (int label = 0; label < CLASSES; label++) {
        uint8_t pixels[SIZE * SIZE];
        char name[32];
        draw(&rng, label, pixels);
        snprintf(name, sizeof name, "class%d.png", label);
        const char *path = place(name);
        assert_int_not_equal(stbi_write_png(path, SIZE, SIZE, 1, pixels, SIZE), 0);
        o = run("tare-mnist --eval %s --predict %s", folder, path);
        assert_code(0, o);
        snprintf(want, sizeof want, "%s: %d ", name, label);
        assert_contains(o->out, want);
    }
    o = run("tare-mnist --resume %s --predict %s", folder, place("class3.png")); /* the other way to name the run */
    assert_code(0, o);
    assert_contains(o->out, "class3.png: 3 ");
    /* one bad file does not spoil the rest, and its name is said; no data set is needed */
    o = run("tare-mnist --eval %s --data /nowhere --predict %s/done/config.json %s", folder, work, place("class2.png"));
    assert_code(1, o);
    assert_contains(o->err, "config.json");
    assert_contains(o->out, "class2.png: 2 ");
}

/* Running statistics that hardly move do not fit; the batch's own do. Other norms have nothing to compare. */
static void test_batch_norm_both_ways(void **state) {
    (void)state;
    const char *folder = place("slow_statistics");
    const outcome *o =
        run("tare-mnist " SMALL "--arch cnn --norm bn:stat_update=1e-6 --epochs 4 --out %s", work, folder);
    assert_code(0, o);
    assert_contains(o->out, "with each batch's own");
    assert_contains(o->out, "warning: the running statistics do not fit");
    double running = metric(folder, "batch_norm", "running_statistics_accuracy");
    assert_true(running == metric(folder, "end", "test_accuracy"));
    assert_true(metric(folder, "batch_norm", "batch_statistics_accuracy") > running + 0.02);
    o = run("tare-mnist --eval %s", folder);
    assert_code(0, o);
    assert_contains(o->out, "with running statistics");
    o = run("tare-mnist --eval %s --json", folder);
    assert_contains(o->out, "\"batch_statistics_accuracy\"");
    o = run("tare-mnist " SMALL "--arch cnn --norm gn:8 --epochs 1 --out %s", work, place("no_batch_norm"));
    assert_code(0, o);
    assert_null(strstr(o->out, "with running statistics"));
}

/* ---- what bad input gets ------------------------------------------------------------------------------------------- */

static void test_usage(void **state) {
    (void)state;
    static const struct {
        const char *args, *words[2];
    } cases[] = {
        { "--norm gm:8", { "--norm", "gn" } },
        { "--norm gn:7", { "7", "8" } },
        { "--batch 0", { "--batch", "from 1" } },
        { "--lr -1", { "--lr", "at least 0" } },
        { "--lr nan", { "--lr" } },
        { "--weight-decay nan", { "--weight-decay" } },
        { "--dropout 1.5", { "--dropout" } },
        { "--epohcs 3", { "did you mean --epochs?" } },
        { "--arch cnnn", { "mlp|cnn|resnet20", "did you mean \"cnn\"?" } },
        { "--optimizer adamx", { "adamw" } },
        { "--schedule sometimes", { "--schedule" } },
        { "--warmup 100000", { "--warmup" } },
        { "--predict x.png", { "--eval" } },
        { "--resume a --out b", { "--resume" } },
        { "--resume a --eval b", { "--resume" } },
        { "--eval b", { "--eval", "--out" } },
        { "--arch mlp --norm bn --batch 1", { "--batch 2", "ln" } },
        { "--schedule cosine:gamma=0.5", { "--schedule", "no gamma" } },
        { "--schedule cosine:min=1", { "--schedule", "min is 1" } },
        { "picture.png", { "unexpected word \"picture.png\"" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const outcome *o = run("tare-mnist --data %s/data --out %s/never %s", work, work, cases[i].args);
        if (o->code != 2) { fail_msg("%s: exit code %d\n%s", cases[i].args, o->code, o->err); }
        for (int k = 0; k < 2 && cases[i].words[k]; k++) { assert_contains(o->err, cases[i].words[k]); }
        assert_true(strncmp(o->err, "tare mnist: ", 12) == 0);
        assert_false(exists(place("never")));
    }
}

static void copy_data(const char *name) {
    const char *dir = make_dir(work, name);
    write_idx(dir, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60);
    write_idx(dir, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 20);
}

static void test_bad_data(void **state) {
    (void)state;
    copy_data("bad");
    const char *bad = place("bad");
    const outcome *o = run("tare-mnist --data %s/missing --out %s/never", work, work);
    assert_code(1, o);
    assert_contains(o->err, "missing");

    static const struct {
        const char *file;
        long cut; /* bytes to keep, or -1 */
        long at;  /* byte to change, or -1 */
        int value;
        const char *words;
    } cases[] = {
        { "train-images-idx3-ubyte", 1000, -1, 0, "train-images" },
        { "train-images-idx3-ubyte", -1, 2, 99, "train-images" },
        { "train-labels-idx1-ubyte", -1, 7, 59, "train-labels" },
        { "t10k-labels-idx1-ubyte", -1, 12, 200, "200" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_idx(bad, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60);
        write_idx(bad, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 20);
        const char *path = test_path(bad, cases[i].file);
        if (cases[i].cut >= 0) { assert_int_equal(truncate(path, cases[i].cut), 0); }
        if (cases[i].at >= 0) {
            FILE *file = fopen(path, "r+b");
            assert_int_equal(fseek(file, cases[i].at, SEEK_SET), 0);
            fputc(cases[i].value, file);
            fclose(file);
        }
        o = run("tare-mnist --data %s --out %s/never", bad, work);
        assert_code(1, o);
        assert_contains(o->err, cases[i].words);
        assert_false(exists(place("never")));
    }
}

static void test_bad_folder(void **state) {
    (void)state;
    const char *folder = place("taken");
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --epochs 1 --out %s", work, folder));
    const outcome *o = run("tare-mnist " SMALL "--arch mlp --epochs 1 --out %s", work, folder);
    assert_code(2, o);
    assert_contains(o->err, "--resume");
    assert_contains(o->err, "--force");
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --epochs 1 --out %s --force", work, folder));
    o = run("tare-mnist --resume %s/nothing", work);
    assert_code(2, o);
    assert_contains(o->err, "nothing/config.json");

    /* another model's weights */
    assert_code(0, run("tare-mnist " SMALL "--arch cnn --epochs 1 --limit 20 --out %s/other", work, work));
    assert_int_equal(rename(place("other/last.safetensors"), test_path(folder, "last.safetensors")), 0);
    o = run("tare-mnist --resume %s --epochs 2", folder);
    assert_code(1, o);
    assert_contains(o->err, "fc1.weight");
    assert_contains(o->err, "17 unexpected");
    /* a cut one */
    assert_int_equal(truncate(test_path(folder, "last.safetensors"), 5000), 0);
    o = run("tare-mnist --resume %s --epochs 2", folder);
    assert_code(1, o);
    assert_contains(o->err, "last.safetensors");
}

/* A checkpoint that does not fit on the disk leaves the one before it whole. */
static void test_full_disk(void **state) {
    (void)state;
    const char *folder = place("full");
    static char before[1 << 20], after[1 << 20];
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --schedule constant --epochs 1 --out %s", work, folder));
    read_text(test_path(folder, "last.safetensors"), before, sizeof before);
    const outcome *o = run_limited((start){ .file_limit = 100000 }, "tare-mnist --resume %s --epochs 2", folder);
    assert_code(1, o);
    assert_contains(o->err, "last.safetensors");
    read_text(test_path(folder, "last.safetensors"), after, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    assert_code(0, run("tare-mnist --resume %s --epochs 2", folder));
}

/* Weights of NaN: no class is likelier than another, so nothing is printed as if it meant something. */
static void test_eval_of_nan(void **state) {
    (void)state;
    const char *folder = place("spoilt");
    assert_code(0, run("tare-mnist " SMALL "--arch mlp --epochs 1 --out %s", work, folder));
    spoil(folder, "best.safetensors");
    const char *const ways[] = { "", "--json", "--predict spoilt.png" };
    for (size_t i = 0; i < 3; i++) {
        const outcome *o = run("tare-mnist --eval %s %s", folder, ways[i]);
        assert_code(3, o);
        assert_string_equal(o->out, "");
        assert_contains(o->err, "best.safetensors: ");
        assert_contains(o->err, "weight holds nan at 0 of ");
    }
}

/* A rate beyond all measure: the second step's loss is NaN; what is saved is the state before it. */
static void test_nonfinite(void **state) {
    (void)state;
    const char *folder = place("nan");
    const outcome *o =
        run("tare-mnist " SMALL "--arch cnn --norm bn --optimizer sgd --lr 1e30 --epochs 1 --out %s", work, folder);
    assert_code(3, o);
    assert_contains(o->err, "step 2");
    assert_contains(o->err, "block");
    assert_contains(o->err, "made NaN or Inf"); /* not: found in running statistics that this very op has written */
    assert_contains(o->err, "saved");
    assert_int_equal(metric(folder, "nonfinite", "step"), 2);
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(test_path(folder, "last.safetensors"), &r));
    for (int64_t i = 0; i < tare_reader_count(r); i++) {
        const tare_entry *e = tare_reader_at(r, i);
        double *x = calloc((size_t)e->numel, sizeof *x);
        tare_entry_double(e, x);
        for (int64_t k = 0; k < e->numel; k++) { assert_true(isfinite(x[k])); }
        free(x);
    }
    assert_string_equal(tare_reader_meta(r, "step"), "1");
    tare_reader_free(r);
    o = run("tare-mnist --resume %s", folder); /* the same step, the same end */
    assert_code(3, o);
    assert_contains(o->err, "step 2");
}

static void test_memory(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* AddressSanitizer reserves more than any limit */
#endif
    const outcome *o = run_limited((start){ .memory_limit = 1 << 30 },
                                   "tare-mnist --data %s/data --batch 1000000 --out %s/big --dry-run", work, work);
    assert_code(1, o);
    assert_contains(o->err, "memory");
    assert_null(strchr(o->err, '\n') + 1 < o->err + strlen(o->err) ? "more than a line" : NULL);
}

int main(void) {
    if (access(TARE_TEST_BIN "/tare-mnist", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_leaves_what_reports_show),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_tests),
        cmocka_unit_test(test_resnet),
        cmocka_unit_test(test_accumulate),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_steps_made_again),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_no_time_left),
        cmocka_unit_test(test_norm_stats),
        cmocka_unit_test(test_quiet_and_json),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_closed_pipe),
        cmocka_unit_test(test_eval_and_predict),
        cmocka_unit_test(test_batch_norm_both_ways),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_bad_data),
        cmocka_unit_test(test_bad_folder),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_eval_of_nan),
        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
