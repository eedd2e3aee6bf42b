/* folder.c - a run is a folder: config.json, metrics.jsonl, checkpoints. */
#define _DEFAULT_SOURCE /* flock, which unlike fcntl locks survives a close of another descriptor of the file */
#include <tare/run.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../io/io.h"
#include "json.h"
#include "options.h"

enum { PATHS = 4 };

struct tare_run {
    char *folder, *word; /* the same, for a shell */
    int metrics;         /* descriptor of metrics.jsonl, locked for this process */
    FILE *echo;
    char *config;      /* of a resumed run: written with its first event */
    char *path[PATHS]; /* what tare_run_path gave last */
    int next_path;
};

/* ---- files and folders ------------------------------------------------------------------------------------------- */

static char *quoted(const char *folder) {
    tare__text t = { 0 };
    tare__text_quoted(&t, folder);
    return tare__text_take(&t);
}

static char *join(const char *folder, const char *file) {
    tare__text t = { 0 };
    tare__text_format(&t, "%s/%s", folder, file);
    return tare__text_take(&t);
}

/* 0 where the folder is missing, 1 where it is empty, 2 where something is in it, -1 where it is no folder. */
static int look_into(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir) { return errno == ENOENT ? 0 : -1; }
    int found = 1;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) { found = 2; }
    }
    closedir(dir);
    return found;
}

/* The pictures of a run that is begun anew: fewer may follow. Other files, and the folder, are left. */
static tare_status clear_samples(const char *folder) {
    char *samples = join(folder, "samples");
    DIR *dir = samples ? opendir(samples) : NULL;
    tare_status s = samples ? TARE_OK : TARE_ENOMEM;
    for (const struct dirent *entry; s == TARE_OK && dir && (entry = readdir(dir));) {
        size_t n = strlen(entry->d_name);
        if (n < 4 || strcmp(entry->d_name + n - 4, ".png") != 0) { continue; }
        char *path = join(samples, entry->d_name);
        if (!path || unlink(path) != 0) {
            s = tare_fail(TARE_EIO, "%s/%s: cannot be removed: %s", samples, entry->d_name, strerror(errno));
        }
        tare_free(path);
    }
    if (dir) { closedir(dir); }
    tare_free(samples);
    return s;
}

/* Takes away what a run consists of, and nothing else. metrics.jsonl is emptied: it holds the lock. */
static tare_status clear(const char *folder, int metrics) {
    static const char *const files[] = { "config.json", "last.safetensors", "best.safetensors",
                                         "report.html", "summary.txt",      "confusion.json" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = join(folder, files[i]);
        if (!path) { return TARE_ENOMEM; }
        int failed = unlink(path) != 0 && errno != ENOENT ? errno : 0;
        tare_free(path);
        if (failed) { return tare_fail(TARE_EIO, "%s/%s: cannot be removed: %s", folder, files[i], strerror(failed)); }
    }
    tare_status s = clear_samples(folder);
    if (s != TARE_OK) { return s; }
    if (ftruncate(metrics, 0) == 0) { return TARE_OK; }
    return tare_fail(TARE_EIO, "%s/metrics.jsonl: cannot be emptied: %s", folder, strerror(errno));
}

static bool fill_lines(FILE *file, const void *text) { return fputs(text, file) >= 0 && fputc('\n', file) != EOF; }

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static void add_machine(tare__text *t) {
    tare_machine machine;
    tare_machine_get(&machine);
    tare__json_open(t, "machine", '{');
    tare__json_string(t, "cpu", machine.cpu);
    tare__json_int(t, "cores", machine.cores);
    tare__json_int(t, "threads", machine.threads);
    tare__json_string(t, "isa", machine.isa);
    tare__json_string(t, "blas", machine.blas);
    tare__json_int(t, "memory", machine.memory);
    tare__json_close(t, '}');
}

/* Text for config.json; NULL: out of memory. */
static char *config_text(const tare_options *o) {
    char now[32];
    time_t clock = time(NULL);
    struct tm utc;
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&clock, &utc));
    char *command = tare_options_command(o);
    tare__text t = { .failed = !command };
    tare__json_open(&t, NULL, '{');
    tare__json_string(&t, "program", o->name);
    tare__json_string(&t, "version", TARE_VERSION);
    tare__json_int(&t, "abi", TARE_ABI);
    tare__json_string(&t, "written", now);
    tare__json_string(&t, "command", command);
    tare__options_json(o, &t, "options");
    add_machine(&t);
    tare__json_close(&t, '}');
    char *json = tare__text_take(&t), *text = json ? tare__json_indented(json) : NULL;
    tare_free(json);
    tare_free(command);
    return text;
}

static tare_status write_config(tare_run *run) {
    char *path = join(run->folder, "config.json");
    tare_status s = path ? tare__file_replace(path, fill_lines, run->config) : TARE_ENOMEM;
    tare_free(path);
    if (s == TARE_OK) {
        tare_free(run->config);
        run->config = NULL;
    }
    return s;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* runs/mnist-bn-20250131-142501, with a counter where that is taken; only characters that need no quoting. */
static char *default_folder(const char *program, const char *hint) {
    char now[32];
    time_t clock = time(NULL);
    struct tm local;
    strftime(now, sizeof now, "%Y%m%d-%H%M%S", localtime_r(&clock, &local));
    char plain[40];
    snprintf(plain, sizeof plain, "%s", hint ? hint : "");
    for (char *s = plain; *s; s++) {
        if (strchr("/ :,=+'\"\\", *s)) { *s = '_'; }
    }
    for (int i = 1; i < 1000; i++) {
        tare__text t = { 0 };
        tare__text_format(&t, "runs/%s%s%s-%s", program, *plain ? "-" : "", plain, now);
        if (i > 1) { tare__text_format(&t, "-%d", i); }
        char *folder = tare__text_take(&t);
        if (!folder || look_into(folder) < 2) { return folder; }
        tare_free(folder);
    }
    tare_fail(TARE_EEXIST, "runs: a thousand runs of this second are there already");
    return NULL;
}

static tare_status prepare_folder(const char *folder, const tare_run_opt *opt) {
    int found = look_into(folder);
    if (found < 0) { return tare_fail(TARE_EIO, "%s: not a folder that can be used: %s", folder, strerror(errno)); }
    if (opt->resume) { return found == 2 ? TARE_OK : tare_fail(TARE_ENOENT, "%s: there is no run to resume", folder); }
    if (found == 2 && !opt->force) {
        return tare_fail(
            TARE_EEXIST,
            "%s: not empty; --resume goes on with the run in it, --force clears it, --out takes another folder",
            folder);
    }
    return tare__folders_make(folder);
}

/* Opens metrics.jsonl to append and locks it, so that two processes cannot train in one folder. */
static tare_status open_metrics(tare_run *run) {
    char *path = join(run->folder, "metrics.jsonl");
    if (!path) { return TARE_ENOMEM; }
    run->metrics = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    tare_status s = TARE_OK;
    if (run->metrics < 0) {
        s = tare_fail(TARE_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    } else if (flock(run->metrics, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        s = tare_fail(TARE_EEXIST, "%s: another process is at work in this run", run->folder);
    }
    tare_free(path);
    return s;
}

/* A crash may have cut the last line short: what follows begins a new one. */
static void mend_last_line(int metrics) {
    char last = '\n';
    if (lseek(metrics, -1, SEEK_END) >= 0 && read(metrics, &last, 1) == 1 && last != '\n') {
        if (write(metrics, "\n", 1) != 1) { return; }
    }
}

tare_status tare_run_open(tare_run **out, const tare_options *o, const tare_run_opt *opt, const char *hint) {
    *out = NULL;
    tare_run *run = tare_calloc(1, sizeof *run);
    if (!run) { return TARE_ENOMEM; }
    run->metrics = -1;
    const char *wanted = opt->resume ? opt->resume : opt->out;
    run->folder = wanted ? tare_strdup(wanted) : default_folder(o->name, hint);
    run->word = run->folder ? quoted(run->folder) : NULL;
    tare_status s = run->word ? prepare_folder(run->folder, opt) : TARE_ENOMEM;
    if (s == TARE_OK) { s = open_metrics(run); }
    if (s == TARE_OK && !opt->resume) { s = clear(run->folder, run->metrics); }
    if (s == TARE_OK) {
        mend_last_line(run->metrics);
        run->config = config_text(o);
        s = run->config ? TARE_OK : tare_fail(TARE_ENOMEM, "out of memory: config.json");
    }
    if (s == TARE_OK && !opt->resume) { s = write_config(run); }
    if (s != TARE_OK) {
        tare_run_close(run);
        return s;
    }
    *out = run;
    return TARE_OK;
}

void tare_run_close(tare_run *run) {
    if (!run) { return; }
    if (run->metrics >= 0) { close(run->metrics); }
    for (int i = 0; i < PATHS; i++) { tare_free(run->path[i]); }
    tare_free(run->config);
    tare_free(run->folder);
    tare_free(run->word);
    tare_free(run);
}

const char *tare_run_folder(const tare_run *run) { return run->folder; }
const char *tare_run_word(const tare_run *run) { return run->word; }

const char *tare_run_path(tare_run *run, const char *file) {
    char **slot = &run->path[run->next_path];
    run->next_path = (run->next_path + 1) % PATHS;
    tare_free(*slot);
    *slot = join(run->folder, file);
    return *slot ? *slot : "";
}

tare_status tare_run_write(tare_run *run, const char *file, const char *text) {
    char *path = join(run->folder, file);
    tare_status s = path ? tare__file_replace(path, fill_lines, text) : TARE_ENOMEM;
    tare_free(path);
    return s;
}

/* ---- metrics.jsonl ----------------------------------------------------------------------------------------------- */

void tare_run_echo(tare_run *run, FILE *stream) { run->echo = stream; }

static tare_status append(int metrics, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(metrics, text, size);
        if (n < 0 && errno == EINTR) { continue; }
        if (n < 0) { return tare_fail(TARE_EIO, "metrics.jsonl: cannot be written: %s", strerror(errno)); }
        text += n;
        size -= (size_t)n;
    }
    return TARE_OK;
}

static void add_field(tare__text *t, const tare_field *f) {
    if (f->text) {
        tare__json_string(t, f->name, f->text);
    } else if (f->list) {
        tare__json_open(t, f->name, '[');
        for (int64_t i = 0; i < f->count; i++) { tare__json_number(t, NULL, f->list[i]); }
        tare__json_close(t, ']');
    } else {
        tare__json_number(t, f->name, f->number);
    }
}

char *tare_event(const char *event, const tare_field *fields) {
    tare__text t = { 0 };
    tare__json_open(&t, NULL, '{');
    tare__json_string(&t, "event", event);
    for (const tare_field *f = fields; f->name; f++) { add_field(&t, f); }
    tare__text_add(&t, "}\n");
    return tare__text_take(&t);
}

void tare_event_print(FILE *stream, const char *event, const tare_field *fields) {
    char *line = tare_event(event, fields);
    if (line) { fputs(line, stream); }
    tare_free(line);
}

/* Where in the events, a line each, the first stands whose "step" is beyond this one; their size if there is none. A quote within a
 * string has a backslash before it, so the key is found nowhere else. */
static size_t find_beyond(const char *text, size_t size, int64_t step) {
    static const char key[] = ",\"step\":";
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at), *found = strstr(text + at, key);
        if (!found || !end) { break; }
        if (found < end && strtod(found + strlen(key), NULL) > (double)step) { return at; }
        at = (size_t)(end - text) + 1;
    }
    return size;
}

/* The first `size` bytes of a file. */
static bool read_all(int file, char *text, off_t size) {
    for (off_t got = 0; got < size;) {
        ssize_t n = pread(file, text + got, (size_t)(size - got), got);
        if (n < 0 && errno == EINTR) { continue; }
        if (n <= 0) { return false; }
        got += n;
    }
    return true;
}

static tare_status forget_beyond(tare_run *run, int64_t step) {
    off_t size = lseek(run->metrics, 0, SEEK_END);
    char *text = size >= 0 ? tare_malloc((size_t)size + 1) : NULL;
    if (size >= 0 && !text) { return TARE_ENOMEM; }
    if (size < 0 || !read_all(run->metrics, text, size)) {
        tare_fail(TARE_EIO, "metrics.jsonl: cannot be read: %s", strerror(errno));
        tare_free(text);
        return TARE_EIO;
    }
    text[size] = '\0';
    off_t keep = (off_t)find_beyond(text, (size_t)size, step);
    tare_free(text);
    if (keep < size && ftruncate(run->metrics, keep) != 0) {
        return tare_fail(TARE_EIO, "metrics.jsonl: cannot be cut off at step %lld: %s", (long long)step,
                         strerror(errno));
    }
    return TARE_OK;
}

tare_status tare_run_resumed(tare_run *run, int64_t step) {
    tare_status s = forget_beyond(run, step);
    return s == TARE_OK ? tare_run_log(run, "resume", TARE_FIELDS(TARE_NUMBER("step", step))) : s;
}

tare_status tare_run_log(tare_run *run, const char *event, const tare_field *fields) {
    tare_status s = run->config ? write_config(run) : TARE_OK;
    if (s != TARE_OK) { return s; }
    char *line = tare_event(event, fields);
    if (!line) { return TARE_ENOMEM; }
    s = append(run->metrics, line, strlen(line));
    if (run->echo && (fputs(line, run->echo) < 0 || fflush(run->echo) != 0)) { tare_stop_ask(SIGPIPE); }
    tare_free(line);
    return s;
}
