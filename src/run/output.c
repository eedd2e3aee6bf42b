/* output.c - how a program that printed on standard output ends. */
#include <tare/run.h>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* The far end of a pipe has been closed: what could not be written is not wanted. */
static bool has_reader_gone(void) {
    struct stat status;
    return fstat(STDOUT_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

int tare_output_end(const char *program, int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) { return code; }
    if (has_reader_gone()) { return code ? code : 128 + SIGPIPE; }
    fprintf(stderr, "%s: standard output could not be written whole (is the disk full?)\n", program);
    return code ? code : 1;
}
