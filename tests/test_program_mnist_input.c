/* test_program_mnist_input.c - what bad input gets from tare mnist: options, data, folders, full disks, short memory. */
#include "mnist_stripes.h"

#include <math.h>

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
        cmocka_unit_test(test_usage),     cmocka_unit_test(test_bad_data),    cmocka_unit_test(test_bad_folder),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_eval_of_nan), cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
