/* test_cores.c - how many threads work: no more than the process may use processors, and all of those, whatever an OpenMP runtime
 * has bound the first thread to. Each case looks from a process of its own, since threads are counted once. */
#ifdef __linux__
#define _GNU_SOURCE /* sched.h's sets of processors */
#endif
#include "testing_support.h"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNKS = 6, PATIENCE = 60 };

static _Thread_local char here; /* its address is the thread's name */

static void note_thread(void *context, int64_t begin, int64_t end) {
    const void **worked = context;
    for (int64_t i = begin; i < end; i++) {
        worked[i] = &here;
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL); /* time for others to take a chunk */
    }
}

static int threads_at_work(void) {
    const void *worked[CHUNKS] = { 0 };
    int count = 0;
    tare_parallel_for(CHUNKS, 1, note_thread, (void *)worked);
    for (int i = 0; i < CHUNKS; i++) {
        bool first = true;
        for (int k = 0; k < i; k++) { first = first && worked[k] != worked[i]; }
        count += first;
    }
    return count;
}

static int processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

static void keep_one_processor(void) {
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &all)) { CPU_SET(i, &one); }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

static int exit_code_of(pid_t id) {
    int status = 0;
    assert_true(id >= 0);
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Its exit code: 10 times what tare_threads() says, plus how many threads work when four are asked for. */
static int on_one_processor(const char *crowd) {
    pid_t id = fork();
    if (id == 0) {
        alarm(PATIENCE);
        keep_one_processor();
        unsetenv("OMP_NUM_THREADS");
        unsetenv("TARE_CROWD");
        if (crowd) { setenv("TARE_CROWD", crowd, 1); }
        int fallback = tare_threads();
        tare_threads_set(4);
        _exit(10 * fallback + threads_at_work());
    }
    return exit_code_of(id);
}

static void one_processor_means_one_thread(void **state) {
    (void)state;
    assert_int_equal(on_one_processor(NULL), 11);
}

static void a_crowd_is_started_where_tests_want_one(void **state) {
    (void)state;
    int code = on_one_processor("1");
    assert_int_equal(code / 10, 1);
    assert_in_range(code % 10, 2, 4);
}

/* tare_threads() of a process started under this OMP_NUM_THREADS, which is read once. */
static int threads_under(const char *wish) {
    pid_t id = fork();
    if (id == 0) {
        unsetenv("OMP_NUM_THREADS");
        if (wish) { setenv("OMP_NUM_THREADS", wish, 1); }
        _exit(tare_threads());
    }
    return exit_code_of(id);
}

/* What is no number is no wish; of a list the first counts, as for OpenMP. */
static void omp_num_threads_is_a_number_or_nothing(void **state) {
    (void)state;
    static const char *const none[] = { "1e3", "many", "0", "-2", "" };
    int fallback = threads_under(NULL);
    assert_int_equal(threads_under("7"), 7);
    assert_int_equal(threads_under("9,5"), 9);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) { assert_int_equal(threads_under(none[i]), fallback); }
}

/* ---- a bound first thread ---------------------------------------------------------------------------------------- */

typedef struct bound {
    atomic_int fewest;
    const char *caller;
} bound;

static void note_processors(void *context, int64_t begin, int64_t end) {
    bound *b = context;
    int own = processors();
    (void)begin, (void)end;
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    if (&here != b->caller && own < atomic_load(&b->fewest)) { atomic_store(&b->fewest, own); }
}

/* The fewest processors that a worker may use; the caller, which may be bound, does not count. */
static int workers_processors(void) {
    bound b = { 200, &here };
    tare_threads_set(2);
    tare_parallel_for(CHUNKS, 1, note_processors, &b);
    return atomic_load(&b.fewest);
}

static const char *program;

static void workers_are_not_bound_with_the_first_thread(void **state) {
    (void)state;
    int all = processors();
    if (all < 2 || all > 100) { skip(); }
    pid_t id = fork();
    if (id == 0) {
        setenv("OMP_PROC_BIND", "true", 1);
        unsetenv("TARE_CROWD");
        execl(program, program, "--bound", (char *)NULL);
        _exit(255);
    }
    assert_int_equal(exit_code_of(id), all);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--bound") == 0) { return workers_processors(); }
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(omp_num_threads_is_a_number_or_nothing),
        cmocka_unit_test(one_processor_means_one_thread),
        cmocka_unit_test(a_crowd_is_started_where_tests_want_one),
        cmocka_unit_test(workers_are_not_bound_with_the_first_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) { return 77; }
#endif
