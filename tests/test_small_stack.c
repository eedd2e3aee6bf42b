/* test_small_stack.c - kernels that keep megabytes on the stack, called by a thread that has 128 KiB: the pool's threads do the work. */
#include "testing_support.h"

#include <tare/tare.h>

#if defined(__unix__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <pthread.h>

enum { STACK_BYTES = 128 << 10, IMAGES = 8, C = 32, SIDE = 16, K = 64 };

typedef struct task {
    int threads;
    tare_real sum;
} task;

static tare_tensor *normal(tare_tape *t, tare_shape shape) {
    tare_rng rng = tare_rng_new(1, "small stack");
    int64_t n = tare_shape_numel(shape);
    tare_real *values = tare_malloc((size_t)n * sizeof *values);
    tare_rng_fill_normal(&rng, 0, 1, n, values);
    tare_tensor *x = tare_input(t, shape, values);
    tare_free(values);
    if (x) { x->requires_grad = true; }
    return x;
}

/* A convolution that goes by Winograd's filtering and a product whose weights are turned round, forward and backward. */
static void *step(void *context) {
    task *job = context;
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    tare_threads_set(job->threads);
    tare_tensor *x = normal(t, TARE_SHAPE(IMAGES, C, SIDE, SIDE)), *w = normal(t, TARE_SHAPE(K, C, 3, 3));
    tare_tensor *y = tare_conv2d(t, x, w, NULL, (tare_conv2d_opt){ .pad = 1 });
    tare_tensor *flat = tare_reshape(t, y, TARE_SHAPE(IMAGES * SIDE, K * SIDE)),
                *v = normal(t, TARE_SHAPE(256, K * SIDE));
    tare_tensor *z = tare_linear(t, flat, v, NULL);
    if (z && tare_backward_from(t, z, z->data) == TARE_OK) { job->sum = z->data[0] + x->grad[7] + w->grad[7]; }
    tare_tape_free(t);
    return NULL;
}

static void a_small_stack_is_enough(void **state) {
    (void)state;
    task here = { .threads = 1 };
    step(&here);
    assert_true(here.sum != 0);
    for (int threads = 1; threads <= 2; threads++) {
        task there = { .threads = threads };
        pthread_attr_t attributes;
        pthread_t thread;
        assert_int_equal(pthread_attr_init(&attributes), 0);
        assert_int_equal(pthread_attr_setstacksize(&attributes, STACK_BYTES), 0);
        assert_int_equal(pthread_create(&thread, &attributes, step, &there), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        pthread_attr_destroy(&attributes);
        assert_true(there.sum == here.sum);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_small_stack_is_enough) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) { return 77; }
#endif
