/* test_summary.c - the summary's numbers, its width, and that looking changes nothing.   tare-test: double */
#include "testing_support.h"

#include <tare/norms.h>

#include <stdio.h>

#include "core/columns.h"

static tare_layer *small_net(tare_params *ps) {
    tare_layer *layers[] = {
        tare_layer_conv2d(ps, "conv1", 1, 8, 3, (tare_layer_conv2d_opt){ .pad = 1 }),
        tare_layer_batch_norm(ps, "bn1", 8, (tare_layer_batch_norm_opt){ 0 }),
        tare_layer_relu(ps, "relu1"),
        tare_layer_max_pool2d(ps, "pool1", (tare_pool2d_opt){ .kernel = 2 }),
        tare_layer_flatten(ps, "flatten"),
        tare_layer_dropout(ps, "drop", 0.5),
        tare_layer_linear(ps, "fc", 8 * 6 * 6, 10, (tare_layer_linear_opt){ 0 }),
    };
    return tare_layer_sequential(ps, "net", layers, 7);
}

/* The line that begins with `name`, its runs of blanks made one. */
static const char *line_of(const char *text, const char *name) {
    static char line[256];
    size_t size = strlen(name), used = 0;
    while (text && (strncmp(text, name, size) || text[size] != ' ')) {
        text = strchr(text, '\n');
        text += text != NULL;
    }
    for (; text && *text != '\n' && used + 1 < sizeof line; text++) {
        if (*text != ' ' || (used && line[used - 1] != ' ')) { line[used++] = *text; }
    }
    while (used && line[used - 1] == ' ') { used--; }
    line[used] = 0;
    return line;
}

static void numbers(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *net = small_net(ps);
    char *text = NULL;
    assert_ok(tare_summary(net, TARE_SHAPE(1, 12, 12), &text));
    assert_string_equal("conv1 conv2d 3x3, pad 1 [8,12,12] 80 72 10.4K", line_of(text, "conv1"));
    assert_string_equal("bn1 batch_norm [8,12,12] 16 0", line_of(text, "bn1"));
    assert_string_equal("relu1 activation relu [8,12,12]", line_of(text, "relu1"));
    assert_string_equal("pool1 max_pool2d 2x2, stride 2 [8,6,6]", line_of(text, "pool1"));
    assert_string_equal("flatten flatten [288]", line_of(text, "flatten"));
    assert_string_equal("fc linear 288 -> 10 [10] 2,890 2,880 2.88K", line_of(text, "fc"));
    assert_contains(text, "2,986 parameters, weight decay on 2,952 of them; 17 values in buffers");
    assert_contains(text, "13.2K multiply-adds a sample");
    tare_free(text);
    tare_params_free(ps);
}

static void at_most_80_columns(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_params_push(ps, "a_rather_long_scope_name");
    tare_params_push(ps, "and_another_one");
    tare_layer *conv = tare_layer_conv2d(ps, "convolution", 64, 128, 3,
                                         (tare_layer_conv2d_opt){ .stride = 2, .pad = 1, .dilation = 2, .groups = 64 });
    char *text = NULL;
    assert_ok(tare_summary(conv, TARE_SHAPE(64, 300, 300), &text));
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        assert_true(length <= 80);
        line += length + (line[length] == '\n');
    }
    assert_contains(text, "another_one.convolution ");
    tare_free(text);
    tare_params_free(ps);
}

/* A name in other letters than English ones is as wide as it has characters, and none of them is cut in two. */
static void columns_are_characters(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_params_push(ps, "sehr_lange_\xc3\x84nderung_\xe5\xb1\xa4"); /* 21 in 24 bytes */
    tare_layer *fc = tare_layer_linear(ps, "\xc3\xa9t\xc3\xa9", 4, 4, (tare_layer_linear_opt){ 0 }); /* 3 in 5 */
    char *text = NULL;
    assert_ok(tare_summary(fc, TARE_SHAPE(4), &text));
    const char *line = strstr(text, "ehr_lange_\xc3\x84nderung_\xe5\xb1\xa4.\xc3\xa9t\xc3\xa9 linear 4 .. ");
    assert_non_null(line); /* the last 24 of 25 characters */
    assert_int_equal(line[-1], '\n');
    assert_int_equal(tare__columns(line, strcspn(line, "\n")), 80);
    tare_free(text);
    tare_params_free(ps);
}

static void leaves_the_model_alone(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *net = small_net(ps);
    size_t size = (size_t)tare_params_buffer_flat_size(ps) * sizeof(tare_real);
    void *before = tare_malloc(size);
    memcpy(before, tare_params_buffer_flat(ps), size);
    uint64_t live = tare_alloc_live();
    char *text = NULL;
    assert_ok(tare_summary(net, TARE_SHAPE(1, 12, 12), &text));
    tare_free(text);
    assert_true(live == tare_alloc_live());
    assert_memory_equal(before, tare_params_buffer_flat(ps), size);
    tare_free(before);
    tare_params_free(ps);
}

static void shared_and_residual(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *fc = tare_layer_linear(ps, "fc", 6, 6, (tare_layer_linear_opt){ .no_bias = true });
    tare_layer *twice = tare_layer_sequential(ps, "twice", (tare_layer *[]){ fc, fc }, 2);
    tare_layer *block = tare_layer_residual(ps, "block", twice, NULL, tare_layer_relu(ps, "act"));
    assert_int_equal(36, tare_layer_numel(block));
    char *text = NULL;
    assert_ok(tare_summary(block, TARE_SHAPE(6), &text));
    assert_string_equal("fc linear 6 -> 6, no bias [6] 36 36 72", line_of(text, "fc"));
    assert_string_equal("block residual [6]", line_of(text, "block"));
    assert_contains(text, "36 parameters, weight decay on 36 of them\n72 multiply-adds");
    tare_free(text);
    tare_params_free(ps);
}

static void errors(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *net = small_net(ps);
    char *text = NULL;
    assert_status(TARE_EINVAL, tare_summary(NULL, TARE_SHAPE(1), &text));
    assert_status(TARE_EINVAL, tare_summary(net, TARE_SHAPE(1, 0, 12), &text));
    assert_contains(tare_error(), "[1,0,12]");
    assert_status(TARE_ESHAPE, tare_summary(net, TARE_SHAPE(3, 12, 12), &text));
    assert_contains(tare_error(), "conv1");
    assert_null(text);
    uint64_t live = tare_alloc_live();
    for (uint64_t n = 1; n < 200; n++) {
        tare_alloc_fail_at(n);
        tare_status status = tare_summary(net, TARE_SHAPE(1, 12, 12), &text);
        tare_alloc_fail_at(0);
        if (status == TARE_OK) {
            tare_free(text);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(TARE_ENOMEM, status);
        assert_true(live == tare_alloc_live());
    }
    tare_params_free(ps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(at_most_80_columns),
        cmocka_unit_test(columns_are_characters),
        cmocka_unit_test(leaves_the_model_alone),
        cmocka_unit_test(shared_and_residual),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
