/* runner.c - a pool of processes: start, watch, reap, stop. */
#define _DEFAULT_SOURCE /* wait4 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <tare/run.h>

enum { POLL_MS = 10, TICK_MS = 100, PATIENCE = 10 /* seconds between asking to stop and killing */ };

/* ---- one process ----------------------------------------------------------------------------------------------------- */

/* In the child: own process group, output to the log, no input; if the parent is killed, this goes too. */
static void become(const tare__task *task, int64_t threads, pid_t parent) {
    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) { _exit(1); }
#else
    (void)parent;
#endif
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)threads);
    if (threads > 0) { setenv("OMP_NUM_THREADS", number, 1); }
    signal(SIGPIPE, SIG_DFL);
    int in = open("/dev/null", O_RDONLY);
    if (dup2(in, 0) < 0 || dup2(task->log, 1) < 0 || dup2(task->log, 2) < 0) { _exit(126); }
    execvp(task->argv.at[0], task->argv.at);
    dprintf(2, "%s: cannot be started: %s\n", task->argv.at[0], strerror(errno));
    _exit(127);
}

static tare_status start(tare__task *task, const tare__runner_opt *opt) {
    bool left = false;
    tare_status s = tare__task_prepare(task, &left);
    if (s != TARE_OK) { return s; }
    if (left) {
        task->state = TARE__TASK_LEFT;
        return TARE_OK;
    }
    fflush(NULL);
    pid_t parent = getpid();
    task->began = tare_clock();
    task->pid = fork();
    if (task->pid == 0) { become(task, opt->threads, parent); }
    if (task->pid < 0) { return tare_fail(TARE_EIO, "no more processes: %s; --jobs 1 takes fewer", strerror(errno)); }
    setpgid(task->pid, task->pid); /* whichever of the two comes first */
    task->state = TARE__TASK_RUNNING;
    task->fresh = true;
    task->overdue = 0;
    return TARE_OK;
}

/* A program that does not understand its options, or is not there, fails every time: no result, an error. */
static tare_status check_ending(const tare__task *task, int wait_status, const tare__runner_opt *opt) {
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    if (task->fate != TARE__CRASHED || !(code == 127 || (code == 2 && opt->usage_is_fatal))) { return TARE_OK; }
    char why[512];
    FILE *log = NULL;
    tare__text path = { 0 };
    tare__text_format(&path, "%s.log", task->folder);
    char *name = tare__text_take(&path);
    if (name) { log = fopen(name, "r"); }
    if (!log || !fgets(why, sizeof why, log)) { snprintf(why, sizeof why, "it did not say why"); }
    if (log) { fclose(log); }
    tare_free(name);
    why[strcspn(why, "\n")] = '\0';
    return tare_fail(TARE_EINVAL, "%s: %s", task->label, why);
}

/* Asked to end when its time is up, killed when it does not. */
static void keep_time(tare__task *task, double limit) {
    double over = tare_clock() - task->began - limit;
    int number = over > PATIENCE ? SIGKILL : SIGTERM;
    if (limit <= 0 || over <= 0 || task->overdue == number) { return; }
    kill(-task->pid, number);
    task->overdue = number;
}

/* Has it ended? */
static tare_status watch(tare__task *task, const tare__runner_opt *opt) {
    int status = 0;
    struct rusage usage;
    pid_t got = wait4(task->pid, &status, WNOHANG, &usage);
    if (got == 0) { keep_time(task, opt->time_limit); }
    if (got == 0 || (got < 0 && errno == EINTR)) { return TARE_OK; }
    if (got < 0) { return tare_fail(TARE_EIO, "%s: lost sight of its process: %s", task->label, strerror(errno)); }
    task->wall_seconds = tare_clock() - task->began;
    task->peak_bytes = (double)usage.ru_maxrss * 1024;
    tare_status s = tare__task_settle(task, opt->metric, status);
    task->state = TARE__TASK_DONE;
    return s == TARE_OK ? check_ending(task, status, opt) : s;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

static void pause_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

static int64_t count_state(const tare__task *task, int64_t count, tare__task_state state) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) { n += task[i].state == state; }
    return n;
}

/* Ask, ask louder, kill; and wait for the end. What is interrupted stays missing: its note says "started". */
static void stop_all(tare__task *task, int64_t count) {
    double since = tare_clock();
    int asked = tare_stop() == SIGINT || tare_stop() == SIGHUP ? tare_stop() : SIGTERM, sent = 0;
    while (count_state(task, count, TARE__TASK_RUNNING) > 0) {
        double passed = tare_clock() - since;
        int number = passed < PATIENCE / 2.0 ? asked : passed < PATIENCE ? SIGTERM : SIGKILL;
        for (int64_t i = 0; i < count; i++) {
            if (task[i].state != TARE__TASK_RUNNING) { continue; }
            if (number != sent) { kill(-task[i].pid, number); }
            if (waitpid(task[i].pid, NULL, WNOHANG) != 0) {
                task[i].state = TARE__TASK_WAITING;
                close(task[i].log);
            }
        }
        sent = number;
        pause_ms(POLL_MS);
    }
}

/* A run that somebody else's process was at work on: has that ended? */
static tare_status look_again(tare__task *task, const tare__runner_opt *opt) {
    tare_status s = tare__task_look(task, opt->metric, opt->retry);
    if (s == TARE_OK && task->state == TARE__TASK_DONE && opt->done) { opt->done(opt->context, task); }
    return s;
}

/* The task that has turn k: column by column, so that what is compared runs side by side in time. */
static int64_t turn(int64_t k, int64_t count, const tare__runner_opt *opt) {
    int64_t rows = opt->rows > 0 ? opt->rows : 1, columns = count / rows;
    return k % rows * columns + k / rows;
}

/* Looks at what runs, and begins more where there is room. */
static tare_status step(tare__task *task, int64_t count, const tare__runner_opt *opt, bool tick) {
    tare_status s = TARE_OK;
    int64_t running = 0;
    for (int64_t i = 0; s == TARE_OK && i < count; i++) {
        if (task[i].state == TARE__TASK_LEFT && tick) { s = look_again(&task[i], opt); }
        if (task[i].state != TARE__TASK_RUNNING) { continue; }
        s = watch(&task[i], opt);
        running += task[i].state == TARE__TASK_RUNNING;
        if (s == TARE_OK && task[i].state == TARE__TASK_DONE && opt->done) { opt->done(opt->context, &task[i]); }
    }
    for (int64_t k = 0; s == TARE_OK && running < opt->jobs && k < count; k++) {
        tare__task *t = &task[turn(k, count, opt)];
        if (t->state != TARE__TASK_WAITING) { continue; }
        s = start(t, opt);
        running += t->state == TARE__TASK_RUNNING;
        if (t->state == TARE__TASK_LEFT && opt->left) { opt->left(opt->context, t); }
    }
    return s;
}

tare_status tare__run_tasks(tare__task *task, int64_t count, const tare__runner_opt *opt) {
    tare_status s = TARE_OK;
    for (int64_t i = 0; i < count; i++) {
        if (task[i].state == TARE__TASK_LEFT && opt->left) { opt->left(opt->context, &task[i]); }
    }
    double ticked = 0;
    while (s == TARE_OK && !tare_stop() && count_state(task, count, TARE__TASK_DONE) < count) {
        bool tick = tare_clock() - ticked > TICK_MS / 1000.0;
        s = step(task, count, opt, tick);
        if (tick) {
            ticked = tare_clock();
            if (opt->tick) { opt->tick(opt->context, count_state(task, count, TARE__TASK_RUNNING)); }
        }
        pause_ms(POLL_MS);
    }
    stop_all(task, count);
    return s;
}
