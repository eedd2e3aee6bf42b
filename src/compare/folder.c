/* folder.c - the folder of a comparison: its name from its plan, whose it is, who is at work in it. */
#define _DEFAULT_SOURCE /* flock */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../io/io.h"
#include "comparison.h"
#include "folder.h"

static char *in(const char *folder, const char *file) {
    tare__text t = { 0 };
    tare__text_format(&t, "%s/%s", folder, file);
    return tare__text_take(&t);
}

/* runs/compare-mnist-1f0c93a2: the same plan finds it again. Of a path or several words only plain characters stay. */
static char *default_folder(const tare__plan *plan, const char *identity) {
    uint32_t hash = 2166136261u;
    for (const char *s = identity; *s; s++) { hash = (hash ^ (unsigned char)*s) * 16777619u; }
    const char *slash = strrchr(plan->program, '/'), *name = slash ? slash + 1 : plan->program;
    tare__text t = { 0 };
    tare__text_format(&t, "%s/compare-", plan->parent ? plan->parent : "runs");
    for (const char *s = name; *s && s < name + 40; s++) {
        bool plain =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("._-", *s);
        tare__text_addn(&t, plain ? s : "_", 1);
    }
    tare__text_format(&t, "-%08x", (unsigned)hash);
    return tare__text_take(&t);
}

/* Another comparison of this program beside this one, the newest, differs from it: in what? */
static void mention_other(const tare__comparison *c, const char *identity, tare__text *note) {
    const char *last = strrchr(c->folder, '-');
    size_t prefix = last ? (size_t)(last - c->folder) - strlen("runs/") + 1 : 0;
    DIR *dir = opendir("runs");
    char newest[300] = "";
    struct stat status;
    time_t when = 0;
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[600];
        if (strncmp(entry->d_name, c->folder + strlen("runs/"), prefix) != 0 || strlen(entry->d_name) != prefix + 8) {
            continue;
        }
        snprintf(path, sizeof path, "runs/%s/plan.json", entry->d_name);
        if (stat(path, &status) != 0 || status.st_mtime < when) { continue; }
        when = status.st_mtime;
        snprintf(newest, sizeof newest, "runs/%s", entry->d_name);
    }
    if (dir) { closedir(dir); }
    char *path = *newest ? in(newest, "plan.json") : NULL, *before = NULL;
    if (path && tare__read_file(path, &before) == TARE_OK && before) {
        char *what = tare__plan_difference(before, identity);
        if (what && *what) { tare__text_format(note, "%s is another comparison: %s\n", newest, what); }
        tare_free(what);
    }
    tare_free(before);
    tare_free(path);
}

/* ---- a folder that is there -------------------------------------------------------------------------------------------- */

/* Empty, or with nothing in it but folders named as cells are: --dry-run's commands were run by somebody else. */
static bool may_enter(const char *folder) {
    DIR *dir = opendir(folder);
    bool may = true;
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        bool cell = strchr(entry->d_name, '=') || strcmp(entry->d_name, "tune") == 0;
        may = may && (cell || entry->d_name[strspn(entry->d_name, ".")] == '\0');
    }
    if (dir) { closedir(dir); }
    return may;
}

/* All that a comparison consists of; the lock on plan.json stays with its descriptor. */
static tare_status clear(const char *folder) {
    DIR *dir = opendir(folder);
    tare_status s = TARE_OK;
    for (const struct dirent *entry; s == TARE_OK && dir && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, "plan.json") == 0) {
            continue;
        }
        char *path = in(folder, entry->d_name);
        s = path ? tare__remove_tree(path) : tare_fail(TARE_ENOMEM, "out of memory: a path");
        tare_free(path);
    }
    if (dir) { closedir(dir); }
    return s;
}

static tare_status take_lock(tare__comparison *c) {
    char *path = in(c->folder, "plan.json");
    c->lock = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    tare_free(path);
    if (c->lock < 0) { return tare_fail(TARE_EIO, "%s/plan.json: cannot be opened: %s", c->folder, strerror(errno)); }
    if (flock(c->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return tare_fail(TARE_EEXIST, "%s: another tare compare is at work in it", c->folder);
    }
    return TARE_OK;
}

static tare_status write_plan(const tare__comparison *c, const char *identity) {
    size_t size = strlen(identity);
    bool good = ftruncate(c->lock, 0) == 0 && pwrite(c->lock, identity, size, 0) == (ssize_t)size;
    return good ? TARE_OK : tare_fail(TARE_EIO, "%s/plan.json: cannot be written: %s", c->folder, strerror(errno));
}

/* What plan.json says of the comparison that is there, against this one. */
static tare_status check_plan(const tare__comparison *c, const char *before, const char *identity) {
    if (strcmp(before, identity) == 0) { return TARE_OK; }
    char *what = tare__plan_difference(before, identity);
    if (!what) { return tare_fail(TARE_ENOMEM, "out of memory: plan.json"); }
    tare_status s = TARE_OK;
    if (*what && !c->plan->opt.force) {
        s = tare_fail(TARE_EEXIST,
                      "%s holds another comparison: %s\n"
                      "--out takes another folder for this one, --force clears that one",
                      c->folder, what);
    }
    tare_free(what);
    return s;
}

static tare_status enter(tare__comparison *c, const char *identity, const char *before) {
    const tare__compare_opt *opt = &c->plan->opt;
    if (before) {
        tare_status s = check_plan(c, before, identity);
        if (s != TARE_OK) { return s; }
    } else if (!may_enter(c->folder)) {
        return tare_fail(TARE_EEXIST, "%s: there is something in it that is no comparison; --out takes another folder",
                         c->folder);
    }
    if (opt->dry_run) { return TARE_OK; }
    tare_status s = before ? TARE_OK : tare__plan_check(c->plan); /* a typo leaves no folder behind */
    if (s == TARE_OK) { s = tare__folders_make(c->folder); }
    if (s == TARE_OK) { s = take_lock(c); }
    if (s == TARE_OK && opt->force) { s = clear(c->folder); }
    return s == TARE_OK ? write_plan(c, identity) : s;
}

tare_status tare__folder_open(tare__comparison *c, char **note) {
    tare__text said = { 0 };
    char *identity = tare__plan_identity(c->plan), *path = NULL, *before = NULL;
    tare_status s = identity ? TARE_OK : tare_fail(TARE_ENOMEM, "out of memory: the plan");
    if (s == TARE_OK) {
        c->folder = c->plan->opt.out ? tare_strdup(c->plan->opt.out) : default_folder(c->plan, identity);
    }
    for (size_t n = c->folder ? strlen(c->folder) : 0; n > 1 && c->folder[n - 1] == '/'; n--) {
        c->folder[n - 1] = '\0';
    }
    path = c->folder ? in(c->folder, "plan.json") : NULL;
    if (s == TARE_OK) { s = path ? tare__read_file(path, &before) : tare_fail(TARE_ENOMEM, "out of memory: a path"); }
    if (s == TARE_OK && before && !*before) { /* made, and killed before the first word */
        tare_free(before);
        before = tare_strdup(identity);
    }
    bool anew = !before;
    if (s == TARE_OK) { s = enter(c, identity, before); }
    if (s == TARE_OK && anew && !c->plan->opt.out && !c->plan->parent) { mention_other(c, identity, &said); }
    if (s == TARE_OK) { tare__text_format(&said, "%s comparison: %s", anew ? "new" : "the", c->folder); }
    *note = tare__text_take(&said);
    tare_free(before);
    tare_free(path);
    tare_free(identity);
    return s;
}
