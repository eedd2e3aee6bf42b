/* program_support.h - running the built programs from a test: arguments in, exit code and output back. */
#ifndef TARE_PROGRAM_SUPPORT_H
#define TARE_PROGRAM_SUPPORT_H

#include "testing_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct outcome {
    int code; /* as a shell has it: 128 + signal where one killed it */
    char out[65536], err[16384];
} outcome;

/* What the program is started under; 0 everywhere: as it is. */
typedef struct start {
    int64_t file_limit, memory_limit; /* bytes */
    const char *out, *err;            /* files instead of the test's own folder */
} start;

static inline void limit(int what, int64_t bytes) {
    const struct rlimit value = { (rlim_t)bytes, (rlim_t)bytes };
    if (bytes > 0 && setrlimit(what, &value) != 0) { _exit(125); }
}

/* Splits at spaces; a word may hold none. */
static inline int split(char *line, char **argv, int room) {
    int argc = 0;
    for (char *word = strtok(line, " "); word && argc + 1 < room; word = strtok(NULL, " ")) { argv[argc++] = word; }
    argv[argc] = NULL;
    return argc;
}

/* Starts build/bin/<line's first word> with the rest as arguments, output going to files. */
static inline pid_t spawn(const start *how, const char *line) {
    fflush(NULL);
    pid_t child = fork();
    if (child != 0) { return child; }
    static char copy[16384], path[16384], *argv[128];
    snprintf(copy, sizeof copy, "%s", line);
    split(copy, argv, 128);
    snprintf(path, sizeof path, "%s/%s", TARE_TEST_BIN, argv[0]);
    int out = open(how->out, O_WRONLY | O_CREAT | O_TRUNC, 0666),
        err = open(how->err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int in = open("/dev/null", O_RDONLY);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) { _exit(125); }
    signal(SIGXFSZ, SIG_IGN); /* beyond the limit write(2) fails, as on a full disk */
    limit(RLIMIT_FSIZE, how->file_limit);
    limit(RLIMIT_AS, how->memory_limit);
    execv(path, argv);
    _exit(127);
}

static inline int wait_code(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void read_text(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(text, 1, size - 1, file) : 0;
    text[n] = '\0';
    if (file) { fclose(file); }
}

/* The folder of this test program's runs. */
static char *work;

static inline const outcome *run_under(start how, const char *format, va_list args) {
    static outcome o;
    char line[4096], out[4096], err[4096];
    vsnprintf(line, sizeof line, format, args);
    snprintf(out, sizeof out, "%s/out.txt", work);
    snprintf(err, sizeof err, "%s/err.txt", work);
    if (!how.out) { how.out = out; }
    if (!how.err) { how.err = err; }
    o.code = wait_code(spawn(&how, line));
    read_text(out, o.out, sizeof o.out);
    read_text(err, o.err, sizeof o.err);
    if (o.code == 127) { fail_msg("%s/%s is not there: build it first", TARE_TEST_BIN, line); }
    return &o;
}

/* run - one line of shell, as it were: run("tare-mnist --epochs 1 --out %s", dir). The outcome holds until the next. */
static inline const outcome *run(const char *format, ...) TARE_PRINTF(1, 2);
static inline const outcome *run(const char *format, ...) {
    va_list args;
    va_start(args, format);
    const outcome *o = run_under((start){ 0 }, format, args);
    va_end(args);
    return o;
}

/* run_limited - the same where no file may grow beyond so many bytes, or the process beyond so much memory (0: any). */
static inline const outcome *run_limited(start how, const char *format, ...) TARE_PRINTF(2, 3);
static inline const outcome *run_limited(start how, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const outcome *o = run_under(how, format, args);
    va_end(args);
    return o;
}

/* assert_code - the exit code, or a failure that shows what the program said. */
#define assert_code(want, o)                                                                                           \
    do {                                                                                                               \
        const outcome *o_ = (o);                                                                                       \
        if (o_->code != (want)) { fail_msg("exit code %d, not %d\n%s%s", o_->code, (want), o_->out, o_->err); }        \
    } while (0)

static inline bool exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0;
}

/* Waits until the file holds `words`, at most 60 seconds. */
static inline bool wait_for(const char *path, const char *words) {
    static char text[65536];
    for (int i = 0; i < 6000; i++) {
        read_text(path, text, sizeof text);
        if (strstr(text, words)) { return true; }
        nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    }
    return false;
}

#endif
