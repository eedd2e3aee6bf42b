/* file.c - whole files, read at once, replaced at once or not at all; and folders for them. */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static tare_status read_all(const char *path, int file, unsigned char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = read(file, bytes + done, size - done);
        if (got < 0 && errno == EINTR) { continue; }
        if (got < 0) { return tare_fail(TARE_EIO, "%s: cannot read: %s", path, strerror(errno)); }
        if (got == 0) { return tare_fail(TARE_EIO, "%s: became shorter while it was being read", path); }
        done += (size_t)got;
    }
    return TARE_OK;
}

static tare_status read_open(const char *path, int file, unsigned char **bytes, size_t *size) {
    struct stat info;
    if (fstat(file, &info) != 0) { return tare_fail(TARE_EIO, "%s: cannot read: %s", path, strerror(errno)); }
    if (!S_ISREG(info.st_mode)) { return tare_fail(TARE_EIO, "%s: not a regular file", path); }
    *size = (size_t)info.st_size;
    *bytes = tare_malloc(*size + 1);
    if (!*bytes) { return tare_fail(TARE_ENOMEM, "%s: out of memory for its %zu bytes", path, *size); }
    tare_status status = read_all(path, file, *bytes, *size);
    if (status) {
        tare_free(*bytes);
        *bytes = NULL;
        return status;
    }
    (*bytes)[*size] = 0;
    return TARE_OK;
}

tare_status tare__file_load(const char *path, unsigned char **bytes, size_t *size) {
    if (!path) { return tare_fail(TARE_EINVAL, "the path to read is NULL"); }
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait before it is refused */
    if (file < 0) {
        tare_status status = errno == ENOENT || errno == ENOTDIR ? TARE_ENOENT : TARE_EIO;
        return tare_fail(status, "%s: cannot open: %s", path, strerror(errno));
    }
    tare_status status = read_open(path, file, bytes, size);
    close(file);
    return status;
}

/* ---- replacing --------------------------------------------------------------------------------------------------- */

/* A file of a name that nobody has, beside `path`; the name is in *name (tare_free it). */
static FILE *open_temporary(const char *path, char **name) {
    size_t room = strlen(path) + 48;
    *name = tare_malloc(room);
    if (!*name) {
        errno = ENOMEM;
        return NULL;
    }
    int file = -1;
    for (int i = 0; i < 100 && file < 0; i++) { /* taken: by another thread, or left by a process that was killed */
        snprintf(*name, room, "%s.tmp-%ld-%d", path, (long)getpid(), i);
        file = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST) { return NULL; }
    }
    FILE *stream = file < 0 ? NULL : fdopen(file, "wb");
    if (!stream && file >= 0) {
        close(file);
        unlink(*name);
    }
    return stream;
}

/* After a rename the folder of `path` must reach the disk too; cuts `path` short. Some file systems cannot sync a folder and
 * say EINVAL. */
static bool sync_folder(char *path) {
    char *slash = strrchr(path, '/');
    if (slash) { slash[1] = '\0'; }
    int file = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (file < 0) { return errno == EACCES; } /* a folder that we may write but not read */
    bool good = fsync(file) == 0 || errno == EINVAL || errno == ENOTSUP;
    int error = errno;
    close(file);
    errno = error;
    return good;
}

static bool write_and_close(FILE *file, bool (*fill)(FILE *, const void *), const void *context) {
    bool good = fill(file, context) && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int error = errno;
    if (fclose(file) != 0) { return false; }
    errno = error;
    return good;
}

tare_status tare__file_replace(const char *path, bool (*fill)(FILE *file, const void *context), const void *context) {
    struct stat info;
    if (!path) { return tare_fail(TARE_EINVAL, "the path to write is NULL"); }
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        return tare_fail(TARE_EIO, "%s: cannot write: not a regular file", path);
    }
    char *temporary = NULL;
    FILE *file = open_temporary(path, &temporary);
    bool good = false;
    if (file) {
        good = write_and_close(file, fill, context) && rename(temporary, path) == 0;
        int error = errno;
        if (!good) { unlink(temporary); }
        errno = error;
        good = good && sync_folder(temporary);
    }
    int error = errno;
    tare_free(temporary);
    if (good) { return TARE_OK; }
    return tare_fail(error == ENOMEM ? TARE_ENOMEM : TARE_EIO, "%s: cannot write: %s", path, strerror(error));
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

tare_status tare__folders_make(const char *folder) {
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
