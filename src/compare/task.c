/* task.c - one run: what is there of it, a clean place for it, and how it ended. The note beside its folder (folder.json) outlives
 * this process; the lock on its log outlives nobody: whoever holds the run's output holds it. */
#define _DEFAULT_SOURCE /* flock */
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "../io/io.h"
#include "../run/json.h"

void tare__task_free(tare__task *task) {
    if (task->state != TARE__TASK_WAITING && task->log > 0) { close(task->log); }
    tare_free(task->folder);
    tare_free(task->label);
    tare__words_free(&task->argv);
}

static char *beside(const tare__task *task, const char *ending) {
    tare__text t = { 0 };
    tare__text_format(&t, "%s%s", task->folder, ending);
    return tare__text_take(&t);
}

/* ---- the note ------------------------------------------------------------------------------------------------------ */

static char *identity_text(const tare__task *task) {
    const tare__words words = { task->argv.at + task->identity, task->argv.count - task->identity, 0 };
    tare__text t = { 0 };
    tare__words_quoted(&words, &t);
    return tare__text_take(&t);
}

static tare_status write_note(const tare__task *task, const char *status) {
    char *options = identity_text(task), *path = beside(task, ".json");
    tare__text t = { 0 };
    tare__json_open(&t, NULL, '{');
    tare__json_string(&t, "status", status);
    tare__json_string(&t, "options", options ? options : "");
    if (*task->reason) { tare__json_string(&t, "reason", task->reason); }
    if (isfinite(task->wall_seconds)) { tare__json_number(&t, "wall_seconds", task->wall_seconds); }
    if (isfinite(task->peak_bytes)) { tare__json_number(&t, "peak_bytes", task->peak_bytes); }
    tare__json_close(&t, '}');
    tare__text_add(&t, "\n");
    char *text = tare__text_take(&t);
    tare_status s =
        options && path && text ? tare__write_file(path, text) : tare_fail(TARE_ENOMEM, "out of memory: a note");
    tare_free(text);
    tare_free(path);
    tare_free(options);
    return s;
}

static double number(const cJSON *note, const char *name) {
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(note, name);
    return cJSON_IsNumber(member) ? member->valuedouble : (double)NAN;
}

/* What an earlier call noted. */
typedef struct noted {
    bool there, same; /* same options? */
    tare__fate fate;  /* missing: it began, and nobody saw the end */
} noted;

static tare_status read_note(tare__task *task, noted *out) {
    *out = (noted){ false, false, TARE__MISSING };
    char *path = beside(task, ".json"), *options = identity_text(task), *text = NULL;
    tare_status s = path && options ? tare__read_file(path, &text) : tare_fail(TARE_ENOMEM, "out of memory: a note");
    cJSON *note = text ? cJSON_Parse(text) : NULL;
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(note, "status"));
    const char *had = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(note, "options"));
    const char *reason = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(note, "reason"));
    out->there = status && had;
    out->same = out->there && options && strcmp(had, options) == 0;
    for (int i = 0; i < TARE__FATES && out->same; i++) {
        if (strcmp(status, tare__fate_name[i]) == 0) { out->fate = (tare__fate)i; }
    }
    if (out->fate != TARE__MISSING) {
        snprintf(task->reason, sizeof task->reason, "%s", reason ? reason : "");
        task->wall_seconds = number(note, "wall_seconds");
        task->peak_bytes = number(note, "peak_bytes");
    }
    cJSON_Delete(note);
    tare_free(text);
    tare_free(options);
    tare_free(path);
    return s;
}

/* ---- what it amounts to ---------------------------------------------------------------------------------------------- */

static tare_status adopt_story(tare__task *task, const tare__story *story, const tare__metric *m) {
    task->value = story->value;
    task->not_reached = story->not_reached;
    task->seconds = story->seconds;
    if (isfinite(story->peak_bytes)) { task->peak_bytes = story->peak_bytes; }
    if (story->has_value) {
        task->fate = isfinite(story->value) ? TARE__FINISHED : TARE__DIVERGED;
        return TARE_OK;
    }
    return tare_fail(TARE_EINVAL, "--metric %s: no event of %s has \"%s\"; its end event has %s", m->text, task->folder,
                     m->name, *story->names ? story->names : "no numbers");
}

/* false: somebody holds the log of this run. */
static bool lock_log(tare__task *task, bool create) {
    char *path = beside(task, ".log");
    task->log = path ? open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0666) : -1;
    tare_free(path);
    if (task->log < 0) { return true; }
    if (flock(task->log, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) { return true; }
    close(task->log);
    task->log = -1;
    return false;
}

static void unlock_log(tare__task *task) {
    if (task->log >= 0) { close(task->log); }
    task->log = -1;
}

static bool is_failure(tare__fate fate) { return fate == TARE__CRASHED || fate == TARE__KILLED; }

tare_status tare__task_look(tare__task *task, const tare__metric *m, bool retry) {
    task->fate = TARE__MISSING;
    task->state = TARE__TASK_WAITING;
    task->seconds = task->wall_seconds = task->peak_bytes = task->value = (double)NAN;
    noted note;
    tare_status s = read_note(task, &note);
    if (s != TARE_OK) { return s; }
    /* Where the end was seen, what still holds the log is a process the run left behind, and nothing to wait for. */
    bool free_log = note.fate != TARE__MISSING || lock_log(task, false);
    unlock_log(task);
    if (!free_log) {
        task->state = TARE__TASK_LEFT;
        return TARE_OK;
    }
    if (note.there && (!note.same || (retry && is_failure(note.fate)))) { return TARE_OK; }
    tare__story story;
    s = tare__story_read(&story, task->folder, m);
    if (s == TARE_OK && story.ended && !is_failure(note.fate)) { s = adopt_story(task, &story, m); }
    if (s == TARE_OK && task->fate == TARE__MISSING && note.fate != TARE__FINISHED) { task->fate = note.fate; }
    if (task->fate != TARE__MISSING) { task->state = TARE__TASK_DONE; }
    return s;
}

tare_status tare__task_prepare(tare__task *task, bool *left) {
    *left = false;
    tare_status s = TARE_OK;
    char *parent = tare_strdup(task->folder), *slash = parent ? strrchr(parent, '/') : NULL;
    if (slash) {
        *slash = '\0';
        s = tare__folders_make(parent);
    }
    tare_free(parent);
    if (s != TARE_OK) { return s; }
    if (!lock_log(task, true)) {
        *left = true;
        return TARE_OK;
    }
    if (task->log < 0) { return tare_fail(TARE_EIO, "%s.log: cannot be opened: %s", task->folder, strerror(errno)); }
    if (ftruncate(task->log, 0) != 0) { return tare_fail(TARE_EIO, "%s.log: %s", task->folder, strerror(errno)); }
    task->reason[0] = '\0';
    s = tare__remove_tree(task->folder);
    return s == TARE_OK ? write_note(task, "started") : s;
}

/* Signals by which a program ends itself; all others come from somebody else. */
static bool is_own_signal(int number) {
    static const int own[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (own[i] == number) { return true; }
    }
    return false;
}

static void judge_ending(tare__task *task, int wait_status) {
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    int number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : code > 128 && code < 128 + 65 ? code - 128 : 0;
    if (task->overdue) {
        task->fate = TARE__KILLED;
        snprintf(task->reason, sizeof task->reason, "time limit");
    } else if (number > 0) { /* 128 + signal: as a shell has it */
        task->fate = is_own_signal(number) ? TARE__CRASHED : TARE__KILLED;
        snprintf(task->reason, sizeof task->reason, "signal %d (%s)", number, strsignal(number));
    } else {
        task->fate = TARE__CRASHED;
        snprintf(task->reason, sizeof task->reason, code ? "exit code %d" : "it left no end event", code);
    }
}

tare_status tare__task_settle(tare__task *task, const tare__metric *m, int wait_status) {
    unlock_log(task);
    tare__story story;
    tare_status s = tare__story_read(&story, task->folder, m);
    if (s != TARE_OK) { return s; }
    task->fate = TARE__MISSING;
    tare_status told = story.ended ? adopt_story(task, &story, m) : TARE_OK;
    if (story.ended && task->fate == TARE__MISSING) { task->fate = TARE__FINISHED; } /* but not with this metric */
    if (!story.ended && story.nonfinite) { task->fate = TARE__DIVERGED; }
    if (task->fate == TARE__MISSING) { judge_ending(task, wait_status); }
    task->state = TARE__TASK_DONE;
    s = write_note(task, tare__fate_name[task->fate]);
    return s == TARE_OK && told != TARE_OK ? adopt_story(task, &story, m) : s;
}

void tare__task_last_words(const tare__task *task, char *text, size_t size) {
    char *path = beside(task, ".log"), tail[1024] = "";
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (fseek(file, -(long)(sizeof tail - 1), SEEK_END) != 0) { rewind(file); }
        size_t n = fread(tail, 1, sizeof tail - 1, file);
        tail[n] = '\0';
        fclose(file);
    }
    tare_free(path);
    size_t n = strlen(tail);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' ')) { tail[--n] = '\0'; }
    const char *line = strrchr(tail, '\n');
    snprintf(text, size, "%s", line ? line + 1 : tail);
    for (char *s = text; *s; s++) { /* a bar's carriage returns, colours: not on our terminal */
        if ((unsigned char)*s < ' ' || *s == 127) { *s = ' '; }
    }
}
