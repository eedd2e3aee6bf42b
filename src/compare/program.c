/* program.c - where the program of a comparison is: one of Tare's, or anybody's. */
#include "program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* In the folder of this executable: build/bin or libexec/tare, where Tare's programs are. */
static bool beside(const char *name, char path[PATH_MAX + 256]) {
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) { return false; }
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash) { return false; }
    snprintf(path, PATH_MAX + 256, "%.*s/tare-%s", (int)(slash - self), self, name);
    return is_program(path);
}

static bool on_path(const char *prefix, const char *name, char path[PATH_MAX + 256]) {
    const char *list = getenv("PATH");
    for (const char *s = list ? list : ""; *s;) {
        size_t length = strcspn(s, ":");
        if (length > 0 && length < PATH_MAX) {
            snprintf(path, PATH_MAX + 256, "%.*s/%s%s", (int)length, s, prefix, name);
            if (is_program(path)) { return true; }
        }
        s += length + (s[length] == ':');
    }
    return false;
}

/* The first word becomes the path of what it names; the others stay. */
static tare_status resolve(const char *program, tare__words *words) {
    const char *name = words->at[0];
    char path[PATH_MAX + 256];
    bool plain = strlen(name) < 128 && !strchr(name, '/');
    if (!plain) { /* a path is taken as it is */
        return is_program(name)
                   ? TARE_OK
                   : tare_fail(TARE_ENOENT, "%s: not a program that can be run (missing, or chmod +x)", name);
    }
    if (!beside(name, path) && !on_path("tare-", name, path) && !on_path("", name, path)) {
        return tare_fail(TARE_ENOENT, "there is no program \"%s\": no tare-%s, and nothing of that name on PATH%s",
                         program, name, access(name, F_OK) == 0 ? " (this folder's is ./NAME)" : "");
    }
    char *copy = tare_strdup(path);
    if (!copy) { return tare_fail(TARE_ENOMEM, "out of memory: a word"); }
    tare_free(words->at[0]);
    words->at[0] = copy;
    return TARE_OK;
}

tare_status tare__program_find(const char *program, tare__words *start) {
    tare_status s = tare__words_split(start, program);
    if (s == TARE_OK && start->count == 0) { s = tare_fail(TARE_EINVAL, "the name of the program is empty"); }
    return s == TARE_OK ? resolve(program, start) : s;
}
