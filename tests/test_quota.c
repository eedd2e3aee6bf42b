/* test_quota.c - a container's share of processor time, read from files as Linux shows them. */
#include "testing_support.h"

#include "core/cores.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char *root;

/* A file below the root, with the folders it lies in. */
static void put(const char *path, const char *text) {
    char full[1024];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *s = full + strlen(root) + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        mkdir(full, 0777);
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void processes_in(const char *groups) { put("/proc/self/cgroup", groups); }

static int begin(void **state) {
    (void)state;
    root = test_dir_new();
    return 0;
}

static int end(void **state) {
    (void)state;
    test_dir_remove(root);
    return 0;
}

static void without_files_there_is_no_limit(void **state) {
    (void)state;
    assert_int_equal(tare__quota(root), 0);
    processes_in("0::/\n");
    assert_int_equal(tare__quota(root), 0);
    processes_in("this is no list of groups\n");
    assert_int_equal(tare__quota(root), 0);
}

static void a_part_of_a_processor_counts_as_one(void **state) {
    (void)state;
    const struct {
        const char *text;
        int processors;
    } cases[] = { { "150000 100000\n", 2 }, { "200000 100000\n", 2 }, { "5000 100000\n", 1 },
                  { "max 100000\n", 0 },    { "0 100000\n", 0 },      { "", 0 } };
    processes_in("0::/\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("/sys/fs/cgroup/cpu.max", cases[i].text);
        assert_int_equal(tare__quota(root), cases[i].processors);
    }
}

static void the_least_of_all_groups_around_counts(void **state) {
    (void)state;
    processes_in("0::/pod/box\n");
    put("/sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
    assert_int_equal(tare__quota(root), 0);
    put("/sys/fs/cgroup/pod/cpu.max", "300000 100000\n");
    assert_int_equal(tare__quota(root), 3);
    put("/sys/fs/cgroup/pod/box/cpu.max", "50000 25000\n");
    assert_int_equal(tare__quota(root), 2);
    put("/sys/fs/cgroup/pod/box/cpu.max", "900000 100000\n");
    assert_int_equal(tare__quota(root), 3);
}

/* Each controller has a tree of its own; a container sees its group as the root, but is told the name that it has outside. */
static void version_1(void **state) {
    (void)state;
    processes_in("5:cpuset:/\n4:cpu,cpuacct:/docker/0123\n1:name=systemd:/\n0::/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(tare__quota(root), 0);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(tare__quota(root), 2);
    processes_in("5:cpuset:/\n4:cpuacct:/docker/0123\n");
    assert_int_equal(tare__quota(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_files_there_is_no_limit, begin, end),
        cmocka_unit_test_setup_teardown(a_part_of_a_processor_counts_as_one, begin, end),
        cmocka_unit_test_setup_teardown(the_least_of_all_groups_around_counts, begin, end),
        cmocka_unit_test_setup_teardown(version_1, begin, end),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
