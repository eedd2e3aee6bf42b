/* tare.c - the launcher: `tare NAME ...` runs the program `tare-NAME` from beside it, from libexec, or from PATH. */
#include <tare/tare.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PLACES = 128, MAX_PROGRAMS = 256, NAME_SIZE = 64, ABOUT_SIZE = 120, INDENT = 15 };

typedef struct program {
    char name[NAME_SIZE];
    char about[ABOUT_SIZE];
    bool on_path; /* found on PATH, not beside the launcher */
} program;

typedef struct launcher {
    char place[MAX_PLACES][PATH_MAX]; /* folders to look in, in order */
    int places, own;                  /* the first `own` of them are ours */
    program program[MAX_PROGRAMS];
    int programs;
} launcher;

/* ---- where programs are ------------------------------------------------------------------------------------------ */

static void add_place(launcher *l, const char *folder, size_t n) {
    if (n == 0 || n >= PATH_MAX || l->places == MAX_PLACES) { return; }
    snprintf(l->place[l->places++], PATH_MAX, "%.*s", (int)n, folder);
}

static void find_places(launcher *l) {
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        size_t folder = (size_t)(strrchr(self, '/') - self);
        add_place(l, self, folder);
        char libexec[PATH_MAX + 32];
        int size = snprintf(libexec, sizeof libexec, "%.*s/../libexec/tare", (int)folder, self);
        add_place(l, libexec, (size_t)size);
    }
    l->own = l->places;
    const char *path = getenv("PATH");
    for (const char *s = path ? path : ""; *s;) {
        size_t length = strcspn(s, ":");
        add_place(l, s, length);
        s += length + (s[length] == ':');
    }
}

/* A name that can be part of a file's: no slash, no option. */
static bool is_name(const char *name) {
    if (!isalnum((unsigned char)*name) || strlen(name) >= NAME_SIZE) { return false; }
    for (const char *s = name; *s; s++) {
        if (!isalnum((unsigned char)*s) && !strchr("-_.+", *s)) { return false; }
    }
    return true;
}

static bool is_program(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

/* The text behind TARE_DESCRIBE in a program's file, be it compiled or a script. Listing must run nobody's program. */
static void read_about(const char *path, char *about) {
    static char part[1 << 16];
    const size_t marker = strlen(TARE_DESCRIBE), overlap = marker + ABOUT_SIZE;
    FILE *file = fopen(path, "rb");
    size_t kept = 0, n;
    *about = '\0';
    while (file && !*about && (n = fread(part + kept, 1, sizeof part - kept, file)) > 0) {
        size_t size = kept + n;
        bool end = feof(file) != 0;
        for (size_t i = 0; i + (end ? marker : overlap) <= size && !*about; i++) {
            if (part[i] != TARE_DESCRIBE[0] || memcmp(part + i, TARE_DESCRIBE, marker) != 0) { continue; }
            size_t k = 0;
            for (const char *s = part + i + marker; s < part + size && k < ABOUT_SIZE - 1; s++) {
                if (!isprint((unsigned char)*s)) { break; }
                about[k++] = *s;
            }
            about[k] = '\0';
        }
        kept = size < overlap ? size : overlap;
        memmove(part, part + size - kept, kept);
    }
    if (file) { fclose(file); }
}

static void add_program(launcher *l, int place, const char *file) {
    const char *name = file + strlen("tare-");
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s/%s", l->place[place], file);
    if (!is_name(name) || l->programs == MAX_PROGRAMS || !is_program(path)) { return; }
    for (int i = 0; i < l->programs; i++) {
        if (strcmp(l->program[i].name, name) == 0) { return; }
    }
    program *p = &l->program[l->programs++];
    snprintf(p->name, sizeof p->name, "%s", name);
    read_about(path, p->about);
    p->on_path = place >= l->own;
    if (p->about[0] == '-') { l->programs--; } /* it does not want to be listed */
}

static int by_name(const void *a, const void *b) {
    const program *p = a, *q = b;
    return p->on_path != q->on_path ? p->on_path - q->on_path : strcmp(p->name, q->name);
}

static void find_programs(launcher *l) {
    for (int i = 0; i < l->places; i++) {
        DIR *dir = opendir(l->place[i]);
        const struct dirent *entry;
        while (dir && (entry = readdir(dir))) {
            if (strncmp(entry->d_name, "tare-", 5) == 0) { add_program(l, i, entry->d_name); }
        }
        if (dir) { closedir(dir); }
    }
    qsort(l->program, (size_t)l->programs, sizeof l->program[0], by_name);
}

static void print_list(const launcher *l) {
    printf("tare %s - neural networks on CPUs, with normalisation at the heart\n\n", TARE_VERSION);
    printf("Usage: tare NAME [OPTION...]   runs the program tare-NAME; --help explains it\n");
    for (int i = 0; i < l->programs; i++) {
        const program *p = &l->program[i];
        if (i == 0 || p->on_path != l->program[i - 1].on_path) {
            printf("\n%s\n", p->on_path ? "On your PATH" : "Programs");
        }
        printf("  %-*s ", INDENT - 3, p->name);
        tare_terminal_wrap(stdout, *p->about ? p->about : "(says nothing about itself)", INDENT, INDENT);
    }
    if (l->programs == 0) { printf("\nNo programs found beside tare, in libexec/tare, or on PATH.\n"); }
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* Returns where the program could not be started: the exit code, as a shell has it. */
static int run(launcher *l, char **argv) {
    const char *name = argv[1];
    char path[PATH_MAX + NAME_SIZE + 8];
    for (int i = 0; is_name(name) && i < l->places; i++) {
        snprintf(path, sizeof path, "%s/tare-%s", l->place[i], name);
        if (!is_program(path)) { continue; }
        argv[1] = path;
        execv(path, argv + 1);
        fprintf(stderr, "tare: %s cannot be run: %s\n", path, strerror(errno));
        return 126;
    }
    if (*name == '-') {
        fprintf(stderr, "tare: unknown option %s (--help and --version are all)\n", name);
        return 2;
    }
    find_programs(l);
    const char *list[MAX_PROGRAMS];
    for (int i = 0; i < l->programs; i++) { list[i] = l->program[i].name; }
    const char *near = tare_nearest(name, list, l->programs);
    if (near) {
        fprintf(stderr, "tare: there is no program \"%s\"; did you mean \"tare %s\"?\n", name, near);
    } else {
        fprintf(stderr,
                "tare: there is no program \"%s\" (no tare-%s beside tare, in libexec or on PATH); "
                "`tare` alone lists what there is\n",
                name, name);
    }
    return 2;
}

/* A standard stream that the caller has closed would be the first file that a program opens: its output would land there. */
static void open_streams(void) {
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {}
    if (fd > STDERR_FILENO) { close(fd); }
}

/* `tare help NAME` is `tare NAME --help`. */
static int help(launcher *l, char *name, char *launcher_name) {
    char flag[] = "--help";
    char *argv[] = { launcher_name, name, flag, NULL };
    return run(l, argv);
}

int main(int argc, char **argv) {
    static launcher l;
    open_streams();
    find_places(&l);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("tare %s\n", TARE_VERSION);
        return tare_output_end("tare", 0);
    }
    bool wants_help =
        argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0);
    if (wants_help && argc > 2) { return help(&l, argv[2], argv[0]); }
    if (argc > 1 && !wants_help) { return run(&l, argv); }
    find_programs(&l);
    print_list(&l);
    return tare_output_end("tare", 0);
}
