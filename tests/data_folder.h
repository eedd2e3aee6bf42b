/* data_folder.h - a folder for each test of data files, and what holds for all data where memory is short. */
#ifndef TARE_DATA_FOLDER_H
#define TARE_DATA_FOLDER_H

#include "data_fixtures.h"

static char *dir;
static uint64_t live_before;

static int setup(void **state) {
    (void)state;
    dir = test_dir_new();
    live_before = tare_alloc_live();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tare_alloc_fail_at(0);
    tare_threads_set(0);
    test_dir_remove(dir);
    return tare_alloc_live() == live_before ? 0 : -1; /* whatever a test did, it freed what it took */
}

/* Let the n-th allocation fail, n = 1, 2, ...: TARE_ENOMEM each time and nothing kept, until all of it goes through, after more than
 * `least` of them, on one thread and on two. */
static void check_out_of_memory(const char *path, tare_data_opt opt, uint64_t least) {
    for (int threads = 1; threads <= 2; threads++) {
        tare_threads_set(threads);
        tare_status status = TARE_ENOMEM;
        uint64_t n = 1;
        for (; status != TARE_OK && n < 1000; n++) {
            tare_dataset *train = NULL, *test = NULL;
            tare_alloc_fail_at(n);
            status = tare_data_open(path, opt, &train, &test);
            tare_alloc_fail_at(0);
            if (status != TARE_OK) { assert_int_equal(status, TARE_ENOMEM); }
            tare_dataset_free(train);
            tare_dataset_free(test);
            assert_int_equal(tare_alloc_live(), live_before);
        }
        assert_int_equal(status, TARE_OK);
        assert_true(n > least);
    }
}

#endif
