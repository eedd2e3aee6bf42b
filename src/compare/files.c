/* files.c - whole texts read and written, folders removed. */
#define _XOPEN_SOURCE 700 /* nftw */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../io/io.h"
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

static bool fill_text(FILE *file, const void *text) { return fputs(text, file) >= 0; }

tare_status tare__write_file(const char *path, const char *text) {
    if (!text) { return tare_fail(TARE_ENOMEM, "out of memory: %s", path); }
    return tare__file_replace(path, fill_text, text);
}

tare_status tare__read_file(const char *path, char **text) {
    unsigned char *bytes = NULL;
    size_t size;
    tare_status s = tare__file_load(path, &bytes, &size);
    *text = (char *)bytes;
    return s == TARE_ENOENT ? TARE_OK : s;
}
