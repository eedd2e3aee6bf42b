/* test_plugin.c - plugins as a person uses them: checked, trained with, resumed, refused; `tare norms` shows theirs. */
#include "data_fixtures.h"
#include "program_support.h"

#define PLUGINS TARE_TEST_BIN "/../plugins"
#define TRAIN   "tare-mnist --data %s/data --arch mlp --batch 20 --threads 1 "

/* Eighty noisy images of two classes: enough to train on, not to learn from. */
static int make_data(void **state) {
    (void)state;
    work = test_dir_new();
    write_four(make_dir(work, "data"), 80, 8, 8, 2);
    return 0;
}

static int remove_data(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

/* ---- tare gradcheck -------------------------------------------------------------------------------------------------- */

static void checks_in_either_precision(void **state) {
    (void)state;
    const outcome *o = run("tare-gradcheck " PLUGINS "/mynorm_f64.so");
    assert_code(0, o);
    assert_contains(o->out, "mynorm                     images ");
    assert_contains(o->out, "norm mynorm                [6,3,4] ");
    assert_contains(o->out, "4 cases passed, 0 failed");
    assert_null(strstr(o->out, "in float"));
    o = run("tare-gradcheck " PLUGINS "/mynorm.so");
    assert_code(0, o);
    assert_contains(o->out, "in float: errors up to 0.02 pass");
    assert_contains(o->out, "4 cases passed, 0 failed");
    o = run("tare-gradcheck " PLUGINS "/composed_f64.so relu " PLUGINS "/mynorm_f64.so mynorm/images");
    assert_code(0, o);
    assert_contains(o->out, "norm tanhnorm              [6] ");
    assert_contains(o->out, "relu ");
}

static void checks_layers(void **state) {
    (void)state;
    const outcome *o = run("tare-gradcheck " PLUGINS "/layer_f64.so");
    assert_code(0, o);
    assert_contains(o->out, "layer gate                 [6,3,4] ");
    assert_contains(o->out, "2 cases passed, 0 failed");
}

static void finds_a_wrong_backward(void **state) {
    (void)state;
    static const char *const files[] = { "wrong.so", "wrong_f64.so" };
    for (int i = 0; i < 2; i++) {
        const outcome *o = run("tare-gradcheck " PLUGINS "/%s", files[i]);
        assert_code(1, o);
        assert_contains(o->out, "FAILED");
        assert_contains(o->out, "wrong gradient");
        assert_contains(o->out, "0 cases passed, 1 failed");
    }
}

/* ---- training -------------------------------------------------------------------------------------------------------- */

static void trains_and_goes_on(void **state) {
    (void)state;
    /* The norm stands before the plugin that brings it, and the path is relative: both must not matter. */
    const outcome *o = run(TRAIN "--norm mynorm --epochs 1 --plugin " PLUGINS "/mynorm.so --out %s/run", work, work);
    assert_code(0, o);
    char config[65536];
    read_text(test_path(work, "run/config.json"), config, sizeof config);
    assert_contains(config, "\"norm\": \"mynorm\"");
    assert_contains(config, "/plugins/mynorm.so\"]");
    assert_null(strstr(config, "/../"));
    o = run("tare-mnist --eval %s/run", work);
    assert_code(0, o);
    assert_contains(o->out, "test accuracy");
    assert_code(0, run("tare-mnist --resume %s/run --epochs 2", work));
    assert_code(0, run("tare-mnist --eval %s/run --plugin " PLUGINS "/mynorm.so", work));
}

static void takes_several(void **state) {
    (void)state;
    const outcome *o =
        run(TRAIN "--plugin " PLUGINS "/composed.so " PLUGINS "/sign.so --norm tanhnorm:2 --optimizer sign "
                  "--epochs 1 --out %s/several",
            work, work);
    assert_code(0, o);
    o = run("tare-info %s/several/last.safetensors", work);
    assert_code(0, o);
    assert_contains(o->out, "norm1.a ");
    o = run(TRAIN "--plugin " PLUGINS "/composed.so --plugin " PLUGINS "/sign.so", work);
    assert_code(2, o);
    assert_contains(o->err, "--plugin is there twice");
}

static void misses_a_plugin(void **state) {
    (void)state;
    const outcome *o = run(TRAIN "--norm mynorm", work);
    assert_code(2, o);
    assert_contains(o->err, "there is no such norm; known: none, bn");
    o = run(TRAIN "--norm tanhnorm:0 --plugin " PLUGINS "/composed.so", work);
    assert_code(2, o);
    assert_contains(o->err, "a must be a number in 0.01..");
}

/* ---- refusals -------------------------------------------------------------------------------------------------------- */

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *file, *words;
    } cases[] = {
        { "other_abi.so", "other_abi.so: built for ABI " },
        { "mynorm_f64.so",
          "built for double, this program works in float; compile it with pkg-config's flags for tare" },
        { "no_entry.so", "no_entry.so: no plugin: it exports no tare_plugin_entry" },
        { "unbound.so", "unbound.so: not a shared object that can be loaded: undefined symbol: tare_gone" },
        { "taken_norm.so", "taken_norm.so: the name \"bn\" is taken: there is such a norm already" },
        { "taken_op.so", "taken_op.so: the name \"double\" is taken: there is such an op already" },
        { "taken_layer.so", "taken_layer.so: the name \"twin\" is taken: there is such a layer already" },
        { "taken_optim.so", "taken_optim.so: the name \"adam\" is taken: there is such an optimizer already" },
        { "half_norm.so", "half_norm.so: norm \"half\" needs a make, or else a transform" },
        { "nowhere.so", "nowhere.so: no such plugin" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const outcome *o = run("tare-mnist --plugin " PLUGINS "/%s --dry-run", cases[i].file);
        assert_code(2, o);
        assert_contains(o->err, cases[i].words);
        assert_string_equal(o->out, "");
    }
    const uint8_t text[] = "no shared object at all";
    write_file(work, "text.so", text, sizeof text);
    const outcome *o = run("tare-gradcheck %s/text.so", work);
    assert_code(2, o);
    assert_contains(o->err, "text.so: not a shared object that can be loaded: ");
    o = run("tare-gradcheck " PLUGINS "/sign.so");
    assert_code(2, o);
    assert_contains(o->err, "brings no op, layer or norm: nothing to check");
    o = run("tare-gradcheck " PLUGINS "/mynorm.so " PLUGINS "/mynorm_f64.so");
    assert_code(2, o);
    assert_contains(o->err, "mynorm_f64.so: built for double");
}

/* ---- tare norms ------------------------------------------------------------------------------------------------------ */

static void lists_norms(void **state) {
    (void)state;
    const outcome *o = run("tare-norms");
    assert_code(0, o);
    assert_contains(o->out, "bn - BatchNorm\n  over        the batch and all positions, for each channel\n"
                            "  depends on  the other samples of the batch\n");
    assert_contains(o->out, "defaults    batch=all ");
    assert_contains(o->out, "              eps=1e-5 ");
    assert_contains(o->out, "              affine=yes          learn a scale and a shift (no|yes)\n");
    assert_contains(o->out, "sn - SpectralNorm\n");
    assert_contains(o->out, "  depends on  the weight, not on any sample\n");
    for (const char *line = o->out; *line; line += strcspn(line, "\n") + 1) {
        if (strcspn(line, "\n") > 80) { fail_msg("a long line: %.100s", line); }
    }
    o = run("tare-norms gn tanhnorm --plugin " PLUGINS "/composed.so");
    assert_code(0, o);
    assert_contains(o->out, "gn - GroupNorm\n");
    assert_contains(o->out, "tanhnorm - tanh of LayerNorm\n");
    assert_contains(o->out, "a=1 ");
    assert_null(strstr(o->out, "BatchNorm"));
    o = run("tare-norms gm");
    assert_code(2, o);
    assert_contains(o->err, "there is no norm \"gm\"; did you mean \"");
}

int main(void) {
    if (access(TARE_TEST_BIN "/tare-mnist", X_OK) != 0) { return 77; } /* built without programs */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_in_either_precision),
        cmocka_unit_test(checks_layers),
        cmocka_unit_test(finds_a_wrong_backward),
        cmocka_unit_test(trains_and_goes_on),
        cmocka_unit_test(takes_several),
        cmocka_unit_test(misses_a_plugin),
        cmocka_unit_test(refuses),
        cmocka_unit_test(lists_norms),
    };
    return cmocka_run_group_tests_name("plugin", tests, make_data, remove_data);
}
