/* test_core.c - status and messages, memory, shapes, threads.   tare-test: double */
#include "testing_support.h"

#include <pthread.h>
#include <stdio.h>

/* ---- status and messages ----------------------------------------------------------------------------------------- */

static void every_status_has_words(void **state) {
    (void)state;
    const char *texts[] = {
#define TEXT(name, text) tare_status_text(name),
        TARE_STATUS_MAP(TEXT)
#undef TEXT
    };
    enum { N = sizeof texts / sizeof texts[0] };
    for (int i = 0; i < N; i++) {
        assert_true(strlen(texts[i]) > 1);
        for (int k = 0; k < i; k++) { assert_string_not_equal(texts[i], texts[k]); }
    }
    assert_string_equal(tare_status_text((tare_status)9999), "unknown status");
}

static void messages_may_hold_the_message_before(void **state) {
    (void)state;
    assert_int_equal(tare_fail(TARE_EINVAL, "batch is %d", 0), TARE_EINVAL);
    assert_string_equal(tare_error(), "batch is 0");
    assert_int_equal(tare_fail(TARE_EIO, "train: %s", tare_error()), TARE_EIO);
    assert_string_equal(tare_error(), "train: batch is 0");
    char long_text[10000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    tare_fail(TARE_EIO, "%s", long_text);
    assert_true(strlen(tare_error()) > 1000 && strlen(tare_error()) < sizeof long_text);
}

static void *other_thread(void *user) {
    const char **seen = user;
    seen[0] = strlen(tare_error()) == 0 ? "empty" : "not empty";
    tare_fail(TARE_EIO, "of the other");
    return NULL;
}

static void each_thread_has_its_message(void **state) {
    (void)state;
    tare_fail(TARE_EINVAL, "mine");
    pthread_t thread;
    const char *seen = NULL;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(seen, "empty");
    assert_string_equal(tare_error(), "mine");
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void memory_is_aligned_and_counted(void **state) {
    (void)state;
    uint64_t count = tare_alloc_count(), live = tare_alloc_live();
    void *block[7];
    const size_t size[7] = { 1, 63, 64, 65, 100000, 4 << 20, (5 << 20) + 1 }; /* the last two ask for huge pages */
    for (int i = 0; i < 7; i++) {
        block[i] = tare_malloc(size[i]);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 64, 0);
        memset(block[i], 1, size[i]);
    }
    assert_int_equal(tare_alloc_count(), count + 7);
    assert_int_equal(tare_alloc_live(), live + 7);
    for (int i = 0; i < 7; i++) { tare_free(block[i]); }
    tare_free(NULL);
    assert_int_equal(tare_alloc_live(), live);
    unsigned char *zeros = tare_calloc(10, 7);
    for (int i = 0; i < 70; i++) { assert_int_equal(zeros[i], 0); }
    tare_free(zeros);
    for (int i = 0; i < 3; i++) { /* large, and after one of its size has been written to and freed */
        const size_t many = (9 << 20) + 7;
        zeros = tare_calloc(many, 1);
        assert_non_null(zeros);
        for (size_t k = 0; k < many; k += 509) { assert_int_equal(zeros[k], 0); }
        assert_int_equal(zeros[many - 1], 0);
        memset(zeros, 1, many);
        tare_free(zeros);
    }
    char *copy = tare_strdup("conv1");
    assert_string_equal(copy, "conv1");
    tare_free(copy);
    assert_null(tare_strdup(NULL));
}

/* In place of the C library's: where `huge`, all that it gives begins a huge page, as large blocks of some C libraries do. */
static bool huge;
void *aligned_alloc(size_t alignment, size_t size) {
    void *memory = NULL;
    return posix_memalign(&memory, huge ? 2 << 20 : alignment, size) == 0 ? memory : NULL;
}

static void any_address_will_do(void **state) {
    (void)state;
    unsigned char *block[3];
    const size_t size[3] = { 1, 100000, (4 << 20) - 64 };
    huge = true;
    for (int i = 0; i < 3; i++) {
        block[i] = tare_calloc(size[i], 1);
        assert_non_null(block[i]);
        assert_int_equal(block[i][size[i] - 1], 0);
        memset(block[i], 1, size[i]);
    }
    huge = false;
    for (int i = 0; i < 3; i++) { tare_free(block[i]); }
}

static void too_much_memory_is_refused(void **state) {
    (void)state;
    assert_null(tare_calloc(SIZE_MAX / 2, 3));
    assert_contains(tare_error(), "out of memory");
    assert_null(tare_malloc(SIZE_MAX - 1));
    assert_contains(tare_error(), "out of memory");
    assert_null(tare_calloc(SIZE_MAX / 2, 2));
}

static void the_nth_allocation_fails(void **state) {
    (void)state;
    tare_alloc_fail_at(3);
    void *a = tare_malloc(8), *b = tare_malloc(8), *c = tare_malloc(8), *d = tare_malloc(8);
    tare_alloc_fail_at(0);
    void *e = tare_malloc(8);
    assert_true(a && b && !c && !d && e);
    tare_free(a), tare_free(b), tare_free(e);
}

static int hook_calls[2];
static void *hook_alloc(void *user, size_t bytes) {
    ++*(int *)user;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void hook_free(void *user, void *memory) {
    ++((int *)user)[1];
    free(memory);
}

static void the_allocator_can_be_replaced(void **state) {
    (void)state;
    tare_allocator_set(&(tare_allocator){ hook_alloc, hook_free, hook_calls });
    tare_free(tare_malloc(100));
    tare_free(tare_strdup("x"));
    tare_allocator_set(NULL);
    tare_free(tare_malloc(100));
    assert_int_equal(hook_calls[0], 2);
    assert_int_equal(hook_calls[1], 2);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static void shapes_count_and_refuse(void **state) {
    (void)state;
    assert_int_equal(tare_shape_numel(TARE_SHAPE(64, 1, 28, 28)), 64 * 28 * 28);
    assert_int_equal(tare_shape_numel(TARE_SCALAR), 1);
    assert_int_equal(tare_shape_numel(TARE_SHAPE(3, 0, 5)), 0);
    assert_int_equal(tare_shape_numel(TARE_SHAPE(3, -1)), -1);
    assert_int_equal(tare_shape_numel(TARE_SHAPE(INT64_MAX, 2)), -1);
    assert_int_equal(tare_shape_numel(TARE_SHAPE(1 << 30, 1 << 30, 1 << 30)), -1);
    assert_int_equal(tare_shape_numel(TARE_SHAPE(INT64_MAX, INT64_MAX, 0)), 0);
    assert_int_equal(tare_shape_numel((tare_shape){ .ndim = 7 }), -1);
    assert_int_equal(tare_shape_numel((tare_shape){ .ndim = -1 }), -1);
    assert_true(tare_shape_equal(TARE_SHAPE(2, 3), TARE_SHAPE(2, 3)));
    assert_false(tare_shape_equal(TARE_SHAPE(2, 3), TARE_SHAPE(3, 2)));
    assert_false(tare_shape_equal(TARE_SHAPE(2, 3), TARE_SHAPE(2, 3, 1)));
    /* What lies beyond ndim does not count. */
    assert_true(tare_shape_equal((tare_shape){ 1, { 4, 9 } }, TARE_SHAPE(4)));
    tare_shape_buf buf;
    assert_string_equal(tare_shape_text(TARE_SHAPE(64, 1, 28, 28), &buf), "[64,1,28,28]");
    assert_string_equal(tare_shape_text(TARE_SCALAR, &buf), "[]");
    assert_string_equal(tare_shape_text(TARE_SHAPE(-1, 0), &buf), "[-1,0]");
    const int64_t big = INT64_MAX, small = INT64_MIN; /* as many numbers as find room */
    assert_string_equal(tare_shape_text(TARE_SHAPE(big, small, big, small, big, small), &buf),
                        "[9223372036854775807,-9223372036854775808,9223372036854775807,-9223372036854775808]");
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

enum { RANGE = 1000 };

typedef struct visits {
    int at[RANGE]; /* how often each index came; each belongs to one chunk, so to one thread */
    int64_t grain;
    int misplaced[RANGE];
} visits;

static void visit(void *context, int64_t begin, int64_t end) {
    visits *v = context;
    for (int64_t i = begin; i < end; i++) {
        v->at[i]++;
        v->misplaced[i] += begin % v->grain != 0 || (end - begin != v->grain && end != RANGE);
    }
}

static void every_chunk_comes_once_where_it_should(void **state) {
    (void)state;
    const int64_t grains[] = { 1, 3, 7, 64, 999, 1000, 5000 };
    int before = tare_threads();
    for (int threads = 1; threads <= 5; threads++) {
        tare_threads_set(threads);
        for (size_t g = 0; g < sizeof grains / sizeof grains[0]; g++) {
            visits v = { .grain = grains[g] };
            tare_parallel_for(RANGE, grains[g], visit, &v);
            for (int i = 0; i < RANGE; i++) {
                assert_int_equal(v.at[i], 1);
                assert_int_equal(v.misplaced[i], 0);
            }
        }
    }
    tare_threads_set(before);
    visits none = { .grain = 1 };
    tare_parallel_for(0, 1, visit, &none);
    tare_parallel_for(-5, 1, visit, &none);
    tare_parallel_for(3, 0, visit, &none); /* a grain below 1 is 1 */
    assert_int_equal(none.at[0] + none.at[1] + none.at[2], 3);
}

static void inner(void *context, int64_t begin, int64_t end) {
    int64_t *last = context;
    for (int64_t i = begin; i < end; i++) {
        if (*last != i - 1) { *last = INT64_MIN; } /* out of order: not inline */
        if (*last == i - 1) { *last = i; }
    }
}

static void outer(void *context, int64_t begin, int64_t end) {
    bool *in_order = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t last = -1;
        tare_parallel_for(100, 3, inner, &last);
        in_order[i] = last == 99;
    }
}

static void from_inside_a_chunk_it_runs_inline(void **state) {
    (void)state;
    bool in_order[40] = { 0 };
    int before = tare_threads();
    tare_threads_set(3);
    tare_parallel_for(40, 1, outer, in_order);
    tare_threads_set(before);
    for (int i = 0; i < 40; i++) { assert_true(in_order[i]); }
}

static void number_of_threads_is_kept(void **state) {
    (void)state;
    int before = tare_threads();
    assert_true(before >= 1);
    tare_threads_set(1);
    assert_int_equal(tare_threads(), 1);
    tare_threads_set(0);
    assert_true(tare_threads() >= 1);
    tare_threads_set(-3);
    assert_true(tare_threads() >= 1);
    tare_threads_set(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_words),
        cmocka_unit_test(messages_may_hold_the_message_before),
        cmocka_unit_test(each_thread_has_its_message),
        cmocka_unit_test(memory_is_aligned_and_counted),
        cmocka_unit_test(any_address_will_do),
        cmocka_unit_test(too_much_memory_is_refused),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(the_allocator_can_be_replaced),
        cmocka_unit_test(shapes_count_and_refuse),
        cmocka_unit_test(every_chunk_comes_once_where_it_should),
        cmocka_unit_test(from_inside_a_chunk_it_runs_inline),
        cmocka_unit_test(number_of_threads_is_kept),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
