/* test_terminal.c - progress on a terminal and off it, stopping, and standard output that cannot be written. */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#include "testing_support.h"

#include <tare/tare.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- progress ---------------------------------------------------------------------------------------------------- */

/* A terminal of this width; what is drawn on it can be read from *master. */
static FILE *terminal(int width, int *master) {
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    if (*master < 0 || grantpt(*master) != 0 || unlockpt(*master) != 0) { return NULL; }
    FILE *slave = fopen(ptsname(*master), "w");
    struct winsize size = { .ws_row = 24, .ws_col = (unsigned short)width };
    assert_int_equal(ioctl(*master, TIOCSWINSZ, &size), 0);
    return slave;
}

static char *read_all(const char *path) {
    static char text[4096];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void draw_some(tare_progress *p) {
    tare_progress_begin(p, "epoch 1/3", 0, 60000, 0);
    for (int i = 0; i < 3; i++) {
        struct timespec nap = { 0, 80000000 };
        nanosleep(&nap, NULL);
        tare_progress_step(p, 640, "loss %.4f  accuracy %.2f%%", 2.3026, 10.5);
    }
    tare_progress_print(p, "a line of its own");
}

static void check_width(int width) {
    int master;
    FILE *slave = terminal(width, &master);
    if (!slave) { skip(); }
    setenv("TERM", "xterm", 1);
    assert_int_equal(tare_terminal_width(slave), width);
    tare_progress *p = tare_progress_new((tare_progress_opt){ .stream = slave, .total = 180000, .unit = "images" });
    draw_some(p);
    tare_progress_free(p);
    fclose(slave);
    char text[8192];
    size_t size = 0;
    for (ssize_t n; (n = read(master, text + size, sizeof text - 1 - size)) > 0;) { size += (size_t)n; }
    text[size] = '\0';
    assert_contains(text, "epoch 1/3");
    assert_contains(text, "\r\033[Ka line of its own\r\n");
    assert_non_null(strstr(text, width >= 80 ? "left" : "%"));
    int drawn = 0;
    for (const char *s = text; *s;) { /* stretches between control characters are what one line shows */
        size_t length = strcspn(s, "\r\n\033");
        assert_true(length < (size_t)width);
        drawn += length > 20;
        s += length + (strncmp(s + length, "\033[K", 3) == 0 ? 3 : s[length] != '\0');
    }
    assert_true(drawn >= 2);
    close(master);
}

static void test_terminal(void **state) {
    (void)state;
    check_width(80);
    check_width(40);
    check_width(200);
}

static void test_colour(void **state) {
    (void)state;
    int master;
    FILE *slave = terminal(80, &master);
    if (!slave) { skip(); }
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    assert_true(tare_terminal_colour(slave));
    setenv("NO_COLOR", "", 1); /* empty counts as unset */
    assert_true(tare_terminal_colour(slave));
    setenv("NO_COLOR", "1", 1);
    assert_false(tare_terminal_colour(slave));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    assert_false(tare_terminal_colour(slave));
    fclose(slave);
    close(master);
}

static void test_no_terminal(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "out");
    FILE *file = fopen(path, "w");
    assert_false(tare_terminal_colour(file));
    assert_int_equal(tare_terminal_width(file), 80);
    tare_progress *p = tare_progress_new((tare_progress_opt){ .stream = file, .total = 180000, .unit = "images" });
    draw_some(p);
    assert_true(tare_progress_rate(p) > 0);
    tare_progress_free(p);
    p = tare_progress_new((tare_progress_opt){ .stream = file, .quiet = true, .total = 1, .unit = "images" });
    draw_some(p);
    tare_progress_free(p);
    fclose(file);
    assert_string_equal(read_all(path), "a line of its own\n");
    test_dir_remove(dir);
}

/* What the run took: a step's memory only where one was made on that tape. */
static void test_end(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "out");
    FILE *file = fopen(path, "w");
    tare_progress *p = tare_progress_new((tare_progress_opt){ .stream = file, .total = 1, .unit = "images" });
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_progress_end(p, 1.25, NULL);
    tare_progress_end(p, 0, tape);
    tare_input(tape, TARE_SHAPE(1024, 1024), NULL);
    tare_progress_end(p, 36.06, tape);
    tare_tape_free(tape);
    tare_progress_free(p);
    fclose(file);
    const char *text = read_all(path), *last = strstr(text, "36.1 s of training; a step takes ");
    assert_contains(text, "1.2 s of training; the process took ");
    assert_contains(text, "\n0.0 s of training; the process took ");
    assert_non_null(last);
    assert_true(strtod(last + strlen("36.1 s of training; a step takes "), NULL) >= sizeof(tare_real));
    test_dir_remove(dir);
}

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

static void test_stop(void **state) {
    (void)state;
    tare_stop_catch();
    assert_int_equal(tare_stop(), 0);
    raise(SIGINT);
    assert_int_equal(tare_stop(), SIGINT);
    tare_stop_ask(0);
    assert_int_equal(tare_stop(), 0);

    pid_t child = fork(); /* the second time it kills */
    if (child == 0) {
        tare_stop_catch();
        raise(SIGTERM);
        if (tare_stop() != SIGTERM) { _exit(1); }
        raise(SIGTERM);
        _exit(2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

    int ends[2]; /* nobody reads any more */
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    FILE *stream = fdopen(ends[1], "w");
    tare_progress *p = tare_progress_new((tare_progress_opt){ .stream = stream, .total = 1, .unit = "images" });
    tare_progress_print(p, "anybody there?");
    assert_int_equal(tare_stop(), SIGPIPE);
    tare_progress_free(p);
    fclose(stream);
    tare_stop_ask(0);
}
/* ---- the end ------------------------------------------------------------------------------------------------------- */

/* The exit code of a child that prints on `out`, which it is handed, and ends with `code`; what it says on standard error. */
static int end_on(int out, int code, const char *err) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int errors = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        signal(SIGPIPE, SIG_IGN);
        if (dup2(out, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0) { _exit(125); }
        printf("a result\n");
        code = tare_output_end("tare demo", code);
        fflush(stderr);
        _exit(code);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_output_end(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *err = test_path(dir, "err"), *whole = test_path(dir, "whole");
    int file = open(whole, O_WRONLY | O_CREAT, 0666), full = open("/dev/full", O_WRONLY), ends[2];
    assert_int_equal(end_on(file, 0, err), 0);
    assert_int_equal(end_on(file, 3, err), 3);
    assert_string_equal(read_all(err), "");
    assert_string_equal(read_all(whole), "a result\na result\n");

    assert_int_equal(pipe(ends), 0);
    close(ends[0]); /* the reader has seen enough */
    assert_int_equal(end_on(ends[1], 0, err), 128 + SIGPIPE);
    assert_int_equal(end_on(ends[1], 3, err), 3);
    assert_string_equal(read_all(err), "");

    if (full >= 0) {
        assert_int_equal(end_on(full, 0, err), 1);
        assert_contains(read_all(err), "tare demo: standard output could not be written whole");
        assert_int_equal(end_on(full, 3, err), 3);
        close(full);
    }
    close(file);
    close(ends[1]);
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal), cmocka_unit_test(test_colour), cmocka_unit_test(test_no_terminal),
        cmocka_unit_test(test_end),      cmocka_unit_test(test_stop),   cmocka_unit_test(test_output_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
