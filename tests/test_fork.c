/* test_fork.c - a process that forks: the child has none of the parent's threads, and gets threads of its own. */
#include "testing_support.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 60 }; /* seconds, for a loaded machine */

/* Two chunks that wait for each other: one thread alone never sees the other one begin. */
typedef struct meeting {
    atomic_int begun, met;
} meeting;

static void meet(void *context, int64_t begin, int64_t end) {
    meeting *m = context;
    const time_t start = time(NULL);
    (void)begin, (void)end;
    atomic_fetch_add(&m->begun, 1);
    while (atomic_load(&m->begun) < 2 && time(NULL) - start < PATIENCE) {}
    if (atomic_load(&m->begun) == 2 && time(NULL) - start < PATIENCE) { atomic_fetch_add(&m->met, 1); }
}

static bool two_threads_work(void) {
    meeting m = { 0 };
    tare_parallel_for(2, 1, meet, &m);
    return atomic_load(&m.met) == 2;
}

/* Long enough for threads without work to fall asleep. */
static void pause_a_little(void) { nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL); }

static int child(void) {
    alarm(4 * PATIENCE);
    for (int i = 0; i < 3; i++) {
        if (!two_threads_work()) { return 1; }
        pause_a_little();
    }
    return 0;
}

static void the_child_has_threads_of_its_own(void **state) {
    (void)state;
    tare_threads_set(2);
    assert_true(two_threads_work());
    pause_a_little();
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) { _exit(child()); }
    int status = 0;
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(two_threads_work());
    tare_threads_set(0);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_child_has_threads_of_its_own) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
