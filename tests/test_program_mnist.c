/* test_program_mnist.c - tare mnist from end to end on small data: learning, what it prints, what a finished run is for. */
#include "mnist_stripes.h"

#include <math.h>

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

int main(void) {
    if (access(TARE_TEST_BIN "/tare-mnist", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_leaves_what_reports_show),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_tests),
        cmocka_unit_test(test_resnet),
        cmocka_unit_test(test_accumulate),
        cmocka_unit_test(test_quiet_and_json),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_closed_pipe),
        cmocka_unit_test(test_eval_and_predict),
        cmocka_unit_test(test_batch_norm_both_ways),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
