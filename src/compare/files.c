/* files.c - whole files and folders: read, write, make, remove. */
#define _XOPEN_SOURCE 700 /* nftw */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "task.h"

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

tare_status tare__remove_tree(const char *folder) {
    if (nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) { return TARE_OK; }
    return tare_fail(TARE_EIO, "%s: cannot be removed: %s", folder, strerror(errno));
}

tare_status tare__make_folders(const char *folder) {
    char *path = tare_strdup(folder);
    if (!path) { return tare_fail(TARE_ENOMEM, "out of memory: a path"); }
    tare_status s = TARE_OK;
    for (char *end = path + 1; s == TARE_OK && *path; end++) {
        if (*end != '/' && *end != '\0') { continue; }
        char kept = *end;
        *end = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            s = tare_fail(TARE_EIO, "%s: cannot make this folder: %s", path, strerror(errno));
        }
        *end = kept;
        if (!kept) { break; }
    }
    tare_free(path);
    return s;
}

tare_status tare__write_file(const char *path, const char *text) {
    tare__text t = { 0 };
    tare__text_format(&t, "%s.tmp", path);
    char *temporary = tare__text_take(&t);
    if (!temporary || !text) {
        tare_free(temporary);
        return tare_fail(TARE_ENOMEM, "out of memory: %s", path);
    }
    FILE *file = fopen(temporary, "w");
    bool good = file != NULL;
    if (file) {
        good = fputs(text, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
        good = fclose(file) == 0 && good && rename(temporary, path) == 0;
    }
    tare_status s = good ? TARE_OK : tare_fail(TARE_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (!good) { unlink(temporary); }
    tare_free(temporary);
    return s;
}

tare_status tare__read_file(const char *path, char **text) {
    *text = NULL;
    FILE *file = fopen(path, "r");
    if (!file) { return errno == ENOENT ? TARE_OK : tare_fail(TARE_EIO, "%s: %s", path, strerror(errno)); }
    tare__text t = { 0 };
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0) { tare__text_addn(&t, part, n); }
    bool bad = ferror(file) != 0;
    fclose(file);
    *text = tare__text_take(&t);
    if (bad) {
        tare_free(*text);
        *text = NULL;
        return tare_fail(TARE_EIO, "%s: cannot be read", path);
    }
    return *text ? TARE_OK : tare_fail(TARE_ENOMEM, "out of memory: %s", path);
}
